//! What a policy may look at: endpoints, their load, and who holds how much of the prompt.

use std::sync::Arc;
use std::time::Instant;

use rand::{Rng, RngCore};

use crate::block::{BlockSize, PromptBlocks};
use crate::endpoint::{Endpoint, EndpointId};
use crate::ledger::{Load, RequestCost};
use crate::prefix::PrefixIndex;
use crate::request::SessionKey;
use crate::tokens::BytesPerToken;
use crate::units::{Blocks, Tokens};

/// Endpoints without a prefix that are looked at; fleets up to this size are looked at whole.
/// The best of 64 drawn at random is among the least loaded 5 % of any fleet with probability 96 %.
pub const VIEW_SAMPLE: usize = 64;
/// Holders of a prefix that are looked at, deepest first.
pub const VIEW_HOLDERS_MAX: usize = 128;

/// One request, and what is known at this moment.
#[derive(Debug)]
pub struct View<'a> {
    /// Endpoints that may serve the model, sorted by id; not all need be usable.
    pub endpoints: &'a [Arc<Endpoint>],
    /// Who was sent what.
    pub index: &'a PrefixIndex,
    /// The prompt.
    pub prompt: &'a PromptBlocks,
    /// Tokens that a byte of it is worth.
    pub rate: BytesPerToken,
    /// Length of its blocks.
    pub block_size: BlockSize,
    /// Conversation or user, where the client said.
    pub session: Option<SessionKey>,
    /// Now.
    pub now: Instant,
    /// Every endpoint is ejected: rather try one than refuse.
    pub ignore_health: bool,
    /// How many endpoints are wanted: the first and those to fall back on.
    pub wanted: usize,
    /// Keep everything that was looked at, for people.
    pub explain: bool,
}

/// One endpoint seen by one request.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The endpoint.
    pub endpoint: &'a Arc<Endpoint>,
    /// Its load.
    pub load: Load,
    /// Leading tokens of the prompt that it is believed to hold.
    pub matched: Tokens,
    /// What the request would weigh there.
    pub cost: RequestCost,
}

impl<'a> View<'a> {
    /// Length of the prompt, further prompts in the same request included.
    #[must_use]
    pub fn prompt_tokens(&self) -> Tokens {
        self.rate
            .tokens(self.prompt.bytes + self.prompt.further_bytes)
    }

    /// Whether a request may be sent there.
    #[must_use]
    pub fn is_usable(&self, endpoint: &Endpoint) -> bool {
        if self.ignore_health {
            endpoint.spec.serving == crate::endpoint::Serving::Ready
        } else {
            endpoint.is_usable(self.now)
        }
    }

    /// All endpoints that a request may be sent to.
    pub fn usable(&self) -> impl Iterator<Item = &'a Arc<Endpoint>> {
        self.endpoints
            .iter()
            .filter(|endpoint| self.is_usable(endpoint))
    }

    /// One endpoint with all that is known of it.
    #[must_use]
    pub fn candidate(&self, endpoint: &'a Arc<Endpoint>) -> Candidate<'a> {
        self.candidate_holding(endpoint, self.index.held(&self.prompt.hashes, endpoint.id))
    }

    /// The usable endpoints worth pricing: those that hold a prefix, and some that need not.
    pub fn candidates(&self, rng: &mut dyn RngCore) -> Vec<Candidate<'a>> {
        let sample = self.sample(rng);
        let ids: Vec<EndpointId> = sample.iter().map(|endpoint| endpoint.id).collect();
        let is_whole_fleet = sample.len() == self.endpoints.len();
        let holders_max = if is_whole_fleet { 0 } else { VIEW_HOLDERS_MAX };
        let matches = self
            .index
            .matches(&self.prompt.hashes, &ids, holders_max, rng.next_u64());
        let mut candidates: Vec<_> = sample
            .into_iter()
            .filter(|endpoint| self.is_usable(endpoint))
            .map(|endpoint| self.candidate_holding(endpoint, matches.get(endpoint.id)))
            .collect();
        if !is_whole_fleet {
            let holders = matches
                .iter()
                .filter(|(id, _)| ids.binary_search(id).is_err());
            candidates.extend(holders.filter_map(|(id, held)| {
                let endpoint = self.get(id).filter(|endpoint| self.is_usable(endpoint))?;
                Some(self.candidate_holding(endpoint, held))
            }));
        }
        candidates
    }

    /// Up to [`VIEW_SAMPLE`] different endpoints, sorted by id: all, where there are no more.
    fn sample(&self, rng: &mut dyn RngCore) -> Vec<&'a Arc<Endpoint>> {
        let count = self.endpoints.len();
        if count <= VIEW_SAMPLE {
            return self.endpoints.iter().collect();
        }
        let mut places: Vec<usize> = (0..VIEW_SAMPLE)
            .map(|_| rng.random_range(0..count))
            .collect();
        places.sort_unstable();
        places.dedup();
        places
            .into_iter()
            .map(|place| &self.endpoints[place])
            .collect()
    }

    fn get(&self, id: EndpointId) -> Option<&'a Arc<Endpoint>> {
        let place = self
            .endpoints
            .binary_search_by_key(&id, |endpoint| endpoint.id)
            .ok()?;
        self.endpoints.get(place)
    }

    fn candidate_holding(&self, endpoint: &'a Arc<Endpoint>, held: Blocks) -> Candidate<'a> {
        let prompt = self.prompt_tokens();
        let held_bytes = u64::from(held.0) * self.block_size.bytes() as u64;
        // Engines recompute at least the last token, to have something to sample from.
        let matched = self
            .rate
            .tokens(held_bytes)
            .min(prompt.saturating_sub(Tokens(1)));
        let cost = RequestCost {
            uncached: prompt.saturating_sub(matched),
            prompt,
        };
        Candidate {
            endpoint,
            load: endpoint.load.now(),
            matched,
            cost,
        }
    }
}
