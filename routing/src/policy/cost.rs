//! The default: the endpoint where this request adds least cost, counted in prefill tokens.
//!
//! `J = Q + a W + (w + k d) u + r y + b c`, where `Q` is the uncached tokens queued there, `W` those
//! sent there lately, fading, `u` my uncached tokens there, `y` my tokens that it has to load from a
//! tier behind its device, `d` the requests past their first token there, and `c` the prompt tokens in
//! flight there.
//!
//! `Q` is what I wait for, `a W` what its queue forgets: cold prompts come in bursts, and the next
//! belongs elsewhere than the last. `w u` is what I make everybody behind me wait for and push out of the
//! cache, `k d u` the stall of running decodes, and `b c` spreads decode work where `u` is equal.
//! No threshold: a warm endpoint loses its advantage smoothly as it fills, and a hot prefix is
//! copied to a second endpoint exactly when waiting costs more than computing it again.

use std::sync::Arc;

use rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::policy::{Candidate, Reason, Shortlist, View, rendezvous};

/// Uncached prompt tokens that a request of somebody else, waiting there, is taken for.
/// We only see their number; this is the order of a chat turn.
const FOREIGN_UNCACHED_TOKENS: f64 = 1_000.0;

/// Weights of the score. The defaults were measured on chat and agent traces (decisions 0003 and 0011).
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
    /// Price of a token that was sent there lately and had to be computed (30 s ago it counts 1/e).
    /// 0.3 to 1 is a plateau; 0 loses 4 % on average, and 15 % where agents start many cold calls.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub recent_work_weight: f64,
    /// Price of a prompt token in flight there, cached or not.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub occupancy_weight: f64,
    /// Price of a token that the endpoint loads from its own host tier, in tokens that it computes:
    /// prefill tokens/s x KV bytes per token / bytes/s of the host link. 0.1 is 15,000 tokens/s of
    /// 164 kB (a 70B model on four devices) over 25 GB/s; it need not be accurate.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub tier_load_weight: f64,
    /// Share of the uncached tokens that costs nothing at the rendezvous home of the request's
    /// session, 0 to 1. For several gateways that do not exchange what they route: 0.5 makes them
    /// agree on most homes. With one gateway it only costs balance.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub home_discount: f64,
}

impl Default for Cost {
    fn default() -> Cost {
        Cost {
            prefill_weight: 3.0,
            decode_stall_weight: 0.1,
            recent_work_weight: 0.5,
            occupancy_weight: 0.05,
            tier_load_weight: 0.1,
            home_discount: 0.0,
        }
    }
}

impl Cost {
    /// The score of one endpoint in tokens, where it is not the home of the session.
    #[must_use]
    pub fn score(&self, candidate: &Candidate<'_>) -> f64 {
        self.score_of(candidate, 1.0)
    }

    fn score_of(&self, candidate: &Candidate<'_>, uncached_share: f64) -> f64 {
        let load = candidate.load;
        let queued = load.queued_prefill.as_f64()
            + f64::from(load.foreign_waiting) * FOREIGN_UNCACHED_TOKENS;
        let decoding = f64::from(load.decoding) + f64::from(load.foreign_running);
        let uncached = candidate.cost.uncached.as_f64() * uncached_share;
        queued
            + self.recent_work_weight * candidate.recent_work.as_f64()
            + (self.prefill_weight + self.decode_stall_weight * decoding) * uncached
            + self.tier_load_weight * candidate.loaded.as_f64()
            + self.occupancy_weight * load.prompt.as_f64()
    }

    pub(super) fn rank<'a>(&self, view: &View<'a>, rng: &mut dyn RngCore) -> Shortlist<'a> {
        let mut candidates = view.candidates(rng);
        let home = self.home(view);
        if let Some(home) = home
            && !candidates.iter().any(|seen| seen.endpoint.id == home.id)
        {
            candidates.push(view.candidate(home));
        }
        Shortlist::by_score(view, candidates, rng, Reason::Score, |candidate| {
            let is_home = home.is_some_and(|home| home.id == candidate.endpoint.id);
            let discount = if is_home { self.home_discount } else { 0.0 };
            self.score_of(candidate, 1.0 - discount)
        })
    }

    /// The session's home among the usable, where that matters. Prompts without a session have
    /// none: by their beginnings, all that share a system prompt would share a home.
    fn home<'a>(&self, view: &View<'a>) -> Option<&'a Arc<Endpoint>> {
        let session = view.session.filter(|_| self.home_discount > 0.0)?;
        rendezvous::home(view, session.0)
    }
}
