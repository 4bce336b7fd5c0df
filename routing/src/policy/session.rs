//! A home for each session, whatever the load; the next in line only while the home is away.

use rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{Reason, Shortlist, View, rendezvous};

/// No parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Session {}

impl Session {
    pub(super) fn rank<'a>(&self, view: &View<'a>, _: &mut dyn RngCore) -> Shortlist<'a> {
        let order = rendezvous::order(view, rendezvous::key(view));
        let reasons = std::iter::once(Reason::Home).chain(std::iter::repeat(Reason::NextHome));
        Shortlist::in_order(view, order.into_iter().zip(reasons))
    }
}
