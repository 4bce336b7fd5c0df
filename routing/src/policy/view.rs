//! What a policy may look at: endpoints, their load, and who holds how much of the prompt.

use std::sync::Arc;
use std::time::Instant;

use rand::{Rng, RngCore};
use smallvec::SmallVec;

use crate::block::{BlockSize, PromptBlocks};
use crate::endpoint::{Endpoint, EndpointId};
use crate::ledger::{Load, RequestCost};
use crate::pool::by_id;
use crate::prefix::{Held, PrefixIndex};
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
    /// Uncached tokens sent there lately, fading.
    pub recent_work: Tokens,
    /// Leading blocks of the prompt that it is believed to hold.
    pub held: Blocks,
    /// The same in tokens.
    pub matched: Tokens,
    /// Of these, tokens that it would have to load from a tier behind its device.
    pub loaded: Tokens,
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
        let held = self.index.held(&self.prompt.hashes, endpoint.id);
        self.candidate_holding(endpoint, held, self.prompt_tokens())
    }

    /// The usable endpoints worth pricing, sorted by id: those that hold a prefix, and some that
    /// need not.
    pub fn candidates(&self, rng: &mut dyn RngCore) -> Vec<Candidate<'a>> {
        let sample = self.sample(rng);
        let ids: SmallVec<[EndpointId; VIEW_SAMPLE]> =
            sample.iter().map(|endpoint| endpoint.id).collect();
        let is_whole_fleet = sample.len() == self.endpoints.len();
        let holders_max = if is_whole_fleet { 0 } else { VIEW_HOLDERS_MAX };
        let matches = self
            .index
            .matches(&self.prompt.hashes, &ids, holders_max, rng.next_u64());
        let prompt = self.prompt_tokens();
        let mut candidates = Vec::with_capacity(sample.len() + matches.iter().len());
        let mut add = |endpoint: &'a Arc<Endpoint>, held| {
            if self.is_usable(endpoint) {
                candidates.push(self.candidate_holding(endpoint, held, prompt));
            }
        };
        // Both are sorted by id: one walk along both.
        let mut sample = sample.into_iter().peekable();
        for (id, held) in matches.iter() {
            while let Some(endpoint) = sample.next_if(|endpoint| endpoint.id < id) {
                add(endpoint, Held::default());
            }
            let sampled = sample.next_if(|endpoint| endpoint.id == id);
            if let Some(endpoint) = sampled.or_else(|| by_id(self.endpoints, id)) {
                add(endpoint, held);
            }
        }
        sample.for_each(|endpoint| add(endpoint, Held::default()));
        candidates
    }

    /// Up to [`VIEW_SAMPLE`] different endpoints, sorted by id: all, where there are no more.
    fn sample(&self, rng: &mut dyn RngCore) -> SmallVec<[&'a Arc<Endpoint>; VIEW_SAMPLE]> {
        let count = self.endpoints.len();
        if count <= VIEW_SAMPLE {
            return self.endpoints.iter().collect();
        }
        let mut places: SmallVec<[usize; VIEW_SAMPLE]> = (0..VIEW_SAMPLE)
            .map(|_| rng.random_range(0..count))
            .collect();
        places.sort_unstable();
        places.dedup();
        places
            .into_iter()
            .map(|place| &self.endpoints[place])
            .collect()
    }

    fn candidate_holding(
        &self,
        endpoint: &'a Arc<Endpoint>,
        held: Held,
        prompt: Tokens,
    ) -> Candidate<'a> {
        let tokens = |blocks: Blocks| {
            let bytes = u64::from(blocks.0) * self.block_size.bytes() as u64;
            self.rate.tokens(bytes)
        };
        // Engines recompute at least the last token, to have something to sample from.
        let matched = tokens(held.blocks).min(prompt.saturating_sub(Tokens(1)));
        let loaded = if held.device < held.blocks {
            matched.saturating_sub(tokens(held.device))
        } else {
            Tokens::ZERO
        };
        let cost = RequestCost {
            uncached: prompt.saturating_sub(matched),
            prompt,
        };
        Candidate {
            endpoint,
            load: endpoint.load.now(),
            recent_work: endpoint.load.recent_work().at(self.now),
            held: held.blocks,
            matched,
            loaded,
            cost,
        }
    }
}
