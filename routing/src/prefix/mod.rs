//! The approximate prefix index: what we routed where, and so what is warm where.
//!
//! # When to use it
//! Always: it needs nothing from the engine, no tokenizer and no events. It believes that an
//! endpoint holds what was sent to it, as far as its sizes reach and oldest out first, as engines do
//! it (vLLM frees a request's blocks from the end, and evicts the least recently used). What engines
//! report corrects it ([`feedback`](crate::feedback)): their sizes by [`PrefixIndex::set_sizes`], a
//! lost cache by [`PrefixIndex::forget_older`], a restart by [`PrefixIndex::forget`].
//!
//! # How it works
//! A radix tree over chains of block hashes, shared by all endpoints. A node is a run of up to
//! 512 blocks; a run nothing follows is lengthened in place, and cut in two where a prompt leaves
//! it. A conversation on one endpoint is a handful of nodes, however many turns it has.
//!
//! Equal hash means equal prefix. So one map from first hash to node serves the whole tree, and
//! how far a prompt follows a run is found by comparing the run's last block, or else by binary
//! search: a walk costs its nodes, not its blocks.
//!
//! Each node lists who holds how many of its blocks. Each of these holdings stands in two orders
//! of recency: its endpoint's, for the capacity in blocks, and everyone's, for the limit in bytes.
//! An endpoint's path is refreshed so that it stays newer than what hangs below it; then the
//! oldest is always the end of a chain, and is cut from its end. Who holds a block therefore holds
//! all before it, and the lookup of one endpoint along a path is a binary search as well.
//!
//! # Ages, tiers, ghosts
//! Each holding is stamped when it is used, and the stamps of an endpoint tell how many blocks it used
//! since: the LRU stack distance. A cache of any size holds what is nearer than its size. So one tree
//! tells what is on the device, what is only in a tier behind it, and what is a ghost: evicted by all
//! we believe, but remembered, to be recognised when the engine finds it after all. Ghosts count
//! nowhere as held, and the ghosts of whoever needs room go first. An insertion returns what was
//! remembered of its prompt just before, with distances ([`Recall`]): the engine's answer is compared
//! with that.
//!
//! # Memory
//! A block takes 8 bytes however many endpoints hold it. A node takes about 100 bytes beside, and
//! each endpoint that holds it about 50 more; an endpoint's ages take 3 to 5 KB. All storage grows in pages or in exact steps; a
//! change reckons first what it will allocate at most, and makes room before it begins. So
//! [`IndexStats::bytes`] covers every allocation (with an allowance for the allocator's own
//! headers), and never exceeds [`IndexLimits::max_bytes`]. Pages are kept for reuse while the
//! index holds anything.
//!
//! # Example
//! ```
//! use warmgate_routing::block::BlockHash;
//! use warmgate_routing::endpoint::EndpointId;
//! use warmgate_routing::prefix::PrefixIndex;
//! use warmgate_routing::units::Blocks;
//!
//! let index = PrefixIndex::default();
//! let (a, b, c) = (EndpointId(0), EndpointId(1), EndpointId(2));
//! let turn = |blocks: u64| (0..blocks).map(BlockHash).collect::<Vec<_>>();
//! index.insert(&turn(4), a);
//! index.insert(&turn(6), b);
//!
//! let found = index.matches(&turn(9), &[c], 8, 0);
//! assert_eq!(found.get(a).blocks, Blocks(4));
//! assert_eq!(found.get(b).blocks, Blocks(6));
//! assert_eq!(found.get(c).blocks, Blocks::ZERO);
//! assert_eq!(found.deepest(), Blocks(6));
//! ```

use smallvec::SmallVec;

use crate::endpoint::EndpointId;
use crate::units::Blocks;

mod ages;
mod approximate;
mod child_map;
mod endpoints;
mod evict;
mod family;
mod insert;
mod invariants;
mod lru;
mod node;
mod recall;
mod slab;
mod tree;

