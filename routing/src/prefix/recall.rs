//! What was remembered of a prompt on one endpoint just before it was sent there.

use smallvec::SmallVec;

use super::ages::Stamp;
use super::{Cutoffs, Held};
use crate::units::Blocks;

/// Steps of one recall; further ones are merged where their distances are closest.
pub const RECALL_STEPS_MAX: usize = 32;
/// Distances that differ by less than this part of themselves are one step.
const SAME_DISTANCE: u32 = 16;

/// Blocks of a prompt that were last used at about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecallStep {
    /// Leading blocks of the prompt up to and with this step.
    pub upto: Blocks,
    /// LRU stack distance: blocks that the endpoint used since. A cache larger than this holds
    /// them.
    pub distance: Blocks,
    /// When they were last used.
    pub stamp: Stamp,
}

/// What the index said about one prompt and one endpoint before the prompt was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recall {
    /// What the endpoint was believed to hold of it.
    pub held: Held,
    /// All that was remembered of it, held or not: from the first block on, older and older.
    pub steps: SmallVec<[RecallStep; 4]>,
    /// When the endpoint uses the prompt now.
    pub stamp: Stamp,
    /// When it used whatever it used just before.
    pub before: Stamp,
}

impl Recall {
    pub(super) fn note(&mut self, step: RecallStep, cutoffs: Cutoffs) {
        if step.stamp >= cutoffs.total {
            self.held.blocks = step.upto;
            if step.stamp >= cutoffs.device {
                self.held.device = step.upto;
            }
        }
        if let Some(last) = self.steps.last_mut()
            && step.distance.0 <= last.distance.0 + last.distance.0 / SAME_DISTANCE
        {
            last.upto = step.upto;
            // The younger of both: what is proven absent is proven from there on.
            return;
        }
        if self.steps.len() == RECALL_STEPS_MAX {
            self.merge_closest();
        }
        self.steps.push(step);
    }

    fn merge_closest(&mut self) {
        let ratio = |pair: &[RecallStep]| {
            f64::from(pair[1].distance.0) / f64::from(pair[0].distance.0.max(1))
        };
        let ratios = self.steps.windows(2).map(ratio).enumerate();
        let closest = ratios.min_by(|one, other| one.1.total_cmp(&other.1));
        if let Some((at, _)) = closest {
            self.steps.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(upto: u32, distance: u32) -> RecallStep {
        RecallStep {
            upto: Blocks(upto),
            distance: Blocks(distance),
            stamp: Stamp(u32::MAX - distance),
        }
    }

    #[test]
    fn steps_stay_few_and_lose_no_block() {
        let mut recall = Recall::default();
        let mut distance = 100;
        for upto in 1..=100 {
            recall.note(step(upto, distance), Cutoffs::default());
            distance += distance / 8;
            assert!(recall.steps.len() <= RECALL_STEPS_MAX);
            assert_eq!(recall.steps.last().unwrap().upto, Blocks(upto));
            assert!(
                recall
                    .steps
                    .is_sorted_by_key(|step| (step.upto, step.distance))
            );
        }
        assert_eq!(recall.steps.len(), RECALL_STEPS_MAX);
        assert_eq!(recall.held.blocks, Blocks(100));
    }

    #[test]
    fn distances_that_are_nearly_equal_are_one_step() {
        let mut recall = Recall::default();
        for (upto, distance) in [(1, 160), (2, 170), (3, 171)] {
            recall.note(step(upto, distance), Cutoffs::default());
        }
        let steps: Vec<_> = recall.steps.iter().map(|step| step.upto.0).collect();
        assert_eq!(steps, [2, 3]);
    }
}
