//! A home for each session or prefix, passed over while it has more than its share of requests.
//!
//! Mirrokni, Thorup and Zadimoghaddam, "Consistent hashing with bounded loads" (2016), over
//! rendezvous order instead of a ring.

use rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{Reason, Shortlist, View, rendezvous};

/// Parameters of the bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConsistentHash {
    /// Requests that an endpoint may have, as a multiple of the mean, before it is passed over.
    /// 1.25 is the figure of the paper's evaluation and of Envoy's documentation.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub load_factor: f64,
}

impl Default for ConsistentHash {
    fn default() -> ConsistentHash {
        ConsistentHash { load_factor: 1.25 }
    }
}

impl ConsistentHash {
    pub(super) fn rank<'a>(&self, view: &View<'a>, _: &mut dyn RngCore) -> Shortlist<'a> {
        let loads = view.usable().map(|endpoint| endpoint.load.now().requests());
        let (count, total) = loads.fold((0_u32, 0_u32), |(count, total), load| {
            (count + 1, total + load)
        });
        // The request to be placed counts, so that an idle fleet has room.
        let bound = (self.load_factor * f64::from(total + 1) / f64::from(count.max(1))).ceil();
        let order = rendezvous::order(view, rendezvous::key(view));
        let reasons = std::iter::once(Reason::Home).chain(std::iter::repeat(Reason::NextHome));
        let (within, beyond): (Vec<_>, Vec<_>) = order
            .into_iter()
            .zip(reasons)
            .partition(|(endpoint, _)| f64::from(endpoint.load.now().requests()) < bound);
        Shortlist::in_order(view, within.into_iter().chain(beyond))
    }
}
