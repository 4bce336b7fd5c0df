//! Splits: which of a route's weighted targets a conversation belongs to.
//!
//! A conversation stays with one target, or its KV cache is worth nothing, and a share that grows
//! takes conversations only towards the target that it belongs to. [`choose`] is weighted
//! rendezvous hashing, which needs no state, no ring and no agreement between gateway replicas but
//! the targets' names:
//!
//! | change | who moves |
//! |---|---|
//! | one weight is raised | only towards that target: as much as its share has grown |
//! | one weight is lowered | only away from it: as much as its share has shrunk |
//! | of two targets, one gives what the other takes (90/10 to 70/30) | that part, in that direction |
//! | a target comes, or goes | only towards it; only those that it had |
//! | the list is reordered, or all weights are multiplied | nobody |
//!
//! Only where three or more targets share and two of them change at once does somebody else move
//! too; no function of weights alone can avoid that (decision 0012).
//!
//! | file | what |
//! |---|---|
//! | `weight_line` | key and weights -> target |
//! | `key` | request -> key |
//! | `mirror` | which requests are copied |
//!
//! ```
//! use warmgate_routing::split::{Identity, SplitKey, Weighted, choose};
//!
//! struct Version(&'static str, u32);
//! impl Weighted for Version {
//!     fn identity(&self) -> Identity {
//!         Identity::of(self.0)
//!     }
//!     fn weight(&self) -> u32 {
//!         self.1
//!     }
//! }
//!
//! let canaries = |targets: &[Version]| {
//!     let of_canary = |key: &u64| choose(targets, SplitKey(*key)).is_some_and(|t| t.0 == "canary");
//!     (0..1_000).filter(of_canary).collect::<Vec<u64>>()
//! };
//! let few = canaries(&[Version("stable", 90), Version("canary", 10)]);
//! let more = canaries(&[Version("canary", 30), Version("stable", 70)]);
//! assert!(few.iter().all(|key| more.contains(key)), "nobody goes back");
//! assert!((70..130).contains(&few.len()) && (250..350).contains(&more.len()));
//! ```

mod key;
mod mirror;
#[cfg(test)]
mod tests;
mod weight_line;

pub use key::{ApiKey, Caller, KeySource, SplitKey, Stickiness};
pub use mirror::MirrorShare;
pub use weight_line::{Identity, Weighted, choose};
