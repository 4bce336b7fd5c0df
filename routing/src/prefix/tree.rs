//! The tree of runs, without locks: what it is made of, what it weighs, and how it is read.

use smallvec::SmallVec;

use super::child_map::ChildMap;
use super::endpoints::Records;
use super::lru::{Holding, Order, Recency};
use super::node::{Holder, Node, RUN_BLOCKS_MAX};
use super::slab::{NONE, Slab, heap_bytes};
use super::{Cutoffs, Held, IndexStats, PrefixMatch};
use crate::block::BlockHash;
use crate::endpoint::EndpointId;
use crate::units::Blocks;

/// Longest limit that entries can be numbered in.
const LIMIT_BYTES_MAX: u64 = 64 << 30;

/// Set aside for the copy that exists while a run is shortened.
const RUN_COPY_BYTES: usize = heap_bytes::<BlockHash>(RUN_BLOCKS_MAX);

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Slab<Node>,
    pub(super) holdings: Slab<Holding>,
    pub(super) children: ChildMap,
    pub(super) records: Records,
    /// All holdings, for the limit in bytes.
    pub(super) recency: Recency,
    pub(super) limit_bytes: usize,
    /// Allocations of all runs and all lists of holders.
    pub(super) node_heap_bytes: usize,
    /// Blocks in all runs.
    pub(super) blocks: u64,
    pub(super) evicted_for_capacity: u64,
    pub(super) evicted_for_bytes: u64,
    pub(super) refused: u64,
}

/// A node that a prompt leads to, and how much of its run the prompt shares (at least one block).
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) node: u32,
    pub(super) matched: usize,
}

type Path = SmallVec<[Step; 32]>;

impl Tree {
    pub(super) fn new(limit_bytes: u64) -> Tree {
        let limit_bytes = limit_bytes.min(LIMIT_BYTES_MAX) as usize;
        Tree {
            nodes: Slab::with_limit(limit_bytes),
            holdings: Slab::with_limit(limit_bytes),
            children: ChildMap::with_limit(limit_bytes),
            records: Records::default(),
            recency: Recency::new(Order::Everyone),
            limit_bytes,
            node_heap_bytes: 0,
            blocks: 0,
            evicted_for_capacity: 0,
            evicted_for_bytes: 0,
            refused: 0,
        }
    }

    /// Everything allocated, and the working room.
    pub(super) fn bytes(&self) -> usize {
        size_of::<super::PrefixIndex>()
            + RUN_COPY_BYTES
            + self.nodes.bytes()
            + self.holdings.bytes()
            + self.children.bytes()
            + self.records.bytes()
            + self.node_heap_bytes
    }

    pub(super) fn fits(&self, more_bytes: usize) -> bool {
        self.bytes() + more_bytes <= self.limit_bytes
    }

    pub(super) fn stats(&self) -> IndexStats {
        IndexStats {
            bytes: self.bytes() as u64,
            nodes: self.nodes.len(),
            holdings: self.holdings.len(),
            blocks: self.blocks,
            evicted_for_capacity: self.evicted_for_capacity,
            evicted_for_bytes: self.evicted_for_bytes,
            refused: self.refused,
        }
    }

    /// The child of `parent` that `rest` leads to.
    #[inline]
    pub(super) fn step(&self, parent: u32, rest: &[BlockHash]) -> Option<Step> {
        let node = self.children.find(&self.nodes, parent, *rest.first()?);
        if node == NONE {
            return None;
        }
        Some(Step {
            node,
            matched: self.nodes[node].matched(rest),
        })
    }

    fn walk(&self, prompt: &[BlockHash]) -> Path {
        let mut path = Path::new();
        let (mut parent, mut rest) = (NONE, prompt);
        while let Some(step) = self.step(parent, rest) {
            path.push(step);
            if step.matched < self.nodes[step.node].run.len() {
                break;
            }
            parent = step.node;
            rest = &rest[step.matched..];
        }
        path
    }

    /// How much `endpoint` holds.
    pub(super) fn held(&self, prompt: &[BlockHash], endpoint: EndpointId) -> Held {
        let path = self.walk(prompt);
        let cutoffs = self.records.cutoffs(endpoint);
        self.held_along(&path, endpoint, cutoffs)
            .unwrap_or_default()
    }

