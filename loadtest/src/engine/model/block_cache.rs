//! A prefix cache decides what a prompt costs, so the simulated engine needs a faithful one.
//!
//! A block is in one of three places: *shared* (named by its hash; pinned while a running request
//! uses it, else in the LRU list), *private* (allocated to a running request, not yet filled by
//! what was scheduled, so nobody else can see it), or *free*. Running requests also hold
//! *reservations*: room they will need later. A request is admitted only when its reservation
//! fits, so nothing is ever preempted (a simplification of vLLM V1, which preempts and recomputes).

use hashbrown::HashMap;
use slab::Slab;

use super::lru::LruList;

/// Name of a full block of tokens, chained with its parent: equal hash means equal prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockHash(pub u64);

/// How many blocks are where; `shared_pinned + shared_idle + private + free == capacity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCensus {
    /// Blocks the cache can hold.
    pub capacity: u64,
    /// Visible blocks that a running request uses.
    pub shared_pinned: u64,
    /// Visible blocks that nobody uses now; these may be evicted.
    pub shared_idle: u64,
    /// Blocks of running requests that nobody else can see.
    pub private: u64,
    /// Blocks that hold nothing.
    pub free: u64,
    /// Blocks that admitted requests may still ask for.
    pub reserved: u64,
}

/// Where a visible block is; valid while it is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockSlot(u32);

#[derive(Debug)]
struct Shared {
    hash: BlockHash,
    pins: u32,
}

/// Blocks of one engine, evicted least recently used first, the tail of a prompt before its head.
#[derive(Debug)]
pub(super) struct BlockCache {
    capacity: u64,
    shared: Slab<Shared>,
    slots: HashMap<BlockHash, u32>,
    /// Slots of `shared` without a pin.
    idle: LruList,
    private: u64,
    reserved: u64,
    loosened: u64,
}

