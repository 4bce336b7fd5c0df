//! From candidates to a short list: by least score, or in an order already given.

use std::sync::Arc;

use rand::{Rng, RngCore};
use serde::Serialize;

use crate::endpoint::Endpoint;
use crate::policy::{Candidate, View};

/// Why an endpoint stands where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its score decides.
    Score,
    /// It holds the longest part of the prompt.
    LongestMatch,
    /// Load was too uneven for affinity.
    Imbalance,
    /// Nobody holds enough; it holds least of anything.
    EmptiestCache,
    /// It is the home of the session or prefix.
    Home,
    /// The home is overloaded or away; it is the next in line.
    NextHome,
    /// It was its turn.
    Turn,
    /// It was drawn.
    Chance,
}

/// One endpoint with its place in the ranking.
#[derive(Clone, Debug)]
pub struct Ranked<'a> {
    /// The endpoint as the policy saw it.
    pub candidate: Candidate<'a>,
    /// The policy's score in its own unit, less is better; none where it has none.
    pub score: Option<f64>,
    /// Why here.
    pub reason: Reason,
}

/// A policy's answer.
#[derive(Debug, Default)]
pub struct Shortlist<'a> {
    /// Best first. More than were wanted only where an explanation was asked for.
    pub ranked: Vec<Ranked<'a>>,
}

impl<'a> Shortlist<'a> {
    /// The candidates of least score, least first; equals in random order.
    pub fn by_score(
        view: &View<'a>,
        candidates: Vec<Candidate<'a>>,
        rng: &mut dyn RngCore,
        reason: Reason,
        score: impl Fn(&Candidate<'a>) -> f64,
    ) -> Shortlist<'a> {
        let count = candidates.len();
        let start = if count == 0 {
            0
        } else {
            rng.random_range(0..count)
        };
        let keep = if view.explain { count } else { view.wanted };
        let mut ranked: Vec<Ranked<'a>> = Vec::with_capacity(keep.min(count));
        for place in (start..count).chain(0..start) {
            let score = score(&candidates[place]);
            let is_worse = |other: &Ranked<'a>| other.score.is_some_and(|other| other > score);
            let at = ranked
                .iter()
                .rposition(|other| !is_worse(other))
                .map_or(0, |last| last + 1);
            if at < keep {
                ranked.truncate(keep - 1);
                let candidate = candidates[place];
                ranked.insert(
                    at,
                    Ranked {
                        candidate,
                        score: Some(score),
                        reason,
                    },
                );
            }
        }
        Shortlist { ranked }
    }

    /// The first usable endpoints of an order already decided.
    pub fn in_order(
        view: &View<'a>,
        endpoints: impl IntoIterator<Item = (&'a Arc<Endpoint>, Reason)>,
    ) -> Shortlist<'a> {
        let keep = if view.explain {
            usize::MAX
        } else {
            view.wanted
        };
        let usable = endpoints
            .into_iter()
            .filter(|(endpoint, _)| view.is_usable(endpoint));
        let ranked = usable
            .take(keep)
            .map(|(endpoint, reason)| Ranked {
                candidate: view.candidate(endpoint),
                score: None,
                reason,
            })
            .collect();
        Shortlist { ranked }
    }
}
