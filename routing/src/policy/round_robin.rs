//! One usable endpoint after the other. A baseline.

use std::sync::atomic::{AtomicUsize, Ordering};

use rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::policy::{Reason, Shortlist, View};

/// No parameters; remembers whose turn it is.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RoundRobin {
    #[serde(skip)]
    turn: AtomicUsize,
}

impl Clone for RoundRobin {
    /// A copy begins its own turns.
    fn clone(&self) -> RoundRobin {
        RoundRobin::default()
    }
}

impl PartialEq for RoundRobin {
    /// Whose turn it is makes no difference.
    fn eq(&self, _: &RoundRobin) -> bool {
        true
    }
}

impl RoundRobin {
    pub(super) fn rank<'a>(&self, view: &View<'a>, _: &mut dyn RngCore) -> Shortlist<'a> {
        let count = view.endpoints.len();
        if count == 0 {
            return Shortlist::default();
        }
        let start = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let turns = (start..count).chain(0..start);
        Shortlist::in_order(
            view,
            turns.map(|place| (&view.endpoints[place], Reason::Turn)),
        )
    }
}
