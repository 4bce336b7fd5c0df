//! What engines say about their caches, and what it teaches the prefix index.
//!
//! # When it matters
//! Always: an engine reports the size of its device at most. What it keeps in host memory or in a
//! shared store, how much of its cache generated tokens and others' prompts take, what it lost in a
//! crash, shows only in what it finds again.
//!
//! # How it works
//! The index knows of every block of a prompt how many others the endpoint used since (its LRU stack
//! distance), ghosts included: blocks that should be evicted by now. The answer tells how many
//! leading blocks were there. So each answer says of some distances "still there" and of others "no
//! longer", and the size believed of the endpoint's cache is the one with fewest blocks on the wrong
//! side: hits on what should have been evicted raise it, misses on what should be there lower it.
//!
//! Three answers in a row with next to no hits, where blocks of that age are plainly found as a rule,
//! say something else: the cache is lost. Then everything older is forgotten, the size is kept, and
//! the caller is told ([`Lesson::lost`]).
//!
//! Engines whose answers do not say what was cached are judged by the counters on their metrics
//! pages, as long as nobody else uses them.
//!
//! What a prompt found that was sent while the one before it was still being computed proves nothing,
//! and what a new endpoint starts from is what was learned of others with the same device.

use crate::units::Tokens;

mod answer;
mod counters;
mod evidence;
mod learner;
mod suspicion;

pub(crate) use counters::Counters;
pub(crate) use learner::{Declared, Heard, Verdict};
pub use learner::{GHOSTS_PER_DEVICE, Learner, SURPRISE_TOKENS_MIN};
pub use suspicion::SURPRISES_IN_A_ROW;

/// What an engine's answer says about its prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Tokens of the prompt; none where the answer has no usage.
    pub prompt_tokens: Option<Tokens>,
    /// Of these, tokens that were in its cache, whatever the tier; none where it does not say.
    pub cached_tokens: Option<Tokens>,
}

/// What one answer has taught.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lesson {
    /// Tokens that were believed to be cached when the request was sent, in the engine's count.
    pub predicted: Tokens,
    /// Tokens that were cached, by the engine's account; none where it does not say.
    pub reported: Option<Tokens>,
    /// How far apart these are.
    pub error: Option<Tokens>,
    /// The endpoint has no hits where many were predicted, several times in a row: what it was
    /// believed to hold from before is forgotten.
    pub lost: bool,
}

/// How much an endpoint is believed to be able to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// On its device.
    pub device: Tokens,
    /// On its device and in whatever lies behind it: host memory, a shared store.
    pub total: Tokens,
}
