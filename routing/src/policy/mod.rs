//! Policies: given what is known, which endpoint, and which next if that one fails?
//!
//! | policy | use it when |
//! |---|---|
//! | [`cost`](cost::Cost) | always, unless measured otherwise: the default |
//! | [`prefix_affinity`](prefix_affinity::PrefixAffinity) | comparing with routers that switch between affinity and balance at thresholds |
//! | [`consistent_hash`](consistent_hash::ConsistentHash) | several gateways have to agree without talking |
//! | [`session`](session::Session) | conversations must stay put, whatever the load |
//! | [`least_request`](least_request::LeastRequest), [`power_of_two`](power_of_two::PowerOfTwo) | prompts share nothing |
//! | [`round_robin`](round_robin::RoundRobin), [`random`](random::Random) | as a baseline |
//!
//! A policy is a function of a [`View`] and of chance. It never does I/O, reads no clock, and
//! returns endpoints, best first. Its name in the configuration is the name of its file and of its
//! metric label. A new one is a file here and a line in `policies!`.

use rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod consistent_hash;
pub mod cost;
pub mod least_request;
pub mod power_of_two;
pub mod prefix_affinity;
pub mod random;
mod ranking;
mod rendezvous;
pub mod round_robin;
pub mod session;
mod view;

pub use ranking::{Ranked, Reason, Shortlist};
pub use view::{Candidate, VIEW_HOLDERS_MAX, VIEW_SAMPLE, View};

/// Declares the list of policies once: the enum, its names, and the dispatch.
macro_rules! policies {
    ($($(#[$doc:meta])* $name:literal => $variant:ident($data:ty),)+) => {
        /// The policy of a pool, with its parameters.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "name", rename_all = "snake_case")]
        pub enum Policy {
            $($(#[$doc])* $variant($data),)+
        }

        impl Policy {
            /// Every policy's name, in the order of the table in the configuration reference.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The policy of that name with its default parameters.
            #[must_use]
            pub fn by_name(name: &str) -> Option<Policy> {
                match name {
                    $($name => Some(Policy::$variant(<$data>::default())),)+
                    _ => None,
                }
            }

            /// Its name in the configuration and in metric labels.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Policy::$variant(_) => $name,)+
                }
            }

            /// Endpoints for this request, best first: at most as many as the view wants, fewer
            /// where fewer are usable. Where an explanation is wanted, everything looked at.
            pub fn rank<'a>(&self, view: &View<'a>, rng: &mut dyn RngCore) -> Shortlist<'a> {
                match self {
                    $(Policy::$variant(policy) => policy.rank(view, rng),)+
                }
            }
        }
    };
}

policies! {
    /// Least added cost in tokens: queue, own prefill, stall of decodes.
    "cost" => Cost(cost::Cost),
    /// Longest match unless load is uneven, by thresholds.
    "prefix_affinity" => PrefixAffinity(prefix_affinity::PrefixAffinity),
    /// A home for each prefix or session, passed over while overloaded.
    "consistent_hash" => ConsistentHash(consistent_hash::ConsistentHash),
    /// A home for each session, whatever the load.
    "session" => Session(session::Session),
    /// Fewest requests.
    "least_request" => LeastRequest(least_request::LeastRequest),
    /// The less loaded of two drawn at random.
    "power_of_two" => PowerOfTwo(power_of_two::PowerOfTwo),
    /// One after the other.
    "round_robin" => RoundRobin(round_robin::RoundRobin),
    /// Any.
    "random" => Random(random::Random),
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::Cost(cost::Cost::default())
    }
}

#[cfg(test)]
mod tests;
