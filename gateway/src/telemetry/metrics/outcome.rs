//! What is counted of one request when it has ended.

use std::time::Duration;

use warmgate_routing::Tokens;
use warmgate_routing::guard::ErrorClass;
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
    /// The engine gave the answer up and said so in its finish reason.
    pub is_given_up: bool,
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
    /// What went wrong behind the gateway, if anything did; what a client or the gateway itself is to
    /// blame for is not meant.
    #[must_use]
    pub fn error_class(&self) -> Option<ErrorClass> {
        match (self.error, self.status) {
            (Some(GatewayError::EndpointUnreachable), _) => Some(ErrorClass::Connect),
            (Some(GatewayError::EndpointBroken), _) => Some(ErrorClass::Broken),
            (Some(GatewayError::EndpointTimeout { .. }), _) => Some(ErrorClass::Timeout),
            (Some(GatewayError::NoEndpoint | GatewayError::Saturated), _) => {
                Some(ErrorClass::NoEndpoint)
            }
            (Some(_), _) => None,
            (None, 500..) => Some(ErrorClass::Status5xx),
            (None, 400..) => Some(ErrorClass::Status4xx),
            (None, _) if self.is_stream_error => Some(ErrorClass::MidStream),
            (None, _) => self.is_given_up.then_some(ErrorClass::GivenUp),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_wrong_behind_the_gateway_and_what_did_not() {
        let limit = Duration::from_secs(1);
        let ours = |error| (Some(error), 0, false, false);
        for ((error, status, is_stream_error, is_given_up), expected) in [
            (ours(GatewayError::EndpointUnreachable), "connect"),
            (ours(GatewayError::EndpointBroken), "broken"),
            (ours(GatewayError::EndpointTimeout { limit }), "timeout"),
            (ours(GatewayError::NoEndpoint), "no_endpoint"),
            (ours(GatewayError::Saturated), "no_endpoint"),
            (ours(GatewayError::ShuttingDown), ""),
            (ours(GatewayError::NoSuchPath), ""),
            ((None, 0, false, false), ""),
            ((None, 200, false, false), ""),
            ((None, 200, true, true), "mid_stream"),
            ((None, 200, false, true), "given_up"),
            ((None, 399, false, false), ""),
            ((None, 400, false, false), "4xx"),
            ((None, 499, false, false), "4xx"),
            ((None, 500, true, false), "5xx"),
        ] {
            let outcome = Outcome {
                error: error.as_ref(),
                status,
                is_stream_error,
                is_given_up,
                ..Outcome::default()
            };
            let class = outcome.error_class().map_or("", ErrorClass::label);
            assert_eq!(class, expected, "{error:?} {status}");
        }
    }
}
