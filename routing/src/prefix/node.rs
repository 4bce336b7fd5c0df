//! A node of the tree: a run of blocks, and who holds how much of it.

use smallvec::SmallVec;

use super::ages::Stamp;
use super::slab::{NONE, heap_bytes};
use crate::block::BlockHash;
use crate::endpoint::EndpointId;

/// Longest run. Bounds the copy when a run grows (4 KiB) and the blocks that share one recency.
pub(super) const RUN_BLOCKS_MAX: usize = 512;

/// Holders kept inside the node; most runs are held by one or two endpoints.
const HOLDERS_INLINE: usize = 2;

/// How much of a node's run one endpoint holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) endpoint: EndpointId,
    /// Leading blocks of the run, at least one.
    pub(super) blocks: u32,
    /// Its entry among the holdings.
    pub(super) holding: u32,
    /// When the endpoint last used them. Never younger than what it holds before them.
    pub(super) stamp: Stamp,
}

pub(super) type Holders = SmallVec<[Holder; HOLDERS_INLINE]>;

#[derive(Debug)]
pub(super) struct Node {
    /// First block of the run, here as well so that the child map need not follow `run`.
    pub(super) first: BlockHash,
    /// Never empty, and held to its end by at least one holder.
    pub(super) run: Box<[BlockHash]>,
    /// Blocks of the chain before the run.
    pub(super) start: u32,
    /// Node whose run comes before, or [`NONE`].
    pub(super) parent: u32,
    /// Number of nodes whose parent this is.
    pub(super) children: u32,
    pub(super) next_in_bucket: u32,
    /// Sorted by endpoint.
    pub(super) holders: Holders,
}

impl Node {
    pub(super) fn new(parent: u32, start: u32, run: Box<[BlockHash]>) -> Node {
        Node {
            first: run[0],
            run,
            start,
            parent,
            children: 0,
            next_in_bucket: NONE,
            holders: Holders::new(),
        }
    }

    /// Leading blocks that `rest` (the prompt from this node's start) shares with the run.
    #[inline]
    pub(super) fn matched(&self, rest: &[BlockHash]) -> usize {
        let len = self.run.len().min(rest.len());
        // Mostly all of it. Else equality of one block says that all before it are equal too.
        if self.run[len - 1] == rest[len - 1] {
            return len;
        }
        let (mut equal, mut differing) = (0, len - 1);
        while equal < differing {
            let middle = equal.midpoint(differing);
            if self.run[middle] == rest[middle] {
                equal = middle + 1;
            } else {
                differing = middle;
            }
        }
        equal
    }

    /// Where `endpoint` is among the holders, or where it would be.
    #[inline]
    pub(super) fn position(&self, endpoint: EndpointId) -> Result<usize, usize> {
        let holders = &self.holders;
        // Ids rise and never repeat: it stands this far behind the first, or nearer. Where all
        // endpoints hold the run, one look is enough.
        let farthest = match holders.first() {
            Some(first) if first.endpoint <= endpoint => (endpoint.0 - first.endpoint.0) as usize,
            _ => return Err(0),
        };
        match holders.get(farthest) {
            Some(holder) if holder.endpoint == endpoint => Ok(farthest),
            _ => holders[..farthest.min(holders.len())]
                .binary_search_by_key(&endpoint, |holder| holder.endpoint),
        }
    }

    #[inline]
    pub(super) fn holder(&self, endpoint: EndpointId) -> Option<&Holder> {
        Some(&self.holders[self.position(endpoint).ok()?])
    }

    pub(super) fn run_bytes(&self) -> usize {
        heap_bytes::<BlockHash>(self.run.len())
    }

    pub(super) fn holders_bytes(&self) -> usize {
        if self.holders.spilled() {
            heap_bytes::<Holder>(self.holders.capacity())
        } else {
            0
        }
    }

    /// Capacity of the list of holders after one more.
    fn grown_capacity(&self) -> usize {
        let len = self.holders.len();
        len + (len / 4).max(HOLDERS_INLINE)
    }

    /// What one more holder would allocate, while the old list is still there.
    pub(super) fn holders_growth_bytes(&self) -> usize {
        let is_full = self.holders.len() == self.holders.capacity();
        if is_full {
            heap_bytes::<Holder>(self.grown_capacity())
        } else {
            0
        }
    }

    pub(super) fn insert_holder(&mut self, position: usize, holder: Holder) {
        if self.holders.len() == self.holders.capacity() {
            self.holders
                .reserve_exact(self.grown_capacity() - self.holders.len());
        }
        self.holders.insert(position, holder);
    }

    /// What giving back unused room in the list of holders allocates for a moment, where worth it.
    pub(super) fn holders_shrink_bytes(&self) -> Option<usize> {
        let is_sparse = self.holders.spilled() && self.holders.len() <= self.holders.capacity() / 4;
        is_sparse.then(|| heap_bytes::<Holder>(self.holders.len()))
    }

    /// Allocation of a list of exactly `count` holders.
    pub(super) fn holders_bytes_for(count: usize) -> usize {
        if count > HOLDERS_INLINE {
            heap_bytes::<Holder>(count)
        } else {
            0
        }
    }
}
