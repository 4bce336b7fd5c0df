//! The prefix index against a naive model: per endpoint a set of blocks, least recently used out.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;
use warmgate_routing::block::BlockHash;
use warmgate_routing::endpoint::EndpointId;
use warmgate_routing::prefix::{DEFAULT_CAPACITY, IndexLimits, PrefixIndex, PrefixMatch};
use warmgate_routing::units::Blocks;

const ENDPOINTS: u32 = 5;

/// A prompt as stretches of equal letters: shared beginnings of many lengths, some of them longer
/// than any run.
type Stretches = Vec<(u8, usize)>;

fn stretches() -> impl Strategy<Value = Stretches> {
    let length = prop_oneof![8 => 1..4_usize, 2 => 5..40_usize, 1 => 200..700_usize];
    prop::collection::vec((0..2_u8, length), 0..7)
}

fn chain(stretches: &Stretches) -> Vec<BlockHash> {
    let letters = stretches
        .iter()
        .flat_map(|&(letter, length)| std::iter::repeat_n(letter, length));
    let mut hash = 1_u64;
    letters
        .map(|letter| {
            hash = (hash ^ (hash >> 31)).wrapping_add(u64::from(letter) + 1);
            hash = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            BlockHash(hash)
        })
        .collect()
}

#[derive(Clone, Debug)]
enum Call {
    Insert(Stretches, u32),
    Truncate(Stretches, u32, u32),
    SetCapacity(u32, u32),
    Remove(u32),
}

fn call() -> impl Strategy<Value = Call> {
    let endpoint = || 0..ENDPOINTS;
    let capacity = prop_oneof![0..30_u32, 100..3_000_u32];
    prop_oneof![
        12 => (stretches(), endpoint()).prop_map(|(prompt, at)| Call::Insert(prompt, at)),
        2 => (stretches(), endpoint(), 0..30_u32)
            .prop_map(|(prompt, at, keep)| Call::Truncate(prompt, at, keep)),
        2 => (endpoint(), capacity).prop_map(|(at, capacity)| Call::SetCapacity(at, capacity)),
        1 => endpoint().prop_map(Call::Remove),
    ]
}

#[derive(Default)]
struct ModelEndpoint {
    capacity: Option<usize>,
    /// When each held block was last used, and how deep it is.
    blocks: BTreeMap<BlockHash, (u64, usize)>,
}

#[derive(Default)]
struct Model {
    tick: u64,
    endpoints: BTreeMap<u32, ModelEndpoint>,
    parents: BTreeMap<BlockHash, BlockHash>,
}

impl Model {
    fn apply(&mut self, call: &Call) {
        self.tick += 1;
        match call {
            Call::Insert(prompt, at) => {
                let prompt = chain(prompt);
                self.parents
                    .extend(prompt.windows(2).map(|pair| (pair[1], pair[0])));
                let endpoint = self.endpoints.entry(*at).or_default();
                let kept = prompt.iter().take(endpoint.capacity());
                endpoint.blocks.extend(
                    kept.zip(0..)
                        .map(|(&block, depth)| (block, (self.tick, depth))),
                );
                endpoint.trim();
            }
            Call::Truncate(prompt, at, keep) => {
                let held = self.held(&chain(prompt), *at);
                let lost = match chain(prompt).get(*keep as usize) {
                    Some(&lost) if (*keep as usize) < held => lost,
                    _ => return,
                };
                let parents = &self.parents;
                let is_below = |block: &BlockHash| {
                    let mut above = Some(block);
                    while above.is_some_and(|at| *at != lost) {
                        above = above.and_then(|at| parents.get(at));
                    }
                    above.is_some()
                };
                let endpoint = self.endpoints.entry(*at).or_default();
                endpoint.blocks.retain(|block, _| !is_below(block));
            }
            Call::SetCapacity(at, capacity) => {
                let endpoint = self.endpoints.entry(*at).or_default();
                endpoint.capacity = Some(*capacity as usize);
                endpoint.trim();
            }
            Call::Remove(at) => {
                self.endpoints.remove(at);
            }
        }
    }

    fn held(&self, prompt: &[BlockHash], at: u32) -> usize {
        let Some(endpoint) = self.endpoints.get(&at) else {
            return 0;
        };
        prompt
            .iter()
            .take_while(|block| endpoint.blocks.contains_key(block))
            .count()
    }
}

impl ModelEndpoint {
    fn capacity(&self) -> usize {
        self.capacity.unwrap_or(DEFAULT_CAPACITY.0 as usize)
    }

    fn trim(&mut self) {
        let excess = self.blocks.len().saturating_sub(self.capacity());
        let mut order: Vec<_> = self
            .blocks
            .iter()
            .map(|(&block, &used)| (used, block))
            .collect();
        order.sort_by_key(|&((tick, depth), _)| (tick, Reverse(depth)));
        for (_, block) in &order[..excess] {
            self.blocks.remove(block);
        }
    }
}

