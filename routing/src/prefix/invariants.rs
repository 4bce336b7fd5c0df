//! What must hold between any two calls, checked from the data alone.

use super::endpoints::Record;
use super::lru::{Order, Recency};
use super::node::{Node, RUN_BLOCKS_MAX};
use super::slab::NONE;
use super::tree::Tree;

impl Tree {
    pub(super) fn check_invariants(&self) {
        assert!(
            self.nodes.len() == 0 || self.bytes() <= self.limit_bytes,
            "{} bytes exceed the limit of {}",
            self.bytes(),
            self.limit_bytes
        );
        let heap = self
            .nodes
            .iter()
            .map(|(_, node)| node.run_bytes() + node.holders_bytes());
        assert_eq!(
            heap.sum::<usize>(),
            self.node_heap_bytes,
            "bytes of runs and holders"
        );
        let blocks = self.nodes.iter().map(|(_, node)| node.run.len() as u64);
        assert_eq!(blocks.sum::<u64>(), self.blocks, "blocks in runs");
        let holders = self.nodes.iter().map(|(_, node)| node.holders.len());
        assert_eq!(
            holders.sum::<usize>(),
            self.holdings.len(),
            "holders and holdings"
        );
        for (id, node) in self.nodes.iter() {
            self.check_node(id, node);
        }
        assert_eq!(
            self.check_order(&self.recency, Order::Everyone),
            self.holdings.len()
        );
        let mut held = 0;
        let mut previous = None;
        for record in self.records.iter() {
            assert!(previous < Some(record.id), "records are sorted by endpoint");
            previous = Some(record.id);
            held += self.check_record(record);
        }
        assert_eq!(
            held,
            self.holdings.len(),
            "every holding is in its endpoint's order"
        );
    }

    fn check_node(&self, id: u32, node: &Node) {
        assert!((1..=RUN_BLOCKS_MAX).contains(&node.run.len()));
        assert_eq!(node.first, node.run[0]);
        assert_eq!(
            self.children.find(&self.nodes, node.parent, node.first),
            id,
            "not found"
        );
        let children = self.nodes.iter().filter(|(_, child)| child.parent == id);
        assert_eq!(children.count(), node.children as usize);
        if node.parent == NONE {
            assert_eq!(node.start, 0);
        } else {
            let parent = &self.nodes[node.parent];
            assert_eq!(node.start, parent.start + parent.run.len() as u32);
        }
        assert!(node.holders.is_sorted_by_key(|holder| holder.endpoint));
        let longest = node.holders.iter().map(|holder| holder.blocks).max();
        assert_eq!(
            longest,
            Some(node.run.len() as u32),
            "held to its end by somebody"
        );
        for holder in &node.holders {
            assert!(holder.blocks >= 1);
            let holding = &self.holdings[holder.holding];
            assert_eq!((holding.node, holding.endpoint), (id, holder.endpoint));
            if node.parent == NONE {
                assert_eq!((holding.prev_sibling, holding.next_sibling), (NONE, NONE));
            } else {
                let parent = &self.nodes[node.parent];
                let above = parent
                    .holder(holder.endpoint)
                    .expect("invariant: a holder of the parent");
                assert_eq!(
                    above.blocks as usize,
                    parent.run.len(),
                    "holds all of the parent"
                );
            }
            self.check_family(id, holder.holding);
        }
    }

    /// The children of a holding are the same endpoint's holdings of the node's children.
    fn check_family(&self, node: u32, holding: u32) {
        let endpoint = self.holdings[holding].endpoint;
        let (mut child, mut prev, mut count) = (self.holdings[holding].first_child, NONE, 0);
        while child != NONE {
            let at = &self.holdings[child];
            assert_eq!(at.endpoint, endpoint);
            assert_eq!(self.nodes[at.node].parent, node);
            assert_eq!(at.prev_sibling, prev);
            count += 1;
            (prev, child) = (child, at.next_sibling);
        }
        let children = self.nodes.iter().filter(|(_, child)| child.parent == node);
        let held = children
            .filter(|(_, child)| child.holder(endpoint).is_some())
            .count();
        assert_eq!(count, held, "every held child is in the family");
    }

    /// Returns the number of holdings in the order.
    fn check_order(&self, recency: &Recency, order: Order) -> usize {
        let mut seen = vec![];
        let (mut id, mut newer) = (recency.newest(), NONE);
        while id != NONE {
            let holding = &self.holdings[id];
            assert_eq!(holding.newer(order), newer);
            let parent = self.nodes[holding.node].parent;
            if parent != NONE {
                let above = self.nodes[parent]
                    .holder(holding.endpoint)
                    .expect("invariant: every holding has its holder");
                assert!(seen.contains(&above.holding), "older than its descendant");
            }
            seen.push(id);
            (newer, id) = (id, holding.older(order));
        }
        assert_eq!(recency.oldest(), newer);
        seen.len()
    }

    fn check_record(&self, record: &Record) -> usize {
        assert_eq!(record.excess_blocks(), 0, "more than the capacity");
        let (mut id, mut blocks) = (record.recency.newest(), 0);
        while id != NONE {
            let holding = &self.holdings[id];
            assert_eq!(holding.endpoint, record.id);
            let holder = self.nodes[holding.node]
                .holder(record.id)
                .expect("invariant: every holding has its holder");
            blocks += u64::from(holder.blocks);
            id = holding.older(Order::Endpoint);
        }
        assert_eq!(blocks, record.blocks, "blocks of the endpoint");
        self.check_order(&record.recency, Order::Endpoint)
    }
}
