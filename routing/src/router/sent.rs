//! A request underway: its weight on the endpoint, and what was believed when it was sent.

use std::sync::Arc;
use std::time::Instant;

use super::Router;
use crate::block::{BlockHash, PromptBlocks};
use crate::decision::Choice;
use crate::endpoint::Endpoint;
use crate::ledger::{LoadGuard, RequestCost};
use crate::prefix::{Recall, Stamp};
use crate::units::Tokens;

/// One request on its way. Dropping it gives its weight back, on whatever path.
#[derive(Debug)]
pub struct Sent {
    /// Where it went.
    pub endpoint: Arc<Endpoint>,
    /// Prompt tokens that were believed to be cached there, by our estimate of their number.
    pub predicted: Tokens,
    /// All prompt tokens by the same estimate.
    pub prompt: Tokens,
    /// What was believed when it was sent.
    pub recall: Recall,
    /// Up to when prompts had been computed there when it was sent.
    pub(super) settled: Stamp,
    is_computed: bool,
    guard: LoadGuard,
}

impl Sent {
    /// The first token has come: the prompt is computed. Later calls change nothing.
    pub fn note_first_token(&mut self) {
        self.guard.note_first_token();
        self.note_answered();
        self.is_computed = true;
    }
}

impl Sent {
    /// It is being answered, so its prompt is computed, whether or not anybody saw a first token.
    pub(super) fn note_answered(&self) {
        if !self.is_computed {
            let learner = &self.endpoint.learner;
            learner.note_computed(&self.recall, self.settled, self.prompt);
        }
    }
}

impl Router {
    /// The request is about to be sent to `choice`: from here on it weighs there, and its prompt
    /// is believed to be cached there.
    #[must_use]
    pub fn send(&self, choice: &Choice, prompt: &PromptBlocks, now: Instant) -> Sent {
        choice.endpoint.health.note_sent(now);
        let sent = self.weigh(&choice.endpoint, choice.cost, &prompt.hashes, now);
        Sent {
            predicted: self.predicted(&sent.recall, prompt, choice.cost.prompt),
            ..sent
        }
    }

    /// A request goes to `endpoint`, from here or from another replica. Predicts nothing.
    pub(crate) fn weigh(
        &self,
        endpoint: &Arc<Endpoint>,
        cost: RequestCost,
        prompt: &[BlockHash],
        now: Instant,
    ) -> Sent {
        let recall = self.index.insert(prompt, endpoint.id);
        // Gone since the decision? Then it was forgotten before, and nobody would do it again.
        if self.pool.load().get(endpoint.id).is_none() {
            self.index.remove(endpoint.id);
        }
        endpoint.load.recent_work().add(cost.uncached, now);
        Sent {
            endpoint: Arc::clone(endpoint),
            predicted: Tokens::ZERO,
            prompt: cost.prompt,
            settled: endpoint.learner.note_sent(recall.stamp),
            is_computed: false,
            recall,
            guard: LoadGuard::take(&endpoint.load, cost),
        }
    }

    /// Tokens that are believed to be held, of a prompt of `all` tokens.
    fn predicted(&self, recall: &Recall, prompt: &PromptBlocks, all: Tokens) -> Tokens {
        let held_bytes = u64::from(recall.held.blocks.0) * self.settings.block_size.bytes() as u64;
        let bytes = (prompt.bytes + prompt.further_bytes).max(1);
        let tokens = Tokens((all.as_f64() * held_bytes as f64 / bytes as f64) as u64);
        // Engines recompute at least the last token, to have something to sample from.
        tokens.min(all.saturating_sub(Tokens(1)))
    }

    /// The request was sent to `choice` in vain: what it would have left there is not believed to
    /// be cached. Its load guard is its holder's to drop.
    pub fn take_back(&self, choice: &Choice, prompt: &PromptBlocks) {
        let (id, held) = (choice.endpoint.id, choice.held);
        self.index.truncate(&prompt.hashes, id, held);
    }
}
