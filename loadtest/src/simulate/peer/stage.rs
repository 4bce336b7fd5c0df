//! Scenes set by hand, for the tests of rules.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use warmgate_routing::block::{BlockHash, PromptBlocks};

use super::super::contender::{Arrival, EndpointIx, FleetSpec, Gauges, RequestIx};
use super::ledger::Load;
use super::rule::Rule;
use super::scene::{Candidate, Scene};

pub(super) const BLOCK_TOKENS: u64 = 512;
/// Enough draws that a tie shows.
const DRAWS: u64 = 64;

pub(super) fn fleet(endpoints: usize) -> FleetSpec {
    FleetSpec {
        endpoints,
        replicas: 1,
        block_tokens: BLOCK_TOKENS,
        device_tokens: 1_000_000,
        host_tier_tokens: 0,
        seed: 1,
    }
}

/// A request for a fleet of idle and cold endpoints, and what is different from that.
#[derive(Clone)]
pub(super) struct Stage {
    prompt: Arc<PromptBlocks>,
    prompt_tokens: u64,
    session: Option<u64>,
    now: Duration,
    candidates: Vec<Candidate>,
}

impl Stage {
    /// A prompt of that many blocks and one more token; `first` tells prompts apart.
    pub(super) fn new(endpoints: usize, blocks: u64, first: u64) -> Stage {
        let prompt_tokens = blocks * BLOCK_TOKENS + 1;
        let candidate = |ix| Candidate {
            endpoint: EndpointIx(ix),
            load: Load::default(),
            gauges: None,
            matched_blocks: 0,
            uncached_tokens: prompt_tokens,
        };
        let hashes = (first..first + blocks).map(BlockHash).collect();
        Stage {
            prompt: Arc::new(PromptBlocks {
                hashes,
                ..PromptBlocks::default()
            }),
            prompt_tokens,
            session: None,
            now: Duration::ZERO,
            candidates: (0..endpoints).map(candidate).collect(),
        }
    }

    pub(super) fn session(mut self, session: u64) -> Stage {
        self.session = Some(session);
        self
    }

    pub(super) fn at(mut self, now: Duration) -> Stage {
        self.now = now;
        self
    }

    pub(super) fn matched(mut self, endpoint: usize, blocks: u64) -> Stage {
        let one = &mut self.candidates[endpoint];
        one.matched_blocks = blocks;
        one.uncached_tokens = self.prompt_tokens - blocks * BLOCK_TOKENS;
        self
    }

    pub(super) fn in_flight(mut self, endpoint: usize, requests: u64) -> Stage {
        self.candidates[endpoint].load.in_flight = requests;
        self
    }

    pub(super) fn queued(mut self, endpoint: usize, tokens: u64) -> Stage {
        self.candidates[endpoint].load.queued_tokens = tokens;
        self
    }

    pub(super) fn prompts(mut self, endpoint: usize, tokens: u64) -> Stage {
        self.candidates[endpoint].load.prompt_tokens = tokens;
        self
    }

    pub(super) fn gauges(mut self, endpoint: usize, waiting: u32, kv_usage: f64) -> Stage {
        self.candidates[endpoint].gauges = Some(Gauges {
            running: 0,
            waiting,
            kv_usage,
            prefix_queries: 0,
            prefix_hits: 0,
            started_at: Duration::ZERO,
        });
        self
    }

    /// Everybody whom the rule may pick, by number.
    pub(super) fn picks(&self, rule: &mut impl Rule) -> Vec<usize> {
        let mut picks = self.with(|scene| {
            let draw = |seed| rule.pick(scene, &mut SmallRng::seed_from_u64(seed)).0;
            (0..DRAWS).map(draw).collect::<Vec<_>>()
        });
        picks.sort_unstable();
        picks.dedup();
        picks
    }

    /// Tells the rule that it went there.
    pub(super) fn send(&self, rule: &mut impl Rule, endpoint: usize) {
        self.with(|scene| rule.sent(scene, &scene.candidates[endpoint]));
    }

    /// Tells the rule that it was answered from there, having decoded for that long.
    pub(super) fn end(&self, rule: &mut impl Rule, endpoint: usize, decode: Duration) {
        let (id, on) = (RequestIx(0), EndpointIx(endpoint));
        rule.first_token(id, on, self.now);
        rule.ended(id, &self.prompt, on, self.now + decode);
    }

    fn with<T>(&self, see: impl FnOnce(&Scene<'_>) -> T) -> T {
        let arrival = Arrival {
            id: RequestIx(0),
            session: self.session,
            prompt: &self.prompt,
            prompt_tokens: self.prompt_tokens,
        };
        see(&Scene {
            arrival: &arrival,
            now: self.now,
            block_tokens: BLOCK_TOKENS,
            candidates: self.candidates.clone(),
        })
    }
}
