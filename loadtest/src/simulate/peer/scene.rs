//! What a peer looks at when it decides: the request, and every endpoint that takes requests.

use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use warmgate_routing::block::BlockHash;

use super::super::contender::{Arrival, EndpointIx, Gauges};
use super::ledger::Load;

/// One endpoint as one request sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) endpoint: EndpointIx,
    /// The peer's own requests there.
    pub(super) load: Load,
    /// Last metrics page that was read.
    pub(super) gauges: Option<Gauges>,
    /// Leading blocks of the prompt believed to be cached there.
    pub(super) matched_blocks: u64,
    /// Prompt tokens believed not to be.
    pub(super) uncached_tokens: u64,
}

/// A decision to be taken.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub(super) arrival: &'a Arrival<'a>,
    pub(super) now: Duration,
    pub(super) block_tokens: u64,
    /// Endpoints that take requests, by number; at least one.
    pub(super) candidates: Vec<Candidate>,
}

impl Scene<'_> {
    /// Full blocks of the prompt.
    pub(super) fn blocks(&self) -> u64 {
        self.arrival.prompt.hashes.len() as u64
    }

    /// Share of the prompt's full blocks that is believed to be cached there, 0..=1.
    pub(super) fn matched_ratio(&self, candidate: &Candidate) -> f64 {
        match self.blocks() {
            0 => 0.0,
            blocks => candidate.matched_blocks as f64 / blocks as f64,
        }
    }

    /// Hash of the first `tokens` of the prompt, in whole blocks and at least one; of a prompt
    /// shorter than a block only the length can be seen, and stands for it.
    pub(super) fn prefix_key(&self, tokens: u64) -> u64 {
        let hashes = &self.arrival.prompt.hashes;
        let blocks = (tokens / self.block_tokens).max(1) as usize;
        let hash = hashes.get(blocks - 1).or(hashes.last());
        hash.map_or(self.arrival.prompt_tokens, |&BlockHash(hash)| hash)
    }

    /// The candidate of the least cost; one of the least, by chance, where several are.
    pub(super) fn least(&self, rng: &mut SmallRng, cost: impl Fn(&Candidate) -> f64) -> &Candidate {
        least(&self.candidates, rng, cost).expect("invariant: somebody takes requests")
    }

    /// Those with the longest match; everybody where nobody has one.
    pub(super) fn deepest(&self) -> Vec<Candidate> {
        let most = self.candidates.iter().map(|one| one.matched_blocks).max();
        let is_deepest = |one: &&Candidate| Some(one.matched_blocks) == most;
        self.candidates.iter().filter(is_deepest).copied().collect()
    }
}

/// As [`Scene::least`], among some of them.
pub(super) fn least<'a>(
    candidates: &'a [Candidate],
    rng: &mut SmallRng,
    cost: impl Fn(&Candidate) -> f64,
) -> Option<&'a Candidate> {
    let mut best: Option<(f64, &Candidate)> = None;
    let mut equals = 0;
    for candidate in candidates {
        let cost = cost(candidate);
        match best {
            Some((least, _)) if cost > least => continue,
            Some((least, _)) if cost == least => {
                equals += 1;
                if rng.random_range(0..equals) > 0 {
                    continue;
                }
            }
            _ => equals = 1,
        }
        best = Some((cost, candidate));
    }
    best.map(|(_, candidate)| candidate)
}
