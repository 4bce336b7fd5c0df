//! What engines report, brought to what is believed of them.

use std::time::Instant;

use super::{Router, Sent};
use crate::block::PromptBlocks;
use crate::endpoint::{Endpoint, EndpointId};
use crate::feedback::{Heard, Lesson, Reported, Sizes, Verdict};
use crate::units::{Blocks, Tokens};

impl Router {
    /// An engine has answered `sent`, whose prompt was `prompt` for the model it knows as `model`.
    /// Call it once, at the end of the answer.
    pub fn reported(
        &self,
        sent: &Sent,
        model: &str,
        prompt: &PromptBlocks,
        reported: Reported,
        _now: Instant,
    ) -> Lesson {
        sent.note_answered();
        if let Some(counted) = reported.prompt_tokens {
            self.rates.learn(model, prompt, counted);
        }
        let predicted = match reported.prompt_tokens {
            // What was estimated as a share, of the count that is right.
            Some(counted) if sent.prompt > Tokens::ZERO => {
                let share = sent.predicted.as_f64() / sent.prompt.as_f64();
                Tokens((share * counted.as_f64()) as u64)
            }
            _ => sent.predicted,
        };
        let cached = reported.cached_tokens;
        let lost = match reported.prompt_tokens {
            Some(counted) if counted > Tokens::ZERO => {
                let bytes = (prompt.bytes + prompt.further_bytes) as f64;
                self.hear(sent, bytes / counted.as_f64(), cached)
            }
            _ => false,
        };
        Lesson {
            predicted,
            reported: cached,
            error: cached.map(|cached| Tokens(cached.0.abs_diff(predicted.0))),
            lost,
        }
    }

    /// How much the endpoint is believed to be able to hold; nothing where it is not in the pool.
    #[must_use]
    pub fn sizes(&self, endpoint: EndpointId) -> Sizes {
        let sizes = self.index.sizes(endpoint);
        let pool = self.pool.load();
        let tokens = |blocks| match pool.get(endpoint) {
            Some(endpoint) => endpoint.learner.tokens(blocks),
            None => Tokens::ZERO,
        };
        Sizes {
            device: tokens(sizes.device),
            total: tokens(sizes.total),
        }
    }

    /// Returns whether the endpoint's cache is lost.
    pub(crate) fn hear(&self, sent: &Sent, bytes_per_token: f64, cached: Option<Tokens>) -> bool {
        let learner = &sent.endpoint.learner;
        self.carry_out(&sent.endpoint, learner.note_rate(bytes_per_token));
        let Some(cached) = cached else {
            return false;
        };
        let cached_bytes = cached.as_f64() * bytes_per_token;
        let cached = cached_bytes / self.settings.block_size.bytes() as f64;
        let verdict = learner.hear(&Heard {
            recall: &sent.recall,
            settled: sent.settled,
            cached: Blocks(cached.round() as u32),
        });
        self.carry_out(&sent.endpoint, verdict)
    }

    /// Brings to the index what was learned. Returns whether the endpoint's cache is lost.
    pub(super) fn carry_out(&self, endpoint: &Endpoint, verdict: Verdict) -> bool {
        if !self.settings.feedback {
            return false;
        }
        if let Some(stamp) = verdict.lost {
            self.index.forget_older(endpoint.id, stamp);
        }
        if verdict.resized {
            self.apply_sizes(endpoint);
            // Gone meanwhile? Then it was forgotten before, and nobody would do it again.
            if self.pool.load().get(endpoint.id).is_none() {
                self.index.remove(endpoint.id);
            }
        }
        verdict.lost.is_some()
    }

    /// Brings an endpoint's sizes to the index.
    pub(super) fn apply_sizes(&self, endpoint: &Endpoint) {
        let sizes = endpoint.learner.sizes(self.settings.feedback);
        self.index.set_sizes(endpoint.id, sizes);
    }
}
