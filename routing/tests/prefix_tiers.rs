//! What the index believes of tiers and remembers beyond, against exact LRU caches of all sizes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use warmgate_routing::block::BlockHash;
use warmgate_routing::endpoint::EndpointId;
use warmgate_routing::prefix::{CacheSizes, Held, IndexLimits, PrefixIndex, RECALL_STEPS_MAX};
use warmgate_routing::units::Blocks;

const A: EndpointId = EndpointId(3);

/// Longest prompt of these tests, in blocks.
const PROMPT_MAX: usize = 60;
/// Distances are promised to within this share of themselves and the length of some prompts: those
/// share a bucket, and of each prompt's blocks the order is not kept.
fn allowed_error(distance: usize) -> usize {
    distance / 8 + 2 * PROMPT_MAX
}

/// One endless LRU list: a block's distance is its place in it.
#[derive(Default)]
struct Exact {
    // Most recently used last.
    order: Vec<BlockHash>,
}

impl Exact {
    /// Distances of the blocks of a prompt, as far as it was ever used.
    fn distances(&self, prompt: &[BlockHash]) -> Vec<usize> {
        let places: BTreeMap<BlockHash, usize> = self.order.iter().copied().zip(0..).collect();
        let known = prompt.iter().map_while(|block| places.get(block));
        known.map(|place| self.order.len() - 1 - place).collect()
    }

    fn touch(&mut self, prompt: &[BlockHash]) {
        self.order.retain(|block| !prompt.contains(block));
        // The end of a prompt is evicted first.
        self.order.extend(prompt.iter().rev());
    }
}

