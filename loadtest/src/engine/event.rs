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

/// Kinds of event; every request sees `FirstToken`, `Token` for each further one, `Finished`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Prefill is done and the first token is out.
    FirstToken {
        /// Prompt tokens that came from the prefix cache.
        cached_tokens: u64,
    },
    /// One more token.
    Token,
    /// The answer is complete; the id may be forgotten.
    Finished,
}
