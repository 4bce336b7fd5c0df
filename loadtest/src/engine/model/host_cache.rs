//! The host tier decides what an eviction costs, so the simulated engine needs one: blocks in
//! host memory, a link that brings them back, and two ways of filling it.

use std::time::Duration;

use hashbrown::HashMap;
use slab::Slab;

use super::block_cache::BlockHash;
use super::config::{HostTier, TierFill};
use super::lru::LruList;

/// Blocks in host memory, evicted least recently used first, and the link to the device.
#[derive(Debug)]
pub(super) struct HostCache {
    tier: HostTier,
    blocks: Slab<BlockHash>,
    slots: HashMap<BlockHash, u32>,
    order: LruList,
    /// End of the last copy booked on the link.
    link_free_at: Duration,
}

impl HostCache {
    pub(super) fn new(tier: HostTier) -> Self {
        Self {
            tier,
            blocks: Slab::new(),
            slots: HashMap::new(),
            order: LruList::new(),
            link_free_at: Duration::ZERO,
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// How many leading blocks of `chain` are here.
    pub(super) fn prefix_match(&self, chain: &[BlockHash]) -> usize {
        chain
            .iter()
            .take_while(|block| self.slots.contains_key(*block))
            .count()
    }

    /// Books a copy of `chain`, which is here, to the device; returns when it ends.
    pub(super) fn load(&mut self, at: Duration, chain: &[BlockHash], tokens: u64) -> Duration {
        self.put_all(chain);
        let seconds = tokens as f64 / self.tier.load_tokens_per_s;
        let copy = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        self.link_free_at = self.link_free_at.max(at).saturating_add(copy);
        self.link_free_at
    }

    /// A prefill over `chain` has ended.
    pub(super) fn prompt_computed(&mut self, chain: &[BlockHash]) {
        if self.tier.fill == TierFill::WriteThrough {
            self.put_all(chain);
        }
    }

    /// The device has pushed out `block`.
    pub(super) fn device_evicted(&mut self, block: BlockHash) {
        if self.tier.fill == TierFill::OnEviction {
            self.put(block);
        }
    }

    /// The device holds `block` now, loaded or computed.
    pub(super) fn device_holds(&mut self, block: BlockHash) {
        if self.tier.fill == TierFill::OnEviction
            && let Some(slot) = self.slots.remove(&block)
        {
            self.order.remove(slot);
            self.blocks.remove(slot as usize);
        }
    }

    /// Forgets every block; copies under way go on.
    pub(super) fn clear(&mut self) {
        let link_free_at = self.link_free_at;
        *self = Self {
            link_free_at,
            ..Self::new(self.tier)
        };
    }

    /// Panics when the accounting is broken. For tests: it visits every block.
    pub(super) fn check_invariants(&self) {
        assert!(self.len() <= self.tier.capacity_blocks, "tier overfilled");
        assert_eq!(self.blocks.len(), self.slots.len());
        assert_eq!(self.blocks.len(), self.order.len());
        for slot in self.order.iter() {
            let block = self.blocks[slot as usize];
            assert_eq!(self.slots.get(&block), Some(&slot));
        }
    }

    /// Whether a block may be here and visible on the device at once.
    pub(super) fn is_exclusive(&self) -> bool {
        self.tier.fill == TierFill::OnEviction
    }

    /// From the tail, so that heads are the youngest and stay longest.
    fn put_all(&mut self, chain: &[BlockHash]) {
        chain.iter().rev().for_each(|block| self.put(*block));
    }

    fn put(&mut self, block: BlockHash) {
        if let Some(slot) = self.slots.get(&block) {
            self.order.remove(*slot);
            self.order.push_newest(*slot);
            return;
        }
        if self.len() == self.tier.capacity_blocks {
            let Some(oldest) = self.order.pop_oldest() else {
                return;
            };
            let gone = self.blocks.remove(oldest as usize);
            self.slots.remove(&gone);
        }
        let slot = self.blocks.insert(block) as u32;
        self.slots.insert(block, slot);
        self.order.push_newest(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(ids: &[u64]) -> Vec<BlockHash> {
        ids.iter().copied().map(BlockHash).collect()
    }

    fn cache(capacity_blocks: u64, fill: TierFill) -> HostCache {
        HostCache::new(HostTier {
            capacity_blocks,
            load_tokens_per_s: 100.0,
            fill,
        })
    }

    #[test]
    fn a_written_prompt_keeps_its_head_longest() {
        let mut cache = cache(4, TierFill::WriteThrough);
        cache.prompt_computed(&chain(&[1, 2, 3]));
        cache.prompt_computed(&chain(&[11, 12]));
        assert_eq!(cache.prefix_match(&chain(&[1, 2, 3])), 2);
        cache.prompt_computed(&chain(&[21, 22, 23, 24, 25]));
        assert_eq!(cache.prefix_match(&chain(&[21, 22, 23, 24, 25])), 4);
        assert_eq!(cache.len(), 4, "never more than its capacity");
        cache.device_evicted(BlockHash(99));
        assert_eq!(cache.prefix_match(&chain(&[99])), 0);
        cache.check_invariants();
    }

    #[test]
    fn an_evicted_block_enters_and_leaves_when_the_device_has_it_again() {
        let mut cache = cache(2, TierFill::OnEviction);
        cache.prompt_computed(&chain(&[1]));
        assert_eq!(cache.len(), 0);
        for id in [3, 2, 1] {
            cache.device_evicted(BlockHash(id));
        }
        assert_eq!(cache.prefix_match(&chain(&[1, 2, 3])), 2);
        cache.device_holds(BlockHash(1));
        assert_eq!(cache.prefix_match(&chain(&[1])), 0);
        cache.check_invariants();
    }

    #[test]
    fn the_link_serves_one_copy_after_another() {
        let mut cache = cache(9, TierFill::WriteThrough);
        cache.prompt_computed(&chain(&[1, 2]));
        let second = Duration::from_secs(1);
        assert_eq!(cache.load(second, &chain(&[1]), 100), second * 2);
        assert_eq!(cache.load(second, &chain(&[1, 2]), 200), second * 4);
        assert_eq!(cache.load(second * 9, &chain(&[2]), 50), second * 19 / 2);
    }
}
