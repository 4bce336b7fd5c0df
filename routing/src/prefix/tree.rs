//! The tree of runs, without locks: what it is made of, what it weighs, and how it is read.

use smallvec::SmallVec;

use super::child_map::ChildMap;
use super::endpoints::Records;
use super::lru::{Holding, Order, Recency};
use super::node::{Node, RUN_BLOCKS_MAX};
use super::slab::{NONE, Slab, heap_bytes};
use super::{Held, IndexStats, PrefixMatch};
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

    /// How many leading blocks `endpoint` holds.
    pub(super) fn held(&self, prompt: &[BlockHash], endpoint: EndpointId) -> Held {
        let (mut parent, mut rest) = (NONE, prompt);
        let mut depth = 0;
        while let Some(step) = self.step(parent, rest) {
            let node = &self.nodes[step.node];
            let Some(holder) = node.holder(endpoint) else {
                break;
            };
            let shared = step.matched.min(holder.blocks as usize);
            depth += shared;
            if shared < node.run.len() {
                break;
            }
            parent = step.node;
            rest = &rest[step.matched..];
        }
        let blocks = Blocks(depth as u32);
        Held {
            blocks,
            device: blocks,
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
        let Some(last) = path.last() else {
            return PrefixMatch::default();
        };
        let mut found = PrefixMatch {
            // Every run is held to its end by somebody, so the walk's depth is somebody's match.
            deepest: Blocks(self.nodes[last.node].start + last.matched as u32),
            held: SmallVec::new(),
        };
        self.sample_holders(&path, holders_max, offset_seed, &mut found);
        for &endpoint in also {
            // Who holds a node holds all before it: present up to some step, absent after.
            let steps =
                path.partition_point(|step| self.nodes[step.node].position(endpoint).is_ok());
            if let Some(&step) = path[..steps].last()
                && let Some(holder) = self.nodes[step.node].holder(endpoint)
            {
                found.push(endpoint, self.depth(step, holder.blocks));
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
        for &step in path.iter().rev() {
            let node = &self.nodes[step.node];
            let count = node.holders.len();
            // Fixed-point product: a position below `count`, each as likely as another.
            let offset = ((u128::from(offset_seed) * count as u128) >> 64) as usize;
            let (before, from) = node.holders.split_at(offset);
            // Reaching a shallower node means that there was room for all holders of the deeper.
            let fresh = from.iter().chain(before).filter(|holder| {
                deeper.is_none_or(|deeper| deeper.position(holder.endpoint).is_err())
            });
            let is_partial = |blocks: u32| (blocks as usize) < step.matched;
            for holder in fresh
                .clone()
                .filter(|holder| !is_partial(holder.blocks))
                .take(room)
            {
                found.push(holder.endpoint, self.depth(step, holder.blocks));
                room -= 1;
            }
            if room > 0 {
                let mut partial: SmallVec<[_; 16]> =
                    fresh.filter(|holder| is_partial(holder.blocks)).collect();
                partial.sort_by_key(|holder| std::cmp::Reverse(holder.blocks));
                for holder in partial.into_iter().take(room) {
                    found.push(holder.endpoint, self.depth(step, holder.blocks));
                    room -= 1;
                }
            }
            if room == 0 {
                break;
            }
            deeper = Some(node);
        }
    }

    fn depth(&self, step: Step, held: u32) -> Held {
        let blocks = Blocks(self.nodes[step.node].start + held.min(step.matched as u32));
        Held {
            blocks,
            device: blocks,
        }
    }
}
