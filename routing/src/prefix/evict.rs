//! Forgetting: for an endpoint's capacity, for the limit in bytes, or because an engine said so.

use super::ages::Stamp;
use super::node::Holder;
use super::slab::NONE;
use super::tree::Tree;
use crate::block::BlockHash;
use crate::endpoint::EndpointId;

/// Why blocks are forgotten.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Capacity,
    Bytes,
    Told,
}

impl Tree {
    /// Brings the endpoint down to its capacity, oldest first, by cutting at most `holdings_max`
    /// holdings. Returns whether that was not enough.
    pub(super) fn trim(&mut self, endpoint: EndpointId, holdings_max: usize) -> bool {
        let Ok(position) = self.records.position(endpoint) else {
            return false;
        };
        for _ in 0..holdings_max {
            let record = self.records.at(position);
            let excess = record.excess_blocks();
            if excess == 0 {
                break;
            }
            let blocks = excess.min(u64::from(u32::MAX)) as u32;
            self.cut(record.recency.oldest(), blocks, Cause::Capacity);
        }
        self.records.refresh_cutoffs(position);
        self.records.at(position).excess_blocks() > 0
    }

    /// Forgets at most `holdings_max` holdings of the endpoint. Returns whether some are left.
    pub(super) fn forget(&mut self, endpoint: EndpointId, holdings_max: usize) -> bool {
        for _ in 0..holdings_max {
            let Some(record) = self.records.get(endpoint) else {
                return false;
            };
            match record.recency.oldest() {
                NONE => return false,
                oldest => self.cut(oldest, u32::MAX, Cause::Told),
            }
        }
        true
    }

    /// The same, and forgets the endpoint itself once nothing is left.
    pub(super) fn remove(&mut self, endpoint: EndpointId, holdings_max: usize) -> bool {
        let is_unfinished = self.forget(endpoint, holdings_max);
        if !is_unfinished {
            self.records.remove(endpoint);
        }
        is_unfinished
    }

    /// Forgets what the endpoint holds of the prompt beyond `keep` blocks, and everything it holds
    /// below that, in at most `holdings_max` cuts. Returns whether that was not enough.
    pub(super) fn truncate(
        &mut self,
        prompt: &[BlockHash],
        endpoint: EndpointId,
        keep: u32,
        holdings_max: usize,
    ) -> bool {
        let Some((top, top_keep)) = self.find_holding_past(prompt, endpoint, keep) else {
            return false;
        };
        for _ in 0..holdings_max {
            let mut leaf = top;
            while self.holdings[leaf].first_child != NONE {
                leaf = self.holdings[leaf].first_child;
            }
            if leaf == top {
                let holder = self.nodes[self.holdings[top].node].holder(endpoint);
                let held = holder.expect("invariant: a holding has its holder").blocks;
                self.cut(top, held - top_keep, Cause::Told);
                return false;
            }
            self.cut(leaf, u32::MAX, Cause::Told);
        }
        true
    }

    /// The holding that block number `keep` of the prompt is in, where the endpoint holds that
    /// block, and how many of its node's blocks come before.
    fn find_holding_past(
        &self,
        prompt: &[BlockHash],
        endpoint: EndpointId,
        keep: u32,
    ) -> Option<(u32, u32)> {
        let (mut parent, mut rest) = (NONE, prompt);
        while let Some(step) = self.step(parent, rest) {
            let node = &self.nodes[step.node];
            let holder = node.holder(endpoint)?;
            let shared = (step.matched as u32).min(holder.blocks);
            if keep < node.start + shared {
                return Some((holder.holding, keep - node.start));
            }
            if (shared as usize) < node.run.len() {
                return None;
            }
            parent = step.node;
            rest = &rest[step.matched..];
        }
        None
    }

    /// Forgets a holding to make room: the oldest of the endpoint that asks for it, where that is a
    /// ghost, so that nobody's ghosts push out what others hold; else the oldest of all, unless that
    /// is `protected` (nothing older is left) or there is none. Returns whether it did.
    pub(super) fn evict_before(&mut self, protected: u32, record: Option<usize>) -> bool {
        let own = record.and_then(|record| self.oldest_ghost(record));
        let oldest = match own {
            Some(ghost) if ghost != protected => ghost,
            _ => self.recency.oldest(),
        };
        if oldest == NONE || oldest == protected {
            return false;
        }
        self.cut(oldest, u32::MAX, Cause::Bytes);
        true
    }

