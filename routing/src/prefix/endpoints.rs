//! What the index keeps for each endpoint: its sizes, how much of them is used, what is how old.

use super::CacheSizes;
use super::ages::{Ages, Stamp, Stamps};
use super::lru::{Order, Recency};
use super::slab::heap_bytes;
use crate::endpoint::EndpointId;
use crate::units::Blocks;

/// What was last used before these stamps is no longer held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cutoffs {
    /// On the device. Never older than the other.
    pub(super) device: Stamp,
    /// On any tier: what is older is a ghost.
    pub(super) total: Stamp,
}

/// The cutoffs are worked out anew when so large a part of a device has been used anew.
const STALE_PART: u64 = 128;

#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: EndpointId,
    pub(super) sizes: CacheSizes,
    /// Sum over its holdings.
    pub(super) blocks: u64,
    pub(super) recency: Recency,
    pub(super) ages: Ages,
    /// Blocks that came onto the device since the cutoffs were worked out.
    stale_blocks: u64,
}

impl Record {
    fn new(id: EndpointId, sizes: CacheSizes) -> Record {
        Record {
            id,
            sizes,
            blocks: 0,
            recency: Recency::new(Order::Endpoint),
            ages: Ages::default(),
            stale_blocks: 0,
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
    // Of each record, in the same order: apart, because every lookup reads many of them.
    cutoffs: Vec<(EndpointId, Cutoffs)>,
    /// Allocations of all ages.
    ages_bytes: usize,
}

impl Records {
    /// Everything allocated now.
    pub(super) fn bytes(&self) -> usize {
        heap_bytes::<Record>(self.records.capacity())
            + heap_bytes::<(EndpointId, Cutoffs)>(self.cutoffs.capacity())
            + self.ages_bytes
    }

    /// What one more endpoint would allocate, while the old list is still there.
    pub(super) fn growth_bytes(&self) -> usize {
        let is_full = self.records.len() == self.records.capacity();
        if is_full {
            let capacity = self.grown_capacity();
            heap_bytes::<Record>(capacity) + heap_bytes::<(EndpointId, Cutoffs)>(capacity)
        } else {
            0
        }
    }

    pub(super) fn position(&self, id: EndpointId) -> Result<usize, usize> {
        // Ids rise and never repeat: it stands this far behind the first, or nearer.
        let farthest = match self.cutoffs.first() {
            Some(&(first, _)) if first <= id => (id.0 - first.0) as usize,
            _ => return Err(0),
        };
        match self.cutoffs.get(farthest) {
            Some(&(found, _)) if found == id => Ok(farthest),
            _ => self.cutoffs[..farthest.min(self.cutoffs.len())]
                .binary_search_by_key(&id, |&(id, _)| id),
        }
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

    /// Older than what this endpoint holds? Of one that holds something.
    #[inline]
    pub(super) fn cutoffs(&self, id: EndpointId) -> Cutoffs {
        match self.position(id) {
            Ok(position) => self.cutoffs[position].1,
            Err(_) => Cutoffs::default(),
        }
    }

    /// What opening the stamps of a prompt would allocate.
    pub(super) fn stamps_growth_bytes(&mut self, position: usize, blocks: usize) -> usize {
        let ages = &mut self.records[position].ages;
        ages.growth_bytes(Stamps::count(blocks))
    }

    /// Stamps for a prompt that the endpoint uses now.
    pub(super) fn open_stamps(&mut self, position: usize, blocks: usize) -> Stamps {
        let ages = &mut self.records[position].ages;
        self.ages_bytes -= ages.bytes();
        let stamps = ages.open(blocks);
        self.ages_bytes += ages.bytes();
        stamps
    }

    /// Counts blocks that were used at `old` (never, where there is none) and are again.
    pub(super) fn note_used(
        &mut self,
        position: usize,
        old: Option<(Stamp, u32)>,
        (new, blocks): (Stamp, u32),
    ) {
        let device = self.cutoffs[position].1.device;
        let record = &mut self.records[position];
        let mut fresh = blocks;
        if let Some((stamp, blocks)) = old {
            record.ages.remove(stamp, blocks);
            record.blocks -= u64::from(blocks);
            if stamp >= device {
                fresh -= blocks;
            }
        }
        record.ages.add(new, blocks);
        record.blocks += u64::from(blocks);
        record.stale_blocks += u64::from(fresh);
    }

    /// Brings the cutoffs up to date where enough has changed.
    pub(super) fn refresh_cutoffs(&mut self, position: usize) {
        let (record, cutoffs) = (&self.records[position], self.cutoffs[position].1);
        let (device, total) = (record.sizes.device.0, record.sizes.total.0);
        let fits = |cutoff: Stamp, size: u32| {
            cutoff > Stamp::default() && record.blocks <= u64::from(size)
        };
        if record.stale_blocks > u64::from(device) / STALE_PART
            || fits(cutoffs.device, device)
            || fits(cutoffs.total, total)
        {
            self.set_cutoffs(position);
        }
    }

    /// Brings the cutoffs up to date.
    pub(super) fn set_cutoffs(&mut self, position: usize) {
        let record = &mut self.records[position];
        record.stale_blocks = 0;
        let cutoff = |size: Blocks| match u64::from(size.0) {
            size if size >= record.blocks => Stamp::default(),
            size => record.ages.cutoff(size),
        };
        self.cutoffs[position].1 = Cutoffs {
            device: cutoff(record.sizes.device),
            total: cutoff(record.sizes.total),
        };
    }

    pub(super) fn insert(&mut self, position: usize, id: EndpointId, sizes: CacheSizes) {
        if self.records.len() == self.records.capacity() {
            let more = self.grown_capacity() - self.records.len();
            self.records.reserve_exact(more);
            self.cutoffs.reserve_exact(more);
        }
        self.cutoffs.insert(position, (id, Cutoffs::default()));
        self.records.insert(position, Record::new(id, sizes));
    }

    pub(super) fn remove(&mut self, id: EndpointId) {
        if let Ok(position) = self.position(id) {
            let gone = self.records.remove(position);
            self.ages_bytes -= gone.ages.bytes();
            self.cutoffs.remove(position);
        }
    }

    pub(super) fn check_bytes(&self) {
        let ages = self.records.iter().map(|record| record.ages.bytes());
        assert_eq!(ages.sum::<usize>(), self.ages_bytes, "bytes of ages");
        let ids = self.records.iter().map(|record| record.id);
        assert!(ids.eq(self.cutoffs.iter().map(|&(id, _)| id)));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    fn grown_capacity(&self) -> usize {
        let len = self.records.len();
        len + (len / 4).max(16)
    }
}
