//! The less loaded of two endpoints drawn at random.
//!
//! Mitzenmacher, "The power of two choices in randomized load balancing" (2001).

use rand::RngCore;
use rand::seq::SliceRandom;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{Reason, Shortlist, View};

/// No parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PowerOfTwo {}

impl PowerOfTwo {
    pub(super) fn rank<'a>(&self, view: &View<'a>, rng: &mut dyn RngCore) -> Shortlist<'a> {
        let mut usable: Vec<_> = view.usable().collect();
        // The two that compete, and as many more to fall back on.
        let (drawn, _) = usable.partial_shuffle(rng, view.wanted.max(2));
        if let [first, second, ..] = drawn
            && second.load.now().requests() < first.load.now().requests()
        {
            drawn.swap(0, 1);
        }
        let order: Vec<_> = drawn
            .iter()
            .map(|endpoint| (*endpoint, Reason::Chance))
            .collect();
        Shortlist::in_order(view, order)
    }
}
