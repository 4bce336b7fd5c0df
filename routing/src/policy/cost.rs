//! The default: the endpoint where this request adds least cost, counted in prefill tokens.
//!
//! `J = Q + (w + k d) u + b c`, where `Q` is the uncached tokens queued there, `u` my uncached tokens there,
//! `d` the requests past their first token there, and `c` the prompt tokens in flight there.
//!
//! `Q` is what I wait for, `w u` what I make everybody behind me wait for and push out of the
//! cache, `k d u` the stall of running decodes, and `b c` spreads decode work where `u` is equal.
//! No threshold: a warm endpoint loses its advantage smoothly as it fills, and a hot prefix is
//! copied to a second endpoint exactly when waiting costs more than computing it again.

use rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{Candidate, Reason, Shortlist, View};

/// Uncached prompt tokens that a request of somebody else, waiting there, is taken for.
/// We only see their number; this is the order of a chat turn.
const FOREIGN_UNCACHED_TOKENS: f64 = 1_000.0;

/// Weights of the score. The defaults were measured on chat and agent traces (decision 0003).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cost {
    /// Price of a token that I make the endpoint compute, in tokens that I wait for; 1 or more.
    /// 2 to 6 is a plateau.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub prefill_weight: f64,
    /// Added to that price for each request that is decoding there.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub decode_stall_weight: f64,
    /// Price of a prompt token in flight there, cached or not.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub occupancy_weight: f64,
}

impl Default for Cost {
    fn default() -> Cost {
        Cost {
            prefill_weight: 3.0,
            decode_stall_weight: 0.1,
            occupancy_weight: 0.05,
        }
    }
}

impl Cost {
    /// The score of one endpoint in tokens.
    #[must_use]
    pub fn score(&self, candidate: &Candidate<'_>) -> f64 {
        let load = candidate.load;
        let queued = load.queued_prefill.as_f64()
            + f64::from(load.foreign_waiting) * FOREIGN_UNCACHED_TOKENS;
        let decoding = f64::from(load.decoding) + f64::from(load.foreign_running);
        let uncached = candidate.cost.uncached.as_f64();
        queued
            + (self.prefill_weight + self.decode_stall_weight * decoding) * uncached
            + self.occupancy_weight * load.prompt.as_f64()
    }

    pub(super) fn rank<'a>(&self, view: &View<'a>, rng: &mut dyn RngCore) -> Shortlist<'a> {
        let candidates = view.candidates(rng);
        Shortlist::by_score(view, candidates, rng, Reason::Score, |candidate| {
            self.score(candidate)
        })
    }
}