pub use ages::Stamp;
pub use approximate::{DEFAULT_CAPACITY, PrefixIndex};
pub use recall::{RECALL_STEPS_MAX, Recall, RecallStep};

use endpoints::Cutoffs;

/// Default of [`IndexLimits::max_bytes`]: 30 million distinct blocks, or 2 billion tokens.
pub const DEFAULT_MAX_BYTES: u64 = 256 << 20;

/// Limits of an index as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexLimits {
    /// Memory that it may take, in bytes; at most 64 GiB are used. Below about 64 KiB there is
    /// room for nothing, and everything is [refused](IndexStats::refused).
    pub max_bytes: u64,
}

impl Default for IndexLimits {
    fn default() -> IndexLimits {
        IndexLimits {
            max_bytes: DEFAULT_MAX_BYTES,
        }
    }
}

/// Sizes of an index, and counts since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Memory taken, the fixed part and the allocator's overhead included.
    pub bytes: u64,
    /// Runs of blocks.
    pub nodes: usize,
    /// Pairs of an endpoint and a run.
    pub holdings: usize,
    /// Distinct blocks.
    pub blocks: u64,
    /// Blocks that endpoints were made to forget because of their own capacity.
    pub evicted_for_capacity: u64,
    /// Blocks that endpoints were made to forget because of [`IndexLimits::max_bytes`].
    pub evicted_for_bytes: u64,
    /// Insertions (and capacities) recorded in part or not at all: the limit had no room for them
    /// even with everything else forgotten.
    pub refused: u64,
}

/// How much one endpoint can hold, in blocks: each includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSizes {
    /// On its device.
    pub device: Blocks,
    /// On its device and in whatever lies behind it: host memory, a shared store.
    pub total: Blocks,
    /// Remembered at all. What exceeds `total` is not believed to be held, but is recognised when
    /// an engine turns out to hold it after all.
    pub ghosts: Blocks,
}

impl CacheSizes {
    /// A device with nothing behind it, of which nothing is remembered beyond what it holds.
    #[must_use]
    pub fn exactly(capacity: Blocks) -> CacheSizes {
        CacheSizes {
            device: capacity,
            total: capacity,
            ghosts: capacity,
        }
    }
}

/// How much of one prompt one endpoint is believed to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// Leading blocks, on whatever tier.
    pub blocks: Blocks,
    /// Of these, leading blocks on the device; the rest has to be loaded from a tier behind it.
    pub device: Blocks,
}

/// How many leading blocks of one prompt each of some endpoints is believed to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixMatch {
    // Sorted by endpoint, none of them zero.
    held: SmallVec<[(EndpointId, Held); 16]>,
}

impl PrefixMatch {
    /// What `endpoint` holds. Zero as well where it was neither asked for nor among the deepest.
    #[must_use]
    pub fn get(&self, endpoint: EndpointId) -> Held {
        match self.held.binary_search_by_key(&endpoint, |&(id, _)| id) {
            Ok(position) => self.held[position].1,
            Err(_) => Held::default(),
        }
    }

    /// Endpoints that hold at least one block, in the order of their ids, with what they hold.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (EndpointId, Held)> {
        self.held.iter().copied()
    }

    /// Endpoints that hold at least one block, in the order of their ids.
    pub fn holders(&self) -> impl ExactSizeIterator<Item = EndpointId> {
        self.held.iter().map(|&(endpoint, _)| endpoint)
    }

    /// The most that any endpoint holds that is listed here. Wherever a holder was asked for, one
    /// that holds most is.
    #[must_use]
    pub fn deepest(&self) -> Blocks {
        let blocks = self.held.iter().map(|(_, held)| held.blocks);
        blocks.max().unwrap_or_default()
    }

    fn push(&mut self, endpoint: EndpointId, held: Held) {
        self.held.push((endpoint, held));
    }

    fn settle(&mut self) {
        // A few runs that are sorted already, which the stable sort makes use of.
        self.held.sort_by_key(|&(endpoint, _)| endpoint);
        self.held.dedup_by_key(|&mut (endpoint, _)| endpoint);
    }
}
