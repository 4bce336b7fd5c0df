//! What engines report, brought to what is believed of them.

use std::time::Instant;

use super::{Router, Sent};
use crate::block::PromptBlocks;
use crate::endpoint::EndpointId;
use crate::feedback::{Lesson, Reported, Sizes};
use crate::tokens::BytesPerToken;
use crate::units::Tokens;

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
        Lesson {
            predicted,
            reported: cached,
            error: cached.map(|cached| Tokens(cached.0.abs_diff(predicted.0))),
            lost: false,
        }
    }

    /// How much the endpoint is believed to be able to hold.
    #[must_use]
    pub fn sizes(&self, endpoint: EndpointId) -> Sizes {
        let sizes = self.index.sizes(endpoint);
        let rate = BytesPerToken::default();
        let tokens = |blocks: crate::units::Blocks| {
            rate.tokens(u64::from(blocks.0) * self.settings.block_size.bytes() as u64)
        };
        Sizes {
            device: tokens(sizes.device),
            total: tokens(sizes.total),
        }
    }
}
