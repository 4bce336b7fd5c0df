//! The shared index: one tree behind one lock, held for a bounded piece of work at a time.

use parking_lot::RwLock;

use super::ages::Stamp;
use super::tree::Tree;
use super::{CacheSizes, Held, IndexLimits, IndexStats, PrefixMatch, Recall};
use crate::block::BlockHash;
use crate::endpoint::EndpointId;
use crate::units::Blocks;

/// What an endpoint is taken to hold until its engine reports a size: about 500k tokens at 64
/// tokens per block, what 80 GB devices have beside an 8B model (128 KiB per token in 60 GB) and
/// four of them beside a 70B model (320 KiB per token in 160 GB).
pub const DEFAULT_CAPACITY: Blocks = Blocks(8_192);

/// Holdings forgotten while the lock is held once: some tens of microseconds.
const HOLDINGS_PER_LOCK: usize = 256;

/// What we routed where: which endpoint is believed to hold which prefixes. See the module.
///
/// Lookups share the lock; changes take it alone. None of them waits for anything else.
#[derive(Debug)]
pub struct PrefixIndex {
    tree: RwLock<Tree>,
}

impl PrefixIndex {
    /// An empty index. The directories of its storage are allocated at once: about 0.2 % of the limit.
    #[must_use]
    pub fn new(limits: IndexLimits) -> PrefixIndex {
        PrefixIndex {
            tree: RwLock::new(Tree::new(limits.max_bytes)),
        }
    }

    /// How many leading blocks of `prompt` are believed to be held, for two sets of endpoints:
    /// those in `also` (in any order), and the deepest holders, at most `holders_max` of them.
    ///
    /// Where several holders are equally deep and only some fit, `offset_seed` decides which: give
    /// a random number, so that each is as likely as another.
    #[must_use]
    pub fn matches(
        &self,
        prompt: &[BlockHash],
        also: &[EndpointId],
        holders_max: usize,
        offset_seed: u64,
    ) -> PrefixMatch {
        self.tree
            .read()
            .matches(prompt, also, holders_max, offset_seed)
    }

    /// How many leading blocks of `prompt` one endpoint is believed to hold.
    #[must_use]
    pub fn held(&self, prompt: &[BlockHash], endpoint: EndpointId) -> Held {
        self.tree.read().held(prompt, endpoint)
    }

    /// Records that `prompt` was sent to `endpoint`, which holds it from now on, as newest.
    /// Returns what was believed just before.
    ///
    /// Of a prompt longer than the endpoint's capacity the leading blocks are recorded: they are
    /// what an engine can match again. What has to make room is forgotten, the oldest first.
    pub fn insert(&self, prompt: &[BlockHash], endpoint: EndpointId) -> Recall {
        let mut tree = self.tree.write();
        let recall = tree.insert(prompt, endpoint);
        let is_unfinished = tree.trim(endpoint, HOLDINGS_PER_LOCK);
        drop(tree);
        if is_unfinished {
            self.in_pieces(|tree| tree.trim(endpoint, HOLDINGS_PER_LOCK));
        }
        recall
    }

    /// Forgets what `endpoint` was believed to hold of `prompt` beyond its first `keep` blocks,
    /// and whatever else it was believed to hold that starts with a block so forgotten.
    pub fn truncate(&self, prompt: &[BlockHash], endpoint: EndpointId, keep: Blocks) {
        self.in_pieces(|tree| tree.truncate(prompt, endpoint, keep.0, HOLDINGS_PER_LOCK));
    }

    /// Sets how much `endpoint` can hold, and nothing is remembered beyond: see [`Self::set_sizes`].
    pub fn set_capacity(&self, endpoint: EndpointId, capacity: Blocks) {
        self.set_sizes(endpoint, CacheSizes::exactly(capacity));
    }

    /// Sets how much `endpoint` can hold and how much of it is remembered, instead of
    /// [`DEFAULT_CAPACITY`] for all three; what exceeds them is forgotten, the oldest first. With
    /// sizes of zero nothing is recorded. A size smaller than the one before it counts as equal.
    pub fn set_sizes(&self, endpoint: EndpointId, sizes: CacheSizes) {
        let total = sizes.total.max(sizes.device);
        let sizes = CacheSizes {
            total,
            ghosts: sizes.ghosts.max(total),
            ..sizes
        };
        if !self.tree.write().set_sizes(endpoint, sizes) {
            return;
        }
        self.in_pieces(|tree| tree.trim(endpoint, HOLDINGS_PER_LOCK));
    }

    /// How much `endpoint` is believed to be able to hold.
    #[must_use]
    pub fn sizes(&self, endpoint: EndpointId) -> CacheSizes {
        let tree = self.tree.read();
        let record = tree.records.get(endpoint);
        record.map_or(CacheSizes::exactly(DEFAULT_CAPACITY), |record| record.sizes)
    }

    /// Forgets what `endpoint` was believed to hold, and keeps its capacity: for an engine that
    /// restarted and is cold.
    pub fn forget(&self, endpoint: EndpointId) {
        self.in_pieces(|tree| tree.forget(endpoint, HOLDINGS_PER_LOCK));
    }

    /// Forgets everything about `endpoint`, its capacity included: for one that is gone.
    pub fn remove(&self, endpoint: EndpointId) {
        self.in_pieces(|tree| tree.remove(endpoint, HOLDINGS_PER_LOCK));
    }

    /// Forgets what `endpoint` used at `stamp` or before, and keeps its sizes.
    pub fn forget_older(&self, endpoint: EndpointId, stamp: Stamp) {
        self.in_pieces(|tree| tree.forget_older(endpoint, stamp, HOLDINGS_PER_LOCK));
    }

    /// How many blocks `endpoint` is believed to hold.
    #[must_use]
    pub fn occupancy(&self, endpoint: EndpointId) -> Blocks {
        let tree = self.tree.read();
        let Some(record) = tree.records.get(endpoint) else {
            return Blocks::ZERO;
        };
        let blocks = Blocks(u32::try_from(record.blocks).unwrap_or(u32::MAX));
        blocks.min(record.sizes.total)
    }

    /// Sizes and counts, for metrics and for people.
    #[must_use]
    pub fn stats(&self) -> IndexStats {
        self.tree.read().stats()
    }

    /// Checks everything that has to hold between two calls. For tests: it visits everything.
    ///
    /// # Panics
    /// Where something does not hold.
    pub fn check_invariants(&self) {
        self.tree.read().check_invariants();
    }

    /// Repeats a piece of work until it says that nothing is left, and lets others in between.
    fn in_pieces(&self, mut piece: impl FnMut(&mut Tree) -> bool) {
        while piece(&mut self.tree.write()) {}
    }
}

impl Default for PrefixIndex {
    fn default() -> PrefixIndex {
        PrefixIndex::new(IndexLimits::default())
    }
}
