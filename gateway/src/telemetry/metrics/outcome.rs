//! What is counted of one request when it has ended.

use std::time::Duration;

use warmgate_routing::Tokens;
use warmgate_routing::request::Api;

use crate::error::GatewayError;

/// One request, ended in whatever way. What is not known is none and not counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome<'a> {
    /// The API; none where the request passed through unread.
    pub api: Option<Api>,
    /// Model name of the request.
    pub model: &'a str,
    /// Status sent to the client; 0 where it left before one was sent.
    pub status: u16,
    /// The error, where the gateway answered by itself.
    pub error: Option<&'a GatewayError>,
    /// Where the client left before the end.
    pub aborted: Option<AbortPhase>,
    /// The engine failed after its answer had begun.
    pub is_stream_error: bool,
    /// Size of the request's body.
    pub body_bytes: Option<u64>,
    /// From the body read to the endpoint chosen.
    pub decision: Option<Duration>,
    /// From the request's header read to the end of the answer.
    pub duration: Duration,
    /// From the request's header read to the first token.
    pub time_to_first_token: Option<Duration>,
    /// Mean pause between tokens after the first.
    pub time_per_output_token: Option<Duration>,
    /// Leading tokens that the endpoint that answered was believed to hold, by our estimate.
    pub matched_tokens: Option<Tokens>,
    /// Length of the prompt by the same estimate.
    pub estimated_prompt_tokens: Option<Tokens>,
    /// Tokens that were predicted to be cached, brought to the engine's count.
    pub predicted_tokens: Option<Tokens>,
    /// Length of the prompt by the engine's count.
    pub prompt_tokens: Option<Tokens>,
    /// Of these, found in the engine's cache, by its count.
    pub cached_tokens: Option<Tokens>,
    /// Tokens generated, by the engine's count.
    pub completion_tokens: Option<Tokens>,
}

impl Outcome<'_> {
    /// Predicted less reported cached share of the prompt, where both are known.
    pub(super) fn prediction_error(&self) -> Option<f64> {
        let prompt = self.prompt_tokens?;
        let predicted = share(self.predicted_tokens?, prompt)?;
        Some(predicted - share(self.cached_tokens?, prompt)?)
    }
}

fn share(part: Tokens, whole: Tokens) -> Option<f64> {
    (whole > Tokens::ZERO).then(|| (part.as_f64() / whole.as_f64()).min(1.0))
}

/// When a client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortPhase {
    /// It had received nothing.
    BeforeFirstByte,
    /// It had received a part of the answer.
    Streaming,
}

impl AbortPhase {
    /// Its name in metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            AbortPhase::BeforeFirstByte => "before_first_byte",
            AbortPhase::Streaming => "streaming",
        }
    }
}

/// Why a request was sent to a further endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// No connection.
    Connect,
    /// The connection broke before an answer.
    Broken,
    /// No answer in time.
    Timeout,
    /// The engine said 429.
    Overloaded,
    /// The engine said 502, 503 or 504.
    Answer,
}

impl RetryReason {
    /// Every reason.
    pub const ALL: [RetryReason; 5] = [
        RetryReason::Connect,
        RetryReason::Broken,
        RetryReason::Timeout,
        RetryReason::Overloaded,
        RetryReason::Answer,
    ];

    /// Its name in metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            RetryReason::Connect => "connect",
            RetryReason::Broken => "broken",
            RetryReason::Timeout => "timeout",
            RetryReason::Overloaded => "overloaded",
            RetryReason::Answer => "answer",
        }
    }
}
