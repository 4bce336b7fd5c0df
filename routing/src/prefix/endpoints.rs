//! What the index keeps for each endpoint: its capacity, how much of it is used, what is oldest.

use super::CacheSizes;
use super::lru::{Order, Recency};
use super::slab::heap_bytes;
use crate::endpoint::EndpointId;

#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: EndpointId,
    pub(super) sizes: CacheSizes,
    /// Sum over its holdings.
    pub(super) blocks: u64,
    pub(super) recency: Recency,
}

impl Record {
    fn new(id: EndpointId, sizes: CacheSizes) -> Record {
        Record {
            id,
            sizes,
            blocks: 0,
            recency: Recency::new(Order::Endpoint),
        }
    }

    /// Blocks too many.
    pub(super) fn excess_blocks(&self) -> u64 {
        self.blocks.saturating_sub(u64::from(self.sizes.ghosts.0))
    }
}

/// Sorted by endpoint. Ids are given in rising order, so that most insertions are at the end.
#[derive(Debug, Default)]
pub(super) struct Records {
    records: Vec<Record>,
}

impl Records {
    /// Everything allocated now.
    pub(super) fn bytes(&self) -> usize {
        heap_bytes::<Record>(self.records.capacity())
    }

    /// What one more endpoint would allocate, while the old list is still there.
    pub(super) fn growth_bytes(&self) -> usize {
        let is_full = self.records.len() == self.records.capacity();
        if is_full {
            heap_bytes::<Record>(self.grown_capacity())
        } else {
            0
        }
    }

    pub(super) fn position(&self, id: EndpointId) -> Result<usize, usize> {
        self.records.binary_search_by_key(&id, |record| record.id)
    }

    pub(super) fn get(&self, id: EndpointId) -> Option<&Record> {
        Some(&self.records[self.position(id).ok()?])
    }

    pub(super) fn at(&self, position: usize) -> &Record {
        &self.records[position]
    }

    pub(super) fn at_mut(&mut self, position: usize) -> &mut Record {
        &mut self.records[position]
    }

    /// The record of an endpoint that holds something.
    pub(super) fn of_holder(&mut self, id: EndpointId) -> &mut Record {
        let position = self.position(id).expect("invariant: holders have a record");
        &mut self.records[position]
    }

    pub(super) fn insert(&mut self, position: usize, id: EndpointId, sizes: CacheSizes) {
        if self.records.len() == self.records.capacity() {
            self.records
                .reserve_exact(self.grown_capacity() - self.records.len());
        }
        self.records.insert(position, Record::new(id, sizes));
    }

    pub(super) fn remove(&mut self, id: EndpointId) {
        if let Ok(position) = self.position(id) {
            self.records.remove(position);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    fn grown_capacity(&self) -> usize {
        let len = self.records.len();
        len + (len / 4).max(16)
    }
}
