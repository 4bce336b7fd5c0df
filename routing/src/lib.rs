//! Given a request, the time and what is known: where should it go?
//!
//! Pure: no I/O, no async, no clock, no global randomness. `now` and the generator are arguments,
//! so that a gateway in real time and a simulation in virtual time make the same decisions.
//!
//! | room | in -> out |
//! |---|---|
//! | [`request`] | bytes -> what routing needs of them |
//! | [`split`] | request and weights -> which target of its route |
//! | [`guard`] | what targets did lately -> is a canary fine, and its weight |
//! | [`block`] | prompt -> chained block hashes |
//! | [`prefix`] | hashes -> who holds how much |
//! | [`feedback`] | what engines say of their caches -> what to believe |
//! | [`ledger`], [`recent_work`], [`health`] | what is in flight where, who got much lately, who keeps failing |
//! | [`policy`] | all that -> endpoints, best first |
//! | [`exchange`] | what gateway replicas tell each other |
//! | [`router`] | the state of one pool, and the order in which the rooms are visited |

pub mod block;
pub mod decision;
pub mod endpoint;
pub mod error;
pub mod exchange;
pub mod feedback;
pub mod guard;
pub mod health;
pub mod ledger;
pub mod pod;
pub mod policy;
pub mod pool;
pub mod prefix;
pub mod recent_work;
pub mod report;
pub mod request;
pub mod router;
pub mod split;
pub mod tokens;
pub mod units;

pub use block::{BlockSize, PromptBlocks};
pub use decision::{Choice, Decision};
pub use endpoint::{Endpoint, EndpointId, EndpointKey, EndpointSpec};
pub use error::Unroutable;
pub use policy::Policy;
pub use pool::{EndpointEvent, Pool};
pub use router::{Ask, Router, RouterSettings, Sent};
pub use units::{Blocks, Tokens};
