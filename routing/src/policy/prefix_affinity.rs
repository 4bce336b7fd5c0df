//! Longest match while load is even, else fewest requests: the policy of SGLang's router.
//!
//! After sgl-router's `cache_aware` with its defaults. Kept for comparison: the switch at the
//! threshold throws all affinity away at once, which is why it is not our default.

use rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{Candidate, Reason, Shortlist, View};

/// Thresholds, named as in SGLang's router.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrefixAffinity {
    /// Share of the prompt that must be held for affinity to decide, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cache_threshold: f64,
    /// Load is uneven where the largest exceeds the smallest by more requests than this ...
    pub balance_abs_threshold: u32,
    /// ... and by more than this factor.
    #[schemars(range(min = 1.0, max = 1000.0))]
    pub balance_rel_threshold: f64,
}

impl Default for PrefixAffinity {
    fn default() -> PrefixAffinity {
        PrefixAffinity {
            cache_threshold: 0.3,
            balance_abs_threshold: 64,
            balance_rel_threshold: 1.5,
        }
    }
}

impl PrefixAffinity {
    pub(super) fn rank<'a>(&self, view: &View<'a>, rng: &mut dyn RngCore) -> Shortlist<'a> {
        let candidates = view.candidates(rng);
        let requests = |candidate: &Candidate<'a>| f64::from(candidate.load.requests());
        if self.is_uneven(&candidates) {
            return Shortlist::by_score(view, candidates, rng, Reason::Imbalance, requests);
        }
        let longest = candidates
            .iter()
            .map(|candidate| candidate.matched)
            .max()
            .unwrap_or_default();
        if longest.as_f64() > self.cache_threshold * view.prompt_tokens().as_f64() {
            return Shortlist::by_score(view, candidates, rng, Reason::LongestMatch, |candidate| {
                -candidate.matched.as_f64()
            });
        }
        Shortlist::by_score(view, candidates, rng, Reason::EmptiestCache, |candidate| {
            f64::from(view.index.occupancy(candidate.endpoint.id).0)
        })
    }

    fn is_uneven(&self, candidates: &[Candidate<'_>]) -> bool {
        let loads = || candidates.iter().map(|candidate| candidate.load.requests());
        let (Some(least), Some(most)) = (loads().min(), loads().max()) else {
            return false;
        };
        most - least > self.balance_abs_threshold
            && f64::from(most) > self.balance_rel_threshold * f64::from(least)
    }
}
