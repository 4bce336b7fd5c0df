//! What engines say about their caches, and what it teaches the prefix index.

use crate::units::Tokens;

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
