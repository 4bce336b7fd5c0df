//! Which holdings of an endpoint hang below which: kept so that a subtree can be forgotten, through
//! every cut of a node in two.

use super::lru::{Holding, Order};
use super::node::{Holder, Node};
use super::slab::NONE;
use super::tree::{Step, Tree};
use crate::block::BlockHash;
use crate::endpoint::EndpointId;

impl Tree {
    /// Lists a new holding as a child of another (of none, at the root).
    pub(super) fn adopt(&mut self, parent: u32, id: u32) {
        if parent == NONE {
            return;
        }
        let next = self.holdings[parent].first_child;
        self.holdings[parent].first_child = id;
        self.holdings[id].next_sibling = next;
        if next != NONE {
            self.holdings[next].prev_sibling = id;
        }
    }

    /// Cuts a node in two. The new one is the upper part, so that children keep their parent.
    pub(super) fn split(&mut self, step: Step) {
        let lower_id = step.node;
        let at = step.matched as u32;
        self.children.remove(&mut self.nodes, lower_id);
        let lower = &mut self.nodes[lower_id];
        self.node_heap_bytes -= lower.run_bytes();
        let upper_run: Box<[BlockHash]> = lower.run[..step.matched].into();
        lower.run = lower.run[step.matched..].into();
        lower.first = lower.run[0];
        let mut upper = Node::new(lower.parent, lower.start, upper_run);
        upper.children = 1;
        upper.holders.reserve_exact(lower.holders.len());
        lower.start += at;
        self.node_heap_bytes += lower.run_bytes() + upper.run_bytes() + upper.holders_bytes();
        let upper_id = self.nodes.insert(upper);
        self.nodes[lower_id].parent = upper_id;
        self.children.insert(&mut self.nodes, upper_id);
        self.children.insert(&mut self.nodes, lower_id);

        for position in 0..self.nodes[lower_id].holders.len() {
            let holder = self.nodes[lower_id].holders[position];
            let upper_holder = if holder.blocks > at {
                let holding = self.split_holding(holder.holding, upper_id);
                Holder {
                    blocks: at,
                    holding,
                    ..holder
                }
            } else {
                self.holdings[holder.holding].node = upper_id;
                holder
            };
            self.nodes[upper_id].holders.push(upper_holder);
            self.nodes[lower_id].holders[position].blocks -= upper_holder.blocks;
        }
        self.nodes[lower_id]
            .holders
            .retain(|holder| holder.blocks > 0);
    }

    /// A holding of the upper part, just newer than that of the lower and in its family place.
    fn split_holding(&mut self, lower: u32, upper_node: u32) -> u32 {
        let endpoint = self.holdings[lower].endpoint;
        let upper = self.holdings.insert(Holding::new(upper_node, endpoint));
        let newer = self.holdings[lower].newer(Order::Endpoint);
        self.records
            .of_holder(endpoint)
            .recency
            .link(&mut self.holdings, upper, newer);
        let newer = self.holdings[lower].newer(Order::Everyone);
        self.recency.link(&mut self.holdings, upper, newer);

        let (prev, next) = (
            self.holdings[lower].prev_sibling,
            self.holdings[lower].next_sibling,
        );
        self.link_siblings(upper_node, endpoint, prev, upper);
        self.holdings[upper].next_sibling = next;
        if next != NONE {
            self.holdings[next].prev_sibling = upper;
        }
        self.holdings[upper].first_child = lower;
        self.holdings[lower].prev_sibling = NONE;
        self.holdings[lower].next_sibling = NONE;
        upper
    }

    /// Makes `id` (or none) the next after `prev`, or the first child of what `endpoint` holds of
    /// the parent of `node`.
    pub(super) fn link_siblings(&mut self, node: u32, endpoint: EndpointId, prev: u32, id: u32) {
        if id != NONE {
            self.holdings[id].prev_sibling = prev;
        }
        if prev != NONE {
            self.holdings[prev].next_sibling = id;
            return;
        }
        let parent = self.nodes[node].parent;
        if parent != NONE {
            let holder = self.nodes[parent].holder(endpoint);
            let holding = holder
                .expect("invariant: who holds a child holds its parent")
                .holding;
            self.holdings[holding].first_child = id;
        }
    }
}
