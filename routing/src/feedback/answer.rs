//! What one answer proves of what was remembered: so many blocks of this age were there, and so many
//! were not.

use smallvec::SmallVec;

use crate::prefix::{Recall, Stamp};
use crate::units::Blocks;

/// The engine's count of cached tokens, brought to blocks, is off by its own blocks' length and by
/// tokens that are not equally long everywhere: within one block and this part it is taken to mean
/// the end of a step.
const SNAP_PART: u32 = 32;

/// Blocks of one step of a recall, found or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) distance: Blocks,
    pub(super) present: u32,
    pub(super) absent: u32,
    pub(super) stamp: Stamp,
}

/// The steps of one recall.
pub(super) type Answer = SmallVec<[Seen; 4]>;

/// What is proven by an engine that found `cached` leading blocks, of what was last used after
/// `forgotten` and no later than `settled`: what was forgotten on purpose proves nothing, and what
/// had not been computed yet neither.
pub(super) fn compare(
    recall: &Recall,
    cached: Blocks,
    (forgotten, settled): (Stamp, Stamp),
) -> Answer {
    let cached = snapped(recall, cached).0;
    let mut from = 0;
    let mut answer = Answer::new();
    for step in &recall.steps {
        let present = cached.clamp(from, step.upto.0) - from;
        if step.stamp > forgotten && step.stamp <= settled {
            answer.push(Seen {
                distance: step.distance,
                present,
                absent: step.upto.0 - from - present,
                stamp: step.stamp,
            });
        }
        from = step.upto.0;
    }
    answer
}

fn snapped(recall: &Recall, cached: Blocks) -> Blocks {
    let ends = recall.steps.iter().map(|step| step.upto);
    let nearest = ends.min_by_key(|end| end.0.abs_diff(cached.0));
    match nearest {
        Some(end) if end.0.abs_diff(cached.0) <= 1 + end.0 / SNAP_PART => end,
        _ => cached,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockHash;
    use crate::endpoint::EndpointId;
    use crate::prefix::PrefixIndex;

    /// A prompt of which 64 blocks are used often, 64 more were, and 64 are new.
    fn recall() -> (Recall, [Stamp; 2]) {
        let index = PrefixIndex::default();
        let prompt: Vec<_> = (0..192).map(BlockHash).collect();
        let other: Vec<_> = (1_000..2_000).map(BlockHash).collect();
        let at = EndpointId(0);
        let old = index.insert(&prompt[..128], at).stamp;
        index.insert(&other, at);
        let young = index.insert(&prompt[..64], at).stamp;
        (index.insert(&prompt, at), [old, young])
    }

    fn proven(cached: u32, span: (Stamp, Stamp)) -> Vec<(u32, u32)> {
        let (recall, _) = recall();
        let answer = compare(&recall, Blocks(cached), span);
        answer
            .iter()
            .map(|seen| (seen.present, seen.absent))
            .collect()
    }

    #[test]
    fn blocks_up_to_the_count_were_there_and_the_rest_was_not() {
        let (_, [_, young]) = recall();
        let all = (Stamp::default(), young);
        let cases = [
            (0, [(0, 64), (0, 64)]),
            (40, [(40, 24), (0, 64)]),
            (64, [(64, 0), (0, 64)]),
            (100, [(64, 0), (36, 28)]),
            (128, [(64, 0), (64, 0)]),
            (500, [(64, 0), (64, 0)]),
            // Nearly the end of a step is its end.
            (62, [(64, 0), (0, 64)]),
            (67, [(64, 0), (0, 64)]),
            (124, [(64, 0), (64, 0)]),
        ];
        for (cached, expected) in cases {
            assert_eq!(proven(cached, all), expected, "{cached}");
        }
    }

    #[test]
    fn the_forgotten_and_the_unfinished_prove_nothing() {
        let (_, [old, young]) = recall();
        assert_eq!(proven(100, (Stamp::default(), old)), [(36, 28)]);
        assert_eq!(proven(100, (old, young)), [(64, 0)]);
        assert_eq!(proven(100, (young, young)), []);
    }
}
