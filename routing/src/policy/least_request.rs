//! The endpoint with the fewest requests, ours and those that others sent; equals by chance.

use rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{Reason, Shortlist, View};

/// No parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LeastRequest {}

impl LeastRequest {
    pub(super) fn rank<'a>(&self, view: &View<'a>, rng: &mut dyn RngCore) -> Shortlist<'a> {
        let candidates = view.candidates(rng);
        Shortlist::by_score(view, candidates, rng, Reason::Score, |candidate| {
            f64::from(candidate.load.requests())
        })
    }
}