impl BlockCache {
    /// An empty cache of `capacity` blocks.
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            shared: Slab::new(),
            slots: HashMap::new(),
            idle: LruList::new(),
            private: 0,
            reserved: 0,
            loosened: 0,
        }
    }

    /// How many leading blocks of `chain` are visible.
    pub(super) fn prefix_match(&self, chain: &[BlockHash]) -> usize {
        chain
            .iter()
            .take_while(|block| self.slots.contains_key(*block))
            .count()
    }

    /// Appends to `found` where the leading visible blocks of `chain` are.
    pub(super) fn find(&self, chain: &[BlockHash], found: &mut Vec<BlockSlot>) {
        let slots = chain.iter().map_while(|block| self.slots.get(block));
        found.extend(slots.map(|slot| BlockSlot(*slot)));
    }

    /// Whether `held` (visible blocks) can be pinned and `more` further ones reserved beside what
    /// was promised to others.
    pub(super) fn fits(&self, held: &[BlockSlot], more: u64) -> bool {
        let is_idle = |slot: &&BlockSlot| self.shared[slot.0 as usize].pins == 0;
        let newly_pinned = held.iter().filter(is_idle).count() as u64;
        self.promised() + newly_pinned + more <= self.capacity
    }

    /// Pins `held` and reserves `more` further blocks; they must fit.
    pub(super) fn admit(&mut self, held: &[BlockSlot], more: u64) {
        for slot in held {
            self.pin(*slot);
        }
        self.reserved += more;
    }

    /// Turns `count` reserved blocks into private ones, evicting idle blocks where none is free;
    /// `evicted` hears of each.
    ///
    /// # Panics
    /// When fewer than `count` blocks are reserved.
    pub(super) fn allocate(&mut self, count: u64, mut evicted: impl FnMut(BlockHash)) {
        assert!(
            count <= self.reserved,
            "invariant: allocation stays within the reservation"
        );
        for _ in 0..count.saturating_sub(self.free()) {
            evicted(self.evict_one());
        }
        self.reserved -= count;
        self.private += count;
    }

    /// Makes one private block visible under `block`, pinned by its owner. Should another request
    /// have brought the same block meanwhile, the copies become one.
    pub(super) fn publish(&mut self, block: BlockHash) -> BlockSlot {
        debug_assert!(self.private > 0, "only a private block can be published");
        self.private -= 1;
        self.loosened += 1;
        if let Some(slot) = self.slots.get(&block) {
            let slot = BlockSlot(*slot);
            self.pin(slot);
            return slot;
        }
        let slot = self.shared.insert(Shared {
            hash: block,
            pins: 1,
        }) as u32;
        self.slots.insert(block, slot);
        BlockSlot(slot)
    }

    /// Gives back everything a request held. `held` is unpinned from its tail, so that a later
    /// eviction shortens prefixes instead of cutting off their heads.
    pub(super) fn release(&mut self, held: &[BlockSlot], private: u64, reserved: u64) {
        self.private -= private;
        self.reserved -= reserved;
        self.loosened += 1;
        for slot in held.iter().rev() {
            let entry = &mut self.shared[slot.0 as usize];
            entry.pins -= 1;
            if entry.pins == 0 {
                self.idle.push_newest(slot.0);
            }
        }
    }

    /// Changes whenever something happened that may let an admission fit which did not: a release,
    /// or a block that became visible. An eviction is none: what a request no longer finds it must
    /// reserve instead of pin.
    pub(super) fn loosened(&self) -> u64 {
        self.loosened
    }

    /// Blocks in use by running requests as a share of all, 0..=1. As with vLLM, 0 when idle even
    /// though the prefix cache is full.
    pub(super) fn usage_ratio(&self) -> f64 {
        if self.capacity == 0 {
            return 0.0;
        }
        (self.pinned() + self.private) as f64 / self.capacity as f64
    }

    /// Where all the blocks are.
    pub(super) fn census(&self) -> BlockCensus {
        BlockCensus {
            capacity: self.capacity,
            shared_pinned: self.pinned(),
            shared_idle: self.idle.len() as u64,
            private: self.private,
            free: self.free(),
            reserved: self.reserved,
        }
    }

    /// Forgets every idle block, as after vLLM's `/reset_prefix_cache`.
    pub(super) fn clear_idle(&mut self) {
        while self.idle.len() > 0 {
            self.evict_one();
        }
    }

    /// All visible blocks, in no order.
    pub(super) fn visible(&self) -> impl Iterator<Item = BlockHash> {
        self.shared.iter().map(|(_, entry)| entry.hash)
    }

    /// Panics when the accounting is broken. For tests: it visits every block.
    pub(super) fn check_invariants(&self) {
        assert!(
            self.shared.len() as u64 + self.private <= self.capacity,
            "more blocks than capacity"
        );
        assert!(
            self.promised() <= self.capacity,
            "reservations exceed what can be freed"
        );
        let is_idle = |entry: &(usize, &Shared)| entry.1.pins == 0;
        let idle = self.shared.iter().filter(is_idle).count();
        assert_eq!(
            idle,
            self.idle.len(),
            "every unpinned block is in the LRU list once"
        );
        for slot in self.idle.iter() {
            assert_eq!(self.shared[slot as usize].pins, 0);
        }
        assert_eq!(self.shared.len(), self.slots.len());
        for (slot, entry) in &self.shared {
            assert_eq!(self.slots.get(&entry.hash), Some(&(slot as u32)));
        }
    }

    fn pin(&mut self, slot: BlockSlot) {
        let entry = &mut self.shared[slot.0 as usize];
        if entry.pins == 0 {
            self.idle.remove(slot.0);
        }
        entry.pins += 1;
    }

    fn evict_one(&mut self) -> BlockHash {
        let slot = self
            .idle
            .pop_oldest()
            .expect("invariant: admission left a block to evict");
        let gone = self.shared.remove(slot as usize);
        self.slots.remove(&gone.hash);
        gone.hash
    }

    fn pinned(&self) -> u64 {
        (self.shared.len() - self.idle.len()) as u64
    }

    fn promised(&self) -> u64 {
        self.pinned() + self.private + self.reserved
    }

    fn free(&self) -> u64 {
        self.capacity - self.shared.len() as u64 - self.private
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(ids: &[u64]) -> Vec<BlockHash> {
        ids.iter().copied().map(BlockHash).collect()
    }

    fn found(cache: &BlockCache, ids: &[u64]) -> Vec<BlockSlot> {
        let mut slots = Vec::new();
        cache.find(&chain(ids), &mut slots);
        slots
    }

    /// Runs a request over `ids` from nothing to its end; returns what was evicted.
    fn fill(cache: &mut BlockCache, ids: &[u64]) -> Vec<u64> {
        let mut held = found(cache, ids);
        let new = (ids.len() - held.len()) as u64;
        assert!(cache.fits(&held, new));
        cache.admit(&held, new);
        let mut evicted = Vec::new();
        cache.allocate(new, |block| evicted.push(block.0));
        for id in &ids[held.len()..] {
            held.push(cache.publish(BlockHash(*id)));
        }
        cache.release(&held, 0, 0);
        cache.check_invariants();
        evicted
    }

    #[test]
    fn the_tail_of_the_oldest_prompt_goes_first() {
        let mut cache = BlockCache::new(5);
        fill(&mut cache, &[1, 2, 3]);
        fill(&mut cache, &[11, 12]);
        assert_eq!(fill(&mut cache, &[21]), [3]);
        assert_eq!(cache.prefix_match(&chain(&[1, 2, 3])), 2);
        assert_eq!(cache.prefix_match(&chain(&[11, 12])), 2);
    }

    #[test]
    fn a_hit_makes_a_prefix_young_again() {
        let mut cache = BlockCache::new(4);
        fill(&mut cache, &[1, 2]);
        fill(&mut cache, &[11, 12]);
        fill(&mut cache, &[1, 2]);
        fill(&mut cache, &[21, 22]);
        assert_eq!(cache.prefix_match(&chain(&[1, 2])), 2);
        assert_eq!(cache.prefix_match(&chain(&[11, 12])), 0);
    }

    #[test]
    fn admission_stops_exactly_at_capacity() {
        let mut cache = BlockCache::new(4);
        fill(&mut cache, &[1, 2]);
        let held = found(&cache, &[1, 2]);
        assert!(!cache.fits(&held, 3));
        assert!(cache.fits(&held, 2));
        cache.admit(&held, 2);
        assert!(!cache.fits(&[], 1));
        assert!(
            cache.fits(&held, 0),
            "pinning what is pinned already takes no room"
        );
        cache.check_invariants();
    }

    #[test]
    fn two_copies_of_a_block_become_one() {
        let mut cache = BlockCache::new(4);
        cache.admit(&[], 2);
        cache.allocate(2, |_| unreachable!("nothing to evict"));
        let slot = cache.publish(BlockHash(7));
        assert_eq!(cache.publish(BlockHash(7)), slot);
        let census = cache.census();
        assert_eq!(
            (census.shared_pinned, census.private, census.free),
            (1, 0, 3)
        );
        cache.release(&[slot], 0, 0);
        assert_eq!(cache.census().shared_pinned, 1, "one owner is left");
        cache.release(&[slot], 0, 0);
        assert_eq!(cache.census().shared_idle, 1);
        cache.check_invariants();
    }

    #[test]
    fn clearing_keeps_pinned_blocks() {
        let mut cache = BlockCache::new(4);
        fill(&mut cache, &[1, 2]);
        let head = found(&cache, &[1]);
        assert!(cache.fits(&head, 0));
        cache.admit(&head, 0);
        cache.clear_idle();
        assert_eq!(cache.prefix_match(&chain(&[1, 2])), 1);
        cache.check_invariants();
    }
}
