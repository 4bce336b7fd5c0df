//! Any usable endpoint, each with equal chance. A baseline.

use rand::RngCore;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{Reason, Shortlist, View};

/// No parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Random {}

impl Random {
    pub(super) fn rank<'a>(&self, view: &View<'a>, rng: &mut dyn RngCore) -> Shortlist<'a> {
        let mut usable: Vec<_> = view
            .usable()
            .map(|endpoint| (endpoint, Reason::Chance))
            .collect();
        let (drawn, rest) = usable.partial_shuffle(rng, view.wanted);
        let order: Vec<_> = drawn.iter().chain(rest.iter()).copied().collect();
        Shortlist::in_order(view, order)
    }
}