    fn oldest_ghost(&self, record: usize) -> Option<u32> {
        let record = self.records.at(record);
        let oldest = record.recency.oldest();
        let stamp = self.stamp(oldest)?;
        (stamp < self.records.cutoffs(record.id).total).then_some(oldest)
    }

    /// When a holding was last used; none where it is [`NONE`].
    fn stamp(&self, holding: u32) -> Option<Stamp> {
        if holding == NONE {
            return None;
        }
        let holding = &self.holdings[holding];
        Some(self.nodes[holding.node].holder(holding.endpoint)?.stamp)
    }

    /// Forgets what the endpoint used at `stamp` or before, in at most `holdings_max` cuts. Returns
    /// whether that was not enough.
    pub(super) fn forget_older(
        &mut self,
        endpoint: EndpointId,
        stamp: Stamp,
        holdings_max: usize,
    ) -> bool {
        for _ in 0..holdings_max {
            let Some(record) = self.records.get(endpoint) else {
                return false;
            };
            let oldest = record.recency.oldest();
            match self.stamp(oldest) {
                Some(used) if used <= stamp => self.cut(oldest, u32::MAX, Cause::Told),
                _ => return false,
            }
        }
        true
    }

    /// Cuts up to `blocks` from the end of a holding that has no descendants.
    fn cut(&mut self, id: u32, blocks: u32, cause: Cause) {
        let (node_id, endpoint) = (self.holdings[id].node, self.holdings[id].endpoint);
        debug_assert_eq!(
            self.holdings[id].first_child, NONE,
            "cut above a descendant"
        );
        let node = &mut self.nodes[node_id];
        let position = node
            .position(endpoint)
            .expect("invariant: a holding has its holder");
        let Holder {
            blocks: held,
            stamp,
            ..
        } = node.holders[position];
        let blocks = blocks.min(held);
        let record = self.records.of_holder(endpoint);
        record.blocks -= u64::from(blocks);
        record.ages.remove(stamp, blocks);
        match cause {
            Cause::Capacity => self.evicted_for_capacity += u64::from(blocks),
            Cause::Bytes => self.evicted_for_bytes += u64::from(blocks),
            Cause::Told => {}
        }
        if blocks < held {
            node.holders[position].blocks -= blocks;
        } else {
            node.holders.remove(position);
            self.drop_holding(id);
        }
        self.shrink(node_id);
    }

    fn drop_holding(&mut self, id: u32) {
        let holding = &self.holdings[id];
        let (node, endpoint) = (holding.node, holding.endpoint);
        let (prev, next) = (holding.prev_sibling, holding.next_sibling);
        self.link_siblings(node, endpoint, prev, next);
        self.records
            .of_holder(endpoint)
            .recency
            .unlink(&mut self.holdings, id);
        self.recency.unlink(&mut self.holdings, id);
        self.holdings.remove(id);
    }

    /// Gives back what nobody holds any more: the end of the run, or the whole node.
    fn shrink(&mut self, id: u32) {
        let node = &mut self.nodes[id];
        let len = node.run.len();
        let is_held_to_end = node
            .holders
            .iter()
            .any(|holder| holder.blocks as usize == len);
        if !is_held_to_end {
            debug_assert_eq!(node.children, 0, "a child is held, its parent is not");
            let kept = node
                .holders
                .iter()
                .map(|holder| holder.blocks)
                .max()
                .unwrap_or(0) as usize;
            self.node_heap_bytes -= node.run_bytes();
            self.blocks -= (len - kept) as u64;
            if kept == 0 {
                self.drop_node(id);
                return;
            }
            node.run = node.run[..kept].into();
            self.node_heap_bytes += node.run_bytes();
        }
        let Some(copy_bytes) = self.nodes[id].holders_shrink_bytes() else {
            return;
        };
        if self.fits(copy_bytes) {
            let node = &mut self.nodes[id];
            self.node_heap_bytes -= node.holders_bytes();
            node.holders.shrink_to_fit();
            self.node_heap_bytes += node.holders_bytes();
        }
    }

    /// Forgets a node whose run is accounted for already.
    fn drop_node(&mut self, id: u32) {
        self.node_heap_bytes -= self.nodes[id].holders_bytes();
        let parent = self.nodes[id].parent;
        if parent != NONE {
            self.nodes[parent].children -= 1;
        }
        self.children.remove(&mut self.nodes, id);
        self.nodes.remove(id);
    }
}
