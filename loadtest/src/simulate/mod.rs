//! Routers against simulated engines in virtual time: which policy carries more load, and why.
//!
//! No sockets, no clock: hours of traffic pass in seconds, and a seed replays every run. The
//! router under test is the `routing` crate itself ([`warmgate::Warmgate`]), driven by the calls
//! that the gateway makes; the policies of other routers ([`peer`]) get the same engines, the same
//! requests and the same news. The engine is [`crate::engine::Model`], the same that stands behind
//! `warmgate-loadtest engine`.
//!
//! ```text
//! trace -> workload -> population (load, seed) -> run: replicas of a contender -> engines
//!                                                   \-> measured -> outcome -> capacity
//! ```
//! A request is *good* when its first token comes within 2 s and 0.1 ms for each prompt token that
//! even an endless cache would not have had, and its further tokens come every 100 ms or faster.
//! *Capacity* is the largest load at which 90 % are good. In every run it is asserted that no
//! request is lost or answered twice, that what is cached, loaded and computed adds up to the
//! prompt, that ledgers return to zero, and that the index stays within its bytes.

pub mod capacity;
mod checker;
pub mod contender;
pub mod grid;
pub mod outcome;
mod peer;
pub mod population;
pub mod roster;
pub mod run;
pub mod scenario;
pub mod synthetic;
mod timeline;
pub mod warmgate;
pub mod workload;
