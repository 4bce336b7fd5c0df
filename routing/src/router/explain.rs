//! The table behind a decision, for people: everything the policy looked at, and what it could not use.

use std::sync::Arc;

use crate::decision::{EXPLAIN_ROWS_MAX, Explanation, Row};
use crate::endpoint::EndpointId;
use crate::policy::{Ranked, View};
use crate::units::Tokens;

pub(super) fn table(
    policy: &'static str,
    view: &View<'_>,
    ranked: &[Ranked<'_>],
    capacity: impl Fn(EndpointId) -> Tokens,
) -> Explanation {
    let looked_at = ranked
        .iter()
        .map(|ranked| (ranked.candidate, ranked.score, Some(ranked.reason)));
    let unusable = view
        .endpoints
        .iter()
        .filter(|endpoint| !view.is_usable(endpoint));
    let unusable = unusable.map(|endpoint| (view.candidate(endpoint), None, None));
    let rows = looked_at
        .chain(unusable)
        .take(EXPLAIN_ROWS_MAX)
        .map(|(candidate, score, reason)| Row {
            endpoint: Arc::clone(&candidate.endpoint.spec.authority),
            matched_tokens: candidate.matched,
            loaded_tokens: candidate.loaded,
            capacity_tokens: capacity(candidate.endpoint.id),
            uncached_tokens: candidate.cost.uncached,
            recent_work_tokens: candidate.recent_work,
            load: candidate.load,
            standing: candidate.endpoint.health.standing(view.now),
            score,
            reason,
        })
        .collect();
    Explanation {
        policy,
        prompt_tokens: view.prompt_tokens(),
        bytes_per_token: view.rate.get(),
        endpoints: view.endpoints.len(),
        considered: ranked.len(),
        rows,
    }
}
