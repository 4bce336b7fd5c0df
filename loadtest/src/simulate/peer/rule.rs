//! What one peer's policy is, once ledger, knowledge and gauges are taken care of.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use warmgate_routing::block::PromptBlocks;

use super::super::contender::{
    Arrival, Contender, EndpointIx, FleetSpec, Gauges, RequestIx, Route, Usage,
};
use super::knowledge::Knowledge;
use super::ledger::{Ledger, Weight};
use super::scene::{Candidate, Scene};

/// A policy as a function of the scene, with whatever further state it keeps.
pub(super) trait Rule {
    /// Where the request goes: one of the candidates.
    fn pick(&mut self, scene: &Scene<'_>, rng: &mut SmallRng) -> EndpointIx;

    /// The request went there.
    fn sent(&mut self, _scene: &Scene<'_>, _to: &Candidate) {}

    /// Its first token has come from there.
    fn first_token(&mut self, _id: RequestIx, _from: EndpointIx, _now: Duration) {}

    /// It has ended there.
    fn ended(&mut self, _id: RequestIx, _prompt: &PromptBlocks, _on: EndpointIx, _now: Duration) {}

    /// Panics where something is left though nothing is in flight.
    fn check_idle(&self) {}
}

/// One replica of a peer.
pub(super) struct Peer<R> {
    rule: R,
    block_tokens: u64,
    ledger: Ledger,
    knowledge: Knowledge,
    prompts: HashMap<RequestIx, Arc<PromptBlocks>>,
    gauges: Vec<Option<Gauges>>,
    is_ready: Vec<bool>,
    rng: SmallRng,
}

impl<R: Rule> Peer<R> {
    /// One that remembers, of each endpoint, what fits into all its tiers.
    pub(super) fn new(fleet: &FleetSpec, rule: R) -> Peer<R> {
        let tokens = fleet.device_tokens + fleet.host_tier_tokens;
        Peer::with_memory(fleet, tokens, rule)
    }

    /// One that remembers that many tokens of each endpoint.
    pub(super) fn with_memory(fleet: &FleetSpec, tokens: u64, rule: R) -> Peer<R> {
        Peer {
            rule,
            block_tokens: fleet.block_tokens,
            ledger: Ledger::new(fleet.endpoints),
            knowledge: Knowledge::new(fleet.endpoints, tokens / fleet.block_tokens),
            prompts: HashMap::new(),
            gauges: vec![None; fleet.endpoints],
            is_ready: vec![true; fleet.endpoints],
            rng: SmallRng::seed_from_u64(fleet.seed),
        }
    }

    fn candidates(&self, arrival: &Arrival<'_>) -> Vec<Candidate> {
        let matched = self.knowledge.matched(&arrival.prompt.hashes);
        let ready = (0..matched.len()).filter(|&ix| self.is_ready[ix]);
        ready
            .map(|ix| {
                let endpoint = EndpointIx(ix);
                // Engines compute at least the last token.
                let most = arrival.prompt_tokens.saturating_sub(1);
                let cached = (matched[ix] * self.block_tokens).min(most);
                Candidate {
                    endpoint,
                    load: self.ledger.load(endpoint),
                    gauges: self.gauges[ix],
                    matched_blocks: matched[ix],
                    uncached_tokens: arrival.prompt_tokens - cached,
                }
            })
            .collect()
    }
}

impl<R: Rule> Contender for Peer<R> {
    fn route(&mut self, arrival: &Arrival<'_>, now: Duration) -> Option<Route> {
        let scene = Scene {
            arrival,
            now,
            block_tokens: self.block_tokens,
            candidates: self.candidates(arrival),
        };
        if scene.candidates.is_empty() {
            return None;
        }
        let endpoint = self.rule.pick(&scene, &mut self.rng);
        let mut candidates = scene.candidates.iter();
        let picked = candidates
            .find(|candidate| candidate.endpoint == endpoint)
            .expect("invariant: a rule picks a candidate");
        self.rule.sent(&scene, picked);
        self.knowledge.learn(&arrival.prompt.hashes, endpoint);
        self.prompts.insert(arrival.id, Arc::clone(arrival.prompt));
        self.ledger.sent(
            arrival.id,
            Weight {
                endpoint,
                uncached_tokens: picked.uncached_tokens,
                prompt_tokens: arrival.prompt_tokens,
            },
        );
        Some(Route {
            endpoint,
            predicted_tokens: arrival.prompt_tokens - picked.uncached_tokens,
        })
    }

    fn first_token(&mut self, id: RequestIx, now: Duration) {
        if let Some(from) = self.ledger.first_token(id) {
            self.rule.first_token(id, from, now);
        }
    }

    fn ended(&mut self, id: RequestIx, _usage: Option<Usage>, now: Duration) {
        let prompt = self.prompts.remove(&id);
        if let (Some(on), Some(prompt)) = (self.ledger.ended(id), prompt) {
            self.rule.ended(id, &prompt, on, now);
        }
    }

    fn scraped(&mut self, endpoint: EndpointIx, gauges: &Gauges, _now: Duration) {
        let before = self.gauges[endpoint.0].replace(*gauges);
        if before.is_some_and(|before| before.started_at != gauges.started_at) {
            self.knowledge.forget(endpoint);
        }
    }

    fn ready(&mut self, endpoint: EndpointIx, is_ready: bool, _now: Duration) {
        self.is_ready[endpoint.0] = is_ready;
    }

    fn check(&self, is_idle: bool) {
        self.knowledge.check();
        if is_idle {
            self.ledger.check_idle();
            assert!(self.prompts.is_empty(), "prompts that nobody has");
            self.rule.check_idle();
        }
    }
}
