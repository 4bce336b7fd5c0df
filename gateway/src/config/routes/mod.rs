//! Where each model's requests go: rules in the order in which they are tried.
//!
//! | file | what |
//! |---|---|
//! | `guard` | what watches a route, and its steps |
//! | `matching` | which requests a rule takes |
//! | `fallback` | which target takes over from which |
//! | `meaning` | from rules as typed to rules without ambiguity |

use std::collections::BTreeMap;
use std::sync::Arc;

use warmgate_routing::Tokens;
use warmgate_routing::split::{Identity, MirrorShare, Stickiness, Weighted};

mod fallback;
mod guard;
mod matching;
mod meaning;

pub use guard::GuardRules;
pub use matching::{Head, HostMatch, Match, PathMatch};
pub(super) use meaning::meaning;

/// Where each model's requests go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Routes {
    exact: BTreeMap<String, Vec<Route>>,
    any: Vec<Route>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Unique among all routes: for metric labels and the admin API.
    pub name: Arc<str>,
    /// The model in the request, or [`ANY_MODEL`](super::ANY_MODEL).
    pub model: String,
    /// Which of its requests the rule takes.
    pub matching: Match,
    /// What stays with one target.
    pub stickiness: Stickiness,
    /// Whether a client may choose a target.
    pub takes_force: bool,
    /// At least one; names are unique.
    pub targets: Vec<Target>,
    /// Where some of its requests are copied to.
    pub mirror: Option<Mirror>,
    /// What watches them, if anything does.
    pub guard: Option<GuardRules>,
}

/// A pool that gets copies of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The pool and the model's name there. It takes no part in the route's split.
    pub target: Target,
    /// How many of the requests are copied.
    pub share: MirrorShare,
}

/// A pool, the model's name there, and its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Unique in its route.
    pub name: Arc<str>,
    /// Name of a pool that exists.
    pub pool: String,
    /// Share of conversations, relative to the other targets'; 0: none.
    pub weight: u32,
    /// Model name to send there; none: the client's.
    pub model: Option<String>,
    /// Who takes what this one cannot take.
    pub fallback: Option<Fallback>,
    /// It was not written as a target: another one falls back to its pool.
    pub is_implied: bool,
}

/// Who takes what a target cannot take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Name of another target of the route. Following these names ends.
    pub target: Arc<str>,
    /// Queued prefill of each usable endpoint at which requests go there too; none: at none.
    pub saturated: Option<Tokens>,
}

impl Weighted for Target {
    fn identity(&self) -> Identity {
        Identity::of(&self.name)
    }

    fn weight(&self) -> u32 {
        self.weight
    }
}

impl Route {
    /// The target with the largest share.
    #[must_use]
    pub fn main_target(&self) -> Option<&Target> {
        // Of equals the first.
        self.targets.iter().rev().max_by_key(|target| target.weight)
    }

    /// The target of that name.
    #[must_use]
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| *target.name == *name)
    }
}

impl Routes {
    /// The rule that takes a request for `model` with this head: the first of the model's own that
    /// matches, else the first of `*` that does.
    #[must_use]
    pub fn find(&self, model: &str, head: &Head<'_>) -> Option<&Route> {
        self.of(model).find(|route| route.matching.takes(head))
    }

    /// Where most requests for `model` go, whatever rules match besides: for what has no request
    /// to look at, such as the list of models.
    #[must_use]
    pub fn target(&self, model: &str) -> Option<&Target> {
        self.of(model).find_map(Route::main_target)
    }

    /// The rules for `model` in the order in which they are tried.
    pub fn of(&self, model: &str) -> impl Iterator<Item = &Route> {
        self.exact.get(model).into_iter().flatten().chain(&self.any)
    }

    /// The rules of models that are named, sorted by that name.
    pub fn exact(&self) -> impl Iterator<Item = (&str, &[Route])> {
        self.exact
            .iter()
            .map(|(model, routes)| (model.as_str(), routes.as_slice()))
    }

    /// The rules of every model.
    #[must_use]
    pub fn any(&self) -> &[Route] {
        &self.any
    }

    /// Every rule: by model, then those of every model, each in the order of trying.
    pub fn all(&self) -> impl Iterator<Item = &Route> {
        self.exact.values().flatten().chain(&self.any)
    }

    fn add(&mut self, route: Route) {
        let rules = if route.model == super::ANY_MODEL {
            &mut self.any
        } else {
            self.exact.entry(route.model.clone()).or_default()
        };
        rules.push(route);
    }
}

#[cfg(test)]
mod tests;
