//! What must hold between any two calls, checked from the data alone.

use super::ages::Stamp;
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
        self.records.check_bytes();
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
                assert!(above.stamp >= holder.stamp, "used no later than the parent");
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
        let mut by_bucket: Vec<(Stamp, u32)> = record.ages.buckets().collect();
        assert!(
            by_bucket.is_sorted_by(|older, younger| older.0 < younger.0),
            "buckets in order"
        );
        let sum: u64 = by_bucket.iter().map(|&(_, blocks)| u64::from(blocks)).sum();
        assert_eq!(sum, record.blocks, "blocks in buckets");
        let mut younger = None;
        while id != NONE {
            let holding = &self.holdings[id];
            assert_eq!(holding.endpoint, record.id);
            let holder = self.nodes[holding.node]
                .holder(record.id)
                .expect("invariant: every holding has its holder");
            blocks += u64::from(holder.blocks);
            assert!(younger.is_none_or(|younger| younger >= holder.stamp));
            younger = Some(holder.stamp);
            let after = by_bucket.partition_point(|&(first, _)| first <= holder.stamp);
            by_bucket[after - 1].1 -= holder.blocks;
            id = holding.older(Order::Endpoint);
        }
        assert_eq!(blocks, record.blocks, "blocks of the endpoint");
        assert!(by_bucket.iter().all(|&(_, blocks)| blocks == 0));
        let cutoffs = self.records.cutoffs(record.id);
        assert!(cutoffs.device >= cutoffs.total, "the device is the smaller");
        self.check_order(&record.recency, Order::Endpoint)
    }
}

#[cfg(test)]
mod tests {
    use crate::block::BlockHash;
    use crate::endpoint::EndpointId;
    use crate::prefix::CacheSizes;
    use crate::prefix::tree::Tree;
    use crate::units::Blocks;

    #[test]
    fn stamps_that_run_out_start_anew_and_nothing_is_forgotten() {
        let (a, b) = (EndpointId(0), EndpointId(1));
        let prompt = |tag: u64, blocks: u64| -> Vec<BlockHash> {
            (0..blocks).map(|at| BlockHash((tag << 32) + at)).collect()
        };
        let mut tree = Tree::new(1 << 20);
        let sizes = CacheSizes {
            device: Blocks(200),
            total: Blocks(600),
            ghosts: Blocks(100_000),
        };
        tree.set_sizes(a, sizes);
        for tag in 0..100 {
            tree.insert(&prompt(tag, 20), a);
            tree.insert(&prompt(tag, 10), b);
            tree.trim(a, 1);
        }
        let held = |tree: &Tree| -> Vec<_> {
            (0..100).map(|tag| tree.held(&prompt(tag, 20), a)).collect()
        };
        let before = held(&tree);
        for left in (1..=4).rev() {
            let position = tree.records.position(a).unwrap();
            tree.records.at_mut(position).ages.use_up(left);
            // Of two stamps, and held already: no other prompt ages by it.
            tree.insert(&prompt(99, 20), a);
            tree.trim(a, 1);
            tree.check_invariants();
            assert_eq!(held(&tree), before, "{left} left");
        }
        assert!(before[99].device == Blocks(20) && before[0].blocks == Blocks(0));
        assert!(before[80].blocks == Blocks(20) && before[80].device == Blocks(0));
    }
}
