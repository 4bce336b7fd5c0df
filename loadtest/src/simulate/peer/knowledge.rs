//! What a peer believes to be cached where: the prompts that it sent there, oldest out first.

use warmgate_routing::block::BlockHash;
use warmgate_routing::endpoint::EndpointId;
use warmgate_routing::prefix::{IndexLimits, PrefixIndex};
use warmgate_routing::units::Blocks;

use super::super::contender::EndpointIx;

/// Memory for it. No peer is made to forget for want of memory: this is more than they ask for.
const MAX_BYTES: u64 = 2 << 30;

/// One replica's knowledge.
#[derive(Debug)]
pub(super) struct Knowledge {
    index: PrefixIndex,
    ids: Vec<EndpointId>,
}

impl Knowledge {
    /// Of that many endpoints, and as many blocks of each.
    pub(super) fn new(endpoints: usize, blocks: u64) -> Knowledge {
        let index = PrefixIndex::new(IndexLimits {
            max_bytes: MAX_BYTES,
        });
        let ids: Vec<EndpointId> = (0..endpoints).map(|ix| id(EndpointIx(ix))).collect();
        let blocks = Blocks(u32::try_from(blocks).unwrap_or(u32::MAX));
        for &id in &ids {
            index.set_capacity(id, blocks);
        }
        Knowledge { index, ids }
    }

    /// Leading blocks of the prompt that each endpoint is believed to hold.
    pub(super) fn matched(&self, prompt: &[BlockHash]) -> Vec<u64> {
        let found = self.index.matches(prompt, &self.ids, 0, 0);
        let held = |&id: &EndpointId| u64::from(found.get(id).blocks.0);
        self.ids.iter().map(held).collect()
    }

    pub(super) fn learn(&self, prompt: &[BlockHash], endpoint: EndpointIx) {
        self.index.insert(prompt, id(endpoint));
    }

    /// The engine restarted, and is cold.
    pub(super) fn forget(&self, endpoint: EndpointIx) {
        self.index.forget(id(endpoint));
    }

    pub(super) fn check(&self) {
        self.index.check_invariants();
        assert_eq!(
            self.index.stats().refused,
            0,
            "a peer has memory for all it knows"
        );
    }
}

fn id(endpoint: EndpointIx) -> EndpointId {
    EndpointId(u32::try_from(endpoint.0).expect("invariant: fleets are smaller than 65,536"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_a_restart_forgets_all() {
        let prompt = |first: u64| (first..first + 4).map(BlockHash).collect::<Vec<_>>();
        let knowledge = Knowledge::new(2, 6);
        knowledge.learn(&prompt(0), EndpointIx(1));
        knowledge.learn(&prompt(10), EndpointIx(1));
        assert_eq!(knowledge.matched(&prompt(0)), [0, 2]);
        assert_eq!(knowledge.matched(&prompt(10)), [0, 4]);
        knowledge.forget(EndpointIx(1));
        assert_eq!(knowledge.matched(&prompt(10)), [0, 0]);
        knowledge.check();
    }
}
