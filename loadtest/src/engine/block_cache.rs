//! A prefix cache decides what a prompt costs, so the simulated engine needs a faithful one.
//!
//! A block is in one of three places: *shared* (named by its hash; pinned while a running request
//! uses it, else in the LRU list), *private* (allocated to a running request, not yet computed in
//! full, so nobody else can see it), or *free*. Running requests also hold *reservations*: room
//! they will need later. A request is admitted only when its reservation fits, so nothing is ever
//! preempted (a simplification of vLLM V1, which preempts and recomputes).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

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

#[derive(Debug)]
struct Shared {
    pins: u32,
    /// Key in `idle` while `pins == 0`.
    idle_since: u64,
}

/// Blocks of one engine, evicted least recently used first, the tail of a prompt before its head.
#[derive(Debug)]
pub struct BlockCache {
    capacity: u64,
    shared: HashMap<BlockHash, Shared>,
    idle: BTreeMap<u64, BlockHash>,
    private: u64,
    reserved: u64,
    evicted_total: u64,
    ticks: u64,
}

impl BlockCache {
    /// An empty cache of `capacity` blocks.
    pub fn new(capacity: u64) -> Self {
        Self {
            capacity,
            shared: HashMap::new(),
            idle: BTreeMap::new(),
            private: 0,
            reserved: 0,
            evicted_total: 0,
            ticks: 0,
        }
    }

    /// How many leading blocks of `chain` are visible.
    pub fn prefix_match(&self, chain: &[BlockHash]) -> usize {
        chain
            .iter()
            .take_while(|block| self.shared.contains_key(block))
            .count()
    }

    /// Pins `held` (visible leading blocks) and reserves `more` further blocks, or does nothing
    /// and returns false when the reservation does not fit beside those already given.
    pub fn try_admit(&mut self, held: &[BlockHash], more: u64) -> bool {
        let newly_pinned = held
            .iter()
            .filter(|block| self.shared[block].pins == 0)
            .count() as u64;
        if self.promised() + newly_pinned + more > self.capacity {
            return false;
        }
        for block in held {
            self.pin(*block);
        }
        self.reserved += more;
        true
    }

    /// Turns `count` reserved blocks into private ones, evicting idle blocks where none is free.
    ///
    /// # Panics
    /// When fewer than `count` blocks are reserved.
    pub fn allocate(&mut self, count: u64) {
        assert!(
            count <= self.reserved,
            "invariant: allocation stays within the reservation"
        );
        for _ in 0..count {
            if self.free() == 0 {
                self.evict_one();
            }
            self.reserved -= 1;
            self.private += 1;
        }
    }

    /// Makes one private block visible under `block`, pinned by its owner. Should another request
    /// have computed the same block meanwhile, the copies become one.
    pub fn publish(&mut self, block: BlockHash) {
        debug_assert!(self.private > 0, "only a private block can be published");
        self.private -= 1;
        match self.shared.entry(block) {
            Entry::Occupied(_) => self.pin(block),
            Entry::Vacant(place) => {
                place.insert(Shared {
                    pins: 1,
                    idle_since: 0,
                });
            }
        }
    }

    /// Gives back everything a request held. `chain` is unpinned from its tail, so that a later
    /// eviction shortens prefixes instead of cutting off their heads.
    pub fn release(&mut self, chain: &[BlockHash], private: u64, reserved: u64) {
        self.private -= private;
        self.reserved -= reserved;
        for block in chain.iter().rev() {
            self.ticks += 1;
            let entry = self
                .shared
                .get_mut(block)
                .expect("invariant: pinned blocks stay visible");
            entry.pins -= 1;
            if entry.pins == 0 {
                entry.idle_since = self.ticks;
                self.idle.insert(self.ticks, *block);
            }
        }
    }

    /// Blocks in use by running requests as a share of all, 0..=1. As with vLLM, 0 when idle even
    /// though the prefix cache is full.
    pub fn usage_ratio(&self) -> f64 {
        if self.capacity == 0 {
            return 0.0;
        }
        (self.pinned() + self.private) as f64 / self.capacity as f64
    }

