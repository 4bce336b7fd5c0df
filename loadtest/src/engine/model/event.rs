//! What comes out of the model.

use std::time::Duration;

use super::request::RequestId;

/// Something that happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose event.
    pub id: RequestId,
    /// When the step that caused it ended.
    pub at: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// Kinds of event; every request sees `FirstToken`, `Token` for each further one (unless
/// [`super::ModelConfig::token_events`] is off), `Finished`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Prefill is done and the first token is out.
    FirstToken {
        /// Prompt tokens that were not computed, whichever tier held them (vLLM: `cached_tokens`).
        cached_tokens: u64,
        /// The part of them that was loaded from the host tier.
        loaded_tokens: u64,
    },
    /// One more token.
    Token,
    /// The answer is complete; the id may be forgotten.
    Finished,
}