    /// How much `endpoint` holds of the prompt that led along `path`; none where it holds nothing.
    #[inline]
    fn held_along(&self, path: &[Step], endpoint: EndpointId, cutoffs: Cutoffs) -> Option<Held> {
        // Who remembers a node remembers all before it, used no earlier: held up to some step, a
        // ghost or absent after.
        let (mut held, mut beyond) = (0, path.len());
        let mut last = None;
        while held < beyond {
            let middle = held.midpoint(beyond);
            match self.nodes[path[middle].node].holder(endpoint) {
                Some(holder) if holder.stamp >= cutoffs.total => {
                    last = Some(holder);
                    held = middle + 1;
                }
                _ => beyond = middle,
            }
        }
        Some(self.held_at(&path[..held], path[held.checked_sub(1)?], last?, cutoffs))
    }

    /// What a holder holds of the prompt that led along `path` to `step`, where it is one that ends
    /// there.
    #[inline]
    fn held_at(&self, path: &[Step], step: Step, holder: &Holder, cutoffs: Cutoffs) -> Held {
        let blocks = self.depth(step, holder.blocks);
        if holder.stamp >= cutoffs.device {
            return Held {
                blocks,
                device: blocks,
            };
        }
        let on_device = Cutoffs {
            total: cutoffs.device,
            ..cutoffs
        };
        let device = self.held_along(path, holder.endpoint, on_device);
        Held {
            blocks,
            device: device.unwrap_or_default().blocks,
        }
    }

    pub(super) fn matches(
        &self,
        prompt: &[BlockHash],
        also: &[EndpointId],
        holders_max: usize,
        offset_seed: u64,
    ) -> PrefixMatch {
        let path = self.walk(prompt);
        let mut found = PrefixMatch::default();
        if path.is_empty() {
            return found;
        }
        self.sample_holders(&path, holders_max, offset_seed, &mut found);
        for &endpoint in also {
            let cutoffs = self.records.cutoffs(endpoint);
            if let Some(held) = self.held_along(&path, endpoint, cutoffs) {
                found.push(endpoint, held);
            }
        }
        found.settle();
        found
    }

    /// Adds the deepest holders, from the end of the path back to the root, while there is room.
    fn sample_holders(
        &self,
        path: &[Step],
        room: usize,
        offset_seed: u64,
        found: &mut PrefixMatch,
    ) {
        let mut room = room;
        let mut deeper: Option<&Node> = None;
        for end in (1..=path.len()).rev() {
            if room == 0 {
                break;
            }
            let (path, step) = (&path[..end], path[end - 1]);
            let node = &self.nodes[step.node];
            let count = node.holders.len();
            // Fixed-point product: a position below `count`, each as likely as another.
            let offset = ((u128::from(offset_seed) * count as u128) >> 64) as usize;
            let (before, from) = node.holders.split_at(offset);
            // Reaching a shallower node means that there was room for all holders of the deeper.
            let fresh = from.iter().chain(before).filter_map(|holder| {
                let cutoffs = self.records.cutoffs(holder.endpoint);
                let holds = |holder: &Holder| holder.stamp >= cutoffs.total;
                let seen = deeper.and_then(|deeper| deeper.holder(holder.endpoint));
                (holds(holder) && !seen.is_some_and(holds)).then_some((holder, cutoffs))
            });
            let mut partial: SmallVec<[_; 16]> = SmallVec::new();
            for (holder, cutoffs) in fresh {
                if room == 0 {
                    break;
                }
                if (holder.blocks as usize) < step.matched {
                    partial.push((holder, cutoffs));
                } else {
                    let held = self.held_at(path, step, holder, cutoffs);
                    found.push(holder.endpoint, held);
                    room -= 1;
                }
            }
            partial.sort_by_key(|(holder, _)| std::cmp::Reverse(holder.blocks));
            for (holder, cutoffs) in partial.into_iter().take(room) {
                let held = self.held_at(path, step, holder, cutoffs);
                found.push(holder.endpoint, held);
                room -= 1;
            }
            deeper = Some(node);
        }
    }

    fn depth(&self, step: Step, held: u32) -> Blocks {
        Blocks(self.nodes[step.node].start + held.min(step.matched as u32))
    }
}