/// Turns of conversations that share the beginning of a few system prompts.
fn turn(conversation: u64, length: usize) -> Vec<BlockHash> {
    let shared = (conversation % 3) as usize * 7;
    let hash = |tag: u64, at: u64| BlockHash((tag << 32 | at).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    (0..length)
        .map(|at| {
            let tag = if at < shared {
                conversation % 3
            } else {
                conversation + 3
            };
            hash(tag, at as u64)
        })
        .collect()
}

fn turns() -> impl Strategy<Value = Vec<(u64, usize)>> {
    // Some conversations go on often, most seldom.
    let conversation = prop_oneof![2 => 0..6_u64, 3 => 0..150_u64];
    prop::collection::vec((conversation, 1..PROMPT_MAX), 1..300)
}

fn sizes() -> impl Strategy<Value = CacheSizes> {
    (200..1_000_u32, 0..2_000_u32).prop_map(|(device, behind)| CacheSizes {
        device: Blocks(device),
        total: Blocks(device + behind),
        ghosts: Blocks(1_000_000),
    })
}

/// Whether so many leading blocks are what a cache of `size` blocks holds, errors allowed for.
fn is_about_right(held: Blocks, distances: &[usize], size: Blocks) -> bool {
    let (held, size) = (held.0 as usize, size.0 as usize);
    let surely = |&&distance: &&usize| distance + allowed_error(distance) < size;
    let perhaps = |&&distance: &&usize| distance < size + allowed_error(size);
    let least = distances.iter().take_while(surely).count();
    let most = distances.iter().take_while(perhaps).count();
    (least..=most).contains(&held)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn tiers_and_distances_are_those_of_exact_caches(turns in turns(), sizes in sizes()) {
        let (index, mut exact) = (PrefixIndex::default(), Exact::default());
        index.set_sizes(A, sizes);
        for (at, &(conversation, length)) in turns.iter().enumerate() {
            let prompt = turn(conversation, length);
            let distances = exact.distances(&prompt);
            let held = index.held(&prompt, A);
            prop_assert_eq!(index.matches(&prompt, &[A], 0, 7).get(A), held);
            prop_assert_eq!(index.matches(&prompt, &[], 1, 7).get(A), held);
            prop_assert!(held.device <= held.blocks);
            prop_assert!(is_about_right(held.blocks, &distances, sizes.total));
            prop_assert!(is_about_right(held.device, &distances, sizes.device));

            let recall = index.insert(&prompt, A);
            // Splitting a run makes the recall finer than the lookup before it, never other.
            prop_assert_eq!(recall.held, held);
            let remembered = recall.steps.last().map_or(0, |step| step.upto.0 as usize);
            prop_assert_eq!(remembered, distances.len(), "all is remembered");
            prop_assert!(recall.steps.len() <= RECALL_STEPS_MAX);
            let mut from = 0;
            for step in &recall.steps {
                for &distance in &distances[from..step.upto.0 as usize] {
                    let error = distance.abs_diff(step.distance.0 as usize);
                    prop_assert!(error <= allowed_error(distance), "{} for {}", step.distance, distance);
                }
                from = step.upto.0 as usize;
            }
            exact.touch(&prompt);
            let now = index.held(&prompt, A);
            prop_assert_eq!(now, Held { blocks: Blocks(length as u32), device: Blocks(length as u32) });
            if at % 16 == 0 {
                index.check_invariants();
            }
        }
        index.check_invariants();
    }

    #[test]
    fn other_sizes_change_what_is_held_and_not_what_is_remembered(
        turns in turns(),
        before in sizes(),
        after in sizes(),
    ) {
        let [changed, fresh] = [before, after].map(|sizes| {
            let index = PrefixIndex::default();
            index.set_sizes(A, sizes);
            for &(conversation, length) in &turns {
                index.insert(&turn(conversation, length), A);
            }
            index
        });
        changed.set_sizes(A, after);
        changed.check_invariants();
        fresh.set_sizes(A, after);
        for conversation in 0..150 {
            let prompt = turn(conversation, PROMPT_MAX);
            prop_assert_eq!(changed.held(&prompt, A), fresh.held(&prompt, A));
        }
    }

    #[test]
    fn ghosts_give_way_to_what_is_held(turns in turns(), max_bytes in 60_000..100_000_u64) {
        let index = PrefixIndex::new(IndexLimits { max_bytes });
        let b = EndpointId(4);
        let sizes = |device| CacheSizes {
            device: Blocks(device),
            total: Blocks(device),
            ghosts: Blocks(1_000_000),
        };
        index.set_sizes(A, sizes(100));
        index.set_sizes(b, sizes(100));
        let quiet = turn(1_000, 50);
        index.insert(&quiet, b);
        for &(conversation, length) in &turns {
            let prompt = turn(conversation, length);
            index.insert(&prompt, A);
            prop_assert_eq!(index.held(&prompt, A).blocks.0 as usize, length.min(100));
            prop_assert!(index.stats().bytes <= max_bytes);
        }
        index.check_invariants();
        prop_assert_eq!(index.held(&quiet, b).blocks, Blocks(50), "held, though older than all");
        prop_assert_eq!(index.stats().refused, 0);
    }
}

#[test]
fn ghosts_take_no_place_among_the_deepest_holders() {
    let index = PrefixIndex::default();
    let prompt = turn(0, 50);
    for endpoint in 0..10 {
        let sizes = CacheSizes {
            device: Blocks(100),
            total: Blocks(if endpoint < 8 { 100 } else { 10_000 }),
            ghosts: Blocks(10_000),
        };
        index.set_sizes(EndpointId(endpoint), sizes);
        index.insert(&prompt, EndpointId(endpoint));
        for other in 1..10 {
            index.insert(&turn(300 + other, 50), EndpointId(endpoint));
        }
    }
    // The beginning is held everywhere.
    for endpoint in 0..8 {
        index.insert(&prompt[..10], EndpointId(endpoint));
    }
    for seed in 0..20 {
        let found = index.matches(&prompt, &[], 3, u64::MAX / 20 * seed);
        let held: Vec<_> = found.iter().map(|(id, held)| (id.0, held)).collect();
        assert_eq!(held.len(), 3);
        let deep = Held {
            blocks: Blocks(50),
            device: Blocks::ZERO,
        };
        assert_eq!(held[1..], [(8, deep), (9, deep)]);
        assert_eq!(held[0].1.blocks, Blocks(10));
        assert_eq!(found.deepest(), Blocks(50));
    }
}

#[test]
fn what_is_older_than_a_stamp_is_forgotten_and_the_rest_is_not() {
    let index = PrefixIndex::default();
    let recalls: Vec<_> = (0..600)
        .map(|conversation| index.insert(&turn(conversation * 3, 10), A))
        .collect();
    index.forget_older(A, recalls[299].stamp);
    index.check_invariants();
    assert_eq!(index.occupancy(A), Blocks(3_000));
    assert_eq!(index.held(&turn(299 * 3, 10), A), Held::default());
    assert_eq!(index.held(&turn(300 * 3, 10), A).blocks, Blocks(10));
    index.forget_older(EndpointId(9), recalls[0].stamp);
}