fn apply(index: &PrefixIndex, call: &Call) {
    match call {
        Call::Insert(prompt, at) => {
            index.insert(&chain(prompt), EndpointId(*at));
        }
        Call::Truncate(prompt, at, keep) => {
            index.truncate(&chain(prompt), EndpointId(*at), Blocks(*keep));
        }
        Call::SetCapacity(at, capacity) => index.set_capacity(EndpointId(*at), Blocks(*capacity)),
        Call::Remove(at) => index.remove(EndpointId(*at)),
    }
}

fn in_blocks(found: &PrefixMatch) -> impl Iterator<Item = (EndpointId, Blocks)> {
    found.iter().map(|(endpoint, held)| (endpoint, held.blocks))
}

/// Everything that can be asked about one prompt.
fn compare(index: &PrefixIndex, model: &Model, prompt: &[BlockHash], seed: u64) {
    let expected: Vec<(EndpointId, Blocks)> = (0..ENDPOINTS)
        .map(|at| (EndpointId(at), Blocks(model.held(prompt, at) as u32)))
        .collect();
    for &(endpoint, blocks) in &expected {
        assert_eq!(
            index.held(prompt, endpoint).blocks,
            blocks,
            "held by {endpoint:?}"
        );
        let alone = index.matches(prompt, &[endpoint], 0, seed);
        assert_eq!(alone.get(endpoint).blocks, blocks, "match of {endpoint:?}");
        assert!(alone.iter().len() <= 1);
    }
    let mut holders = expected.clone();
    holders.retain(|&(_, blocks)| blocks > Blocks::ZERO);
    let everyone: Vec<EndpointId> = expected
        .iter()
        .rev()
        .map(|&(endpoint, _)| endpoint)
        .collect();
    for also in [
        &[][..],
        &everyone,
        &[everyone.clone(), everyone.clone()].concat(),
    ] {
        let found = index.matches(prompt, also, usize::MAX, seed);
        assert_eq!(
            in_blocks(&found).collect::<Vec<_>>(),
            holders,
            "all holders"
        );
        let deepest = holders.iter().map(|&(_, blocks)| blocks).max();
        assert_eq!(found.deepest(), deepest.unwrap_or_default());
    }
    holders.sort_by_key(|&(_, blocks)| Reverse(blocks));
    for room in 0..holders.len() {
        let found = index.matches(prompt, &[], room, seed);
        assert!(in_blocks(&found).all(|pair| expected.contains(&pair)));
        let mut depths: Vec<Blocks> = in_blocks(&found).map(|(_, blocks)| blocks).collect();
        depths.sort_by_key(|&blocks| Reverse(blocks));
        let deepest: Vec<Blocks> = holders[..room].iter().map(|&(_, blocks)| blocks).collect();
        assert_eq!(depths, deepest, "the {room} deepest holders");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn believes_what_the_model_believes(
        calls in prop::collection::vec(call(), 1..40),
        others in prop::collection::vec(stretches(), 3),
        seed in any::<u64>(),
    ) {
        let (index, mut model) = (PrefixIndex::default(), Model::default());
        let mut prompts: Vec<_> = others.iter().map(chain).collect();
        for call in &calls {
            apply(&index, call);
            model.apply(call);
            index.check_invariants();
            if let Call::Insert(prompt, _) = call {
                prompts.push(chain(prompt));
            }
            for prompt in prompts.iter().rev().take(8) {
                compare(&index, &model, prompt, seed);
            }
            for at in 0..ENDPOINTS {
                let blocks = model.endpoints.get(&at).map_or(0, |endpoint| endpoint.blocks.len());
                prop_assert_eq!(index.occupancy(EndpointId(at)), Blocks(blocks as u32));
            }
        }
        let distinct: std::collections::BTreeSet<_> =
            model.endpoints.values().flat_map(|endpoint| endpoint.blocks.keys()).collect();
        prop_assert_eq!(index.stats().blocks, distinct.len() as u64);
    }

    #[test]
    fn under_a_limit_in_bytes_it_believes_less_but_always_the_newest(
        calls in prop::collection::vec(call(), 1..60),
        max_bytes in 50_000..130_000_u64,
    ) {
        let (index, mut model) = (PrefixIndex::new(IndexLimits { max_bytes }), Model::default());
        for call in &calls {
            let refused = index.stats().refused;
            apply(&index, call);
            model.apply(call);
            index.check_invariants();
            prop_assert!(index.stats().bytes <= max_bytes);
            if let Call::Insert(prompt, at) = call {
                let prompt = chain(prompt);
                for at in 0..ENDPOINTS {
                    prop_assert!(index.held(&prompt, EndpointId(at)).blocks.0 as usize <= model.held(&prompt, at));
                }
                if index.stats().refused == refused {
                    let held = index.held(&prompt, EndpointId(*at)).blocks.0 as usize;
                    prop_assert_eq!(held, model.held(&prompt, *at));
                }
            }
        }
    }
}
