//! Dynamo's KV router: blocks to prefill plus blocks that would be active; the least sum wins.
//!
//! From docs.nvidia.com/dynamo (v1.2.0 to v1.6.0), "Routing Concepts" and "Configuration and
//! Tuning", and github.com/ai-dynamo/dynamo, `lib/kv-router/src/scheduling/selector.rs`. Prefill
//! blocks include those queued there; active blocks are those of requests in flight and this one,
//! each block once however many use it, without generated tokens (`--router-track-output-blocks`
//! is off by default). Blocks in the host tier count as cached in full; the original credits them
//! in part. Its engines report their blocks by events; here it remembers what it sent.

use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::SmallRng;
use warmgate_routing::block::{BlockHash, PromptBlocks};

use super::super::contender::{EndpointIx, FleetSpec, RequestIx};
use super::rule::Rule;
use super::scene::{Candidate, Scene};

/// `--router-kv-overlap-score-weight`. The temperature's default is 0: the least cost, no chance.
const OVERLAP_SCORE_WEIGHT: f64 = 1.0;

pub(super) struct Dynamo {
    /// For each endpoint, how many requests in flight use each block.
    active: Vec<HashMap<BlockHash, u32>>,
}

impl Dynamo {
    pub(super) fn new(fleet: &FleetSpec) -> Dynamo {
        Dynamo {
            active: vec![HashMap::new(); fleet.endpoints],
        }
    }
}

impl Rule for Dynamo {
    fn pick(&mut self, scene: &Scene<'_>, rng: &mut SmallRng) -> EndpointIx {
        let hashes = &scene.arrival.prompt.hashes;
        let cost = |one: &Candidate| {
            let active = &self.active[one.endpoint.0];
            // Chained: who uses a block uses all before it.
            let shared = hashes.partition_point(|hash| active.contains_key(hash));
            let decode_blocks = active.len() + hashes.len() - shared;
            let prefill_tokens = one.load.queued_tokens + one.uncached_tokens;
            let prefill_blocks = prefill_tokens as f64 / scene.block_tokens as f64;
            OVERLAP_SCORE_WEIGHT * prefill_blocks + decode_blocks as f64
        };
        scene.least(rng, cost).endpoint
    }

    fn sent(&mut self, scene: &Scene<'_>, to: &Candidate) {
        for &hash in &scene.arrival.prompt.hashes {
            *self.active[to.endpoint.0].entry(hash).or_default() += 1;
        }
    }

    fn ended(&mut self, _id: RequestIx, prompt: &PromptBlocks, on: EndpointIx, _now: Duration) {
        let active = &mut self.active[on.0];
        for hash in &prompt.hashes {
            let users = active
                .get_mut(hash)
                .expect("invariant: what is in flight is active");
            *users -= 1;
            if *users == 0 {
                active.remove(hash);
            }
        }
    }

    fn check_idle(&self) {
        let active: usize = self.active.iter().map(HashMap::len).sum();
        assert_eq!(active, 0, "blocks that nobody uses");
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::{Stage, fleet};
    use super::*;

    #[test]
    fn a_block_in_use_costs_as_much_as_a_block_to_prefill() {
        let mut rule = Dynamo::new(&fleet(2));
        let other = Stage::new(2, 8, 1_000);
        other.send(&mut rule, 0);
        let warm = Stage::new(2, 10, 0).matched(0, 8);
        assert_eq!(warm.picks(&mut rule), [0, 1], "8 saved, 8 in use");
        assert_eq!(warm.clone().queued(0, 1).picks(&mut rule), [1]);
        other.end(&mut rule, 0, Duration::ZERO);
        assert_eq!(warm.picks(&mut rule), [0]);
        rule.check_idle();
    }

    #[test]
    fn blocks_that_two_requests_share_are_active_once() {
        let mut rule = Dynamo::new(&fleet(2));
        let one = Stage::new(2, 10, 0);
        one.send(&mut rule, 0);
        // 10 blocks active either way, and none cached: the queue alone decides.
        assert_eq!(one.picks(&mut rule), [0, 1]);
        one.send(&mut rule, 0);
        one.end(&mut rule, 0, Duration::ZERO);
        assert_eq!(one.picks(&mut rule), [0, 1]);
    }
}