    /// Blocks evicted since the start.
    pub fn evicted_total(&self) -> u64 {
        self.evicted_total
    }

    /// Where all the blocks are.
    pub fn census(&self) -> BlockCensus {
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
    pub fn clear_idle(&mut self) {
        while !self.idle.is_empty() {
            self.evict_one();
        }
    }

    /// Panics when the accounting is broken. For tests: it visits every block.
    pub fn check_invariants(&self) {
        assert!(
            self.shared.len() as u64 + self.private <= self.capacity,
            "more blocks than capacity"
        );
        assert!(
            self.promised() <= self.capacity,
            "reservations exceed what can be freed"
        );
        let idle = self.shared.values().filter(|entry| entry.pins == 0).count();
        assert_eq!(
            idle,
            self.idle.len(),
            "every unpinned block is in the LRU list once"
        );
        for (tick, block) in &self.idle {
            let entry = self
                .shared
                .get(block)
                .expect("invariant: the LRU list names visible blocks");
            assert_eq!((entry.pins, entry.idle_since), (0, *tick));
        }
    }

    fn pin(&mut self, block: BlockHash) {
        let entry = self
            .shared
            .get_mut(&block)
            .expect("invariant: only visible blocks are pinned");
        if entry.pins == 0 {
            self.idle.remove(&entry.idle_since);
        }
        entry.pins += 1;
    }

    fn evict_one(&mut self) {
        let (_, block) = self
            .idle
            .pop_first()
            .expect("invariant: admission left a block to evict");
        self.shared.remove(&block);
        self.evicted_total += 1;
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

    /// Runs a request over `ids` from nothing to its end.
    fn fill(cache: &mut BlockCache, ids: &[u64]) {
        let blocks = chain(ids);
        let held = cache.prefix_match(&blocks);
        let new = (blocks.len() - held) as u64;
        assert!(cache.try_admit(&blocks[..held], new));
        cache.allocate(new);
        for block in &blocks[held..] {
            cache.publish(*block);
        }
        cache.release(&blocks, 0, 0);
        cache.check_invariants();
    }

    #[test]
    fn the_tail_of_the_oldest_prompt_goes_first() {
        let mut cache = BlockCache::new(5);
        fill(&mut cache, &[1, 2, 3]);
        fill(&mut cache, &[11, 12]);
        fill(&mut cache, &[21]);
        assert_eq!(cache.prefix_match(&chain(&[1, 2, 3])), 2);
        assert_eq!(cache.prefix_match(&chain(&[11, 12])), 2);
        assert_eq!(cache.evicted_total(), 1);
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
        let held = chain(&[1, 2]);
        assert!(!cache.try_admit(&held, 3));
        assert_eq!(
            cache.census().shared_pinned,
            0,
            "a refused admission pins nothing"
        );
        assert!(cache.try_admit(&held, 2));
        assert!(!cache.try_admit(&[], 1));
        assert!(
            cache.try_admit(&held, 0),
            "pinning what is pinned already takes no room"
        );
        cache.check_invariants();
    }

    #[test]
    fn two_copies_of_a_block_become_one() {
        let mut cache = BlockCache::new(4);
        assert!(cache.try_admit(&[], 1));
        assert!(cache.try_admit(&[], 1));
        cache.allocate(2);
        cache.publish(BlockHash(7));
        cache.publish(BlockHash(7));
        let census = cache.census();
        assert_eq!(
            (census.shared_pinned, census.private, census.free),
            (1, 0, 3)
        );
        cache.release(&chain(&[7]), 0, 0);
        assert_eq!(cache.census().shared_pinned, 1, "one owner is left");
        cache.release(&chain(&[7]), 0, 0);
        assert_eq!(cache.census().shared_idle, 1);
        cache.check_invariants();
    }

    #[test]
    fn clearing_keeps_pinned_blocks() {
        let mut cache = BlockCache::new(4);
        fill(&mut cache, &[1, 2]);
        assert!(cache.try_admit(&chain(&[1]), 0));
        cache.clear_idle();
        assert_eq!(cache.prefix_match(&chain(&[1, 2])), 1);
        cache.check_invariants();
    }
}
