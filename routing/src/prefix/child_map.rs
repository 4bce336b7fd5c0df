//! From a node and a block hash to the child whose run starts with it: one map for all nodes.
//!
//! Linear hashing (Litwin, "Linear hashing: a new tool for file and table addressing", 1980):
//! the table grows by one bucket per insertion, so that no insertion pays for a rehash and no
//! growth needs room for a second table. The hashes are xxh3 already; their low bits are the key.

use super::node::Node;
use super::slab::{NONE, Slab, heap_bytes};
use crate::block::BlockHash;

const PAGE_BUCKETS: usize = 1024;
const PAGE_BYTES: usize = heap_bytes::<u32>(PAGE_BUCKETS);

#[derive(Debug)]
pub(super) struct ChildMap {
    // Each bucket names its first node; `Node::next_in_bucket` leads to the others.
    pages: Vec<Box<[u32]>>,
    buckets: usize,
}

impl ChildMap {
    /// A map for as many nodes as fit into `limit_bytes`.
    pub(super) fn with_limit(limit_bytes: usize) -> ChildMap {
        let nodes_max = limit_bytes / size_of::<Node>();
        let mut pages = Vec::with_capacity(nodes_max / PAGE_BUCKETS + 2);
        pages.push(new_page());
        ChildMap {
            pages,
            buckets: PAGE_BUCKETS,
        }
    }

    /// Everything allocated now.
    pub(super) fn bytes(&self) -> usize {
        heap_bytes::<Box<[u32]>>(self.pages.capacity()) + self.pages.len() * PAGE_BYTES
    }

    /// What inserting the node that makes them `nodes` would allocate.
    pub(super) fn growth_bytes(&self, nodes: usize) -> usize {
        let is_page_full = self.buckets == self.pages.len() * PAGE_BUCKETS;
        if nodes > self.buckets && is_page_full {
            PAGE_BYTES
        } else {
            0
        }
    }

    /// The child of `parent` that starts with `first`, or [`NONE`].
    ///
    /// The parent is compared too: should two hashes collide, neither chain takes the other's.
    pub(super) fn find(&self, nodes: &Slab<Node>, parent: u32, first: BlockHash) -> u32 {
        let mut id = self.head(self.bucket(first));
        while id != NONE {
            let node = &nodes[id];
            if node.first == first && node.parent == parent {
                break;
            }
            id = node.next_in_bucket;
        }
        id
    }

    /// Lists a node under its `first` and `parent`.
    pub(super) fn insert(&mut self, nodes: &mut Slab<Node>, id: u32) {
        if nodes.len() > self.buckets {
            self.add_bucket(nodes);
        }
        self.push(nodes, id);
    }

    /// Unlists a node; to be called before its `first` or `parent` change.
    pub(super) fn remove(&mut self, nodes: &mut Slab<Node>, id: u32) {
        let bucket = self.bucket(nodes[id].first);
        let next = nodes[id].next_in_bucket;
        let mut at = self.head(bucket);
        if at == id {
            self.set_head(bucket, next);
            return;
        }
        while nodes[at].next_in_bucket != id {
            at = nodes[at].next_in_bucket;
        }
        nodes[at].next_in_bucket = next;
    }

    fn push(&mut self, nodes: &mut Slab<Node>, id: u32) {
        let bucket = self.bucket(nodes[id].first);
        nodes[id].next_in_bucket = self.head(bucket);
        self.set_head(bucket, id);
    }

    fn add_bucket(&mut self, nodes: &mut Slab<Node>) {
        let added = self.buckets;
        if added == self.pages.len() * PAGE_BUCKETS {
            debug_assert!(
                self.pages.len() < self.pages.capacity(),
                "limit ignored by the caller"
            );
            self.pages.push(new_page());
        }
        // Its nodes are so far in the bucket whose number lacks the highest bit.
        let source = added - (1 << added.ilog2());
        let mut id = self.head(source);
        self.buckets += 1;
        self.set_head(source, NONE);
        while id != NONE {
            let next = nodes[id].next_in_bucket;
            self.push(nodes, id);
            id = next;
        }
    }

    fn bucket(&self, first: BlockHash) -> usize {
        let doubled = self.buckets.next_power_of_two();
        let bucket = first.0 as usize & (doubled - 1);
        if bucket < self.buckets {
            bucket
        } else {
            bucket & (doubled / 2 - 1)
        }
    }

    fn head(&self, bucket: usize) -> u32 {
        self.pages[bucket / PAGE_BUCKETS][bucket % PAGE_BUCKETS]
    }

    fn set_head(&mut self, bucket: usize, id: u32) {
        self.pages[bucket / PAGE_BUCKETS][bucket % PAGE_BUCKETS] = id;
    }
}

fn new_page() -> Box<[u32]> {
    vec![NONE; PAGE_BUCKETS].into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT_BYTES: usize = 8 << 20;

    #[test]
    fn finds_each_node_by_hash_and_parent_while_it_grows_and_shrinks() {
        let (mut nodes, mut map) = (
            Slab::with_limit(LIMIT_BYTES),
            ChildMap::with_limit(LIMIT_BYTES),
        );
        // Multiples of 3 share buckets now and then; the parent tells equal hashes apart.
        let key = |at: u32| (at % 2, BlockHash(u64::from(at / 2) * 3));
        let ids: Vec<u32> = (0..5_000)
            .map(|at| {
                let (parent, first) = key(at);
                let before = map.bytes();
                let announced = map.growth_bytes(nodes.len() + 1);
                let id = nodes.insert(Node::new(parent, 0, Box::new([first])));
                map.insert(&mut nodes, id);
                assert_eq!(map.bytes(), before + announced);
                id
            })
            .collect();
        for (at, &id) in (0..).zip(&ids) {
            let (parent, first) = key(at);
            assert_eq!(map.find(&nodes, parent, first), id);
            assert_eq!(map.find(&nodes, 2, first), NONE);
        }
        for (at, &id) in (0..).zip(&ids).filter(|(at, _)| at % 3 != 0) {
            map.remove(&mut nodes, id);
            nodes.remove(id);
            let (parent, first) = key(at);
            assert_eq!(map.find(&nodes, parent, first), NONE);
        }
        for (at, &id) in (0..).zip(&ids).filter(|(at, _)| at % 3 == 0) {
            let (parent, first) = key(at);
            assert_eq!(map.find(&nodes, parent, first), id);
        }
    }
}
