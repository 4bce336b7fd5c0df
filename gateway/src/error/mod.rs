//! Why the gateway itself answers: what happened, whose fault it is, and what to do about it.
//!
//! An engine's own error is not an error here: it is passed through as it came. Texts name limits
//! and models; they never contain a prompt.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;
use thiserror::Error;
use warmgate_routing::Unroutable;
use warmgate_routing::request::RequestError;

/// Model names listed in an error; further ones are only counted.
pub const KNOWN_MODELS_MAX: usize = 20;
/// Bytes of a name or reason that a client chose and an error repeats.
pub const ECHO_BYTES_MAX: usize = 256;
/// When to come back after a refusal that passes: ejections and saturation last about a second.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who has to change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The sender of the request.
    Client,
    /// This process.
    Gateway,
    /// A model server.
    Endpoint,
    /// Whoever says which endpoints and models exist, and how many.
    ControlPlane,
}

impl Fault {
    /// Its name in metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Fault::Client => "client",
            Fault::Gateway => "gateway",
            Fault::Endpoint => "endpoint",
            Fault::ControlPlane => "control_plane",
        }
    }
}

/// The shape in which a client's library expects an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{"error": {"message", "type", "param", "code"}}`; also of the admin API.
    #[default]
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}, "request_id"}`.
    Anthropic,
}

/// What the gateway sends instead of an engine's answer.
#[derive(Clone, Debug)]
pub struct ErrorResponse {
    /// Status of the answer.
    pub status: StatusCode,
    /// Headers of the answer; its length is left to the server.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// JSON.
    pub body: Bytes,
}

/// Everything for which the gateway answers by itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GatewayError {
    /// No route, or no endpoint behind it, has this model.
    #[error("the model `{}` does not exist here; {}", shorten(model), list(known))]
    NoSuchModel {
        /// The name asked for.
        model: String,
        /// The names that exist, sorted.
        known: Vec<String>,
    },
    /// The model has routes, and none of them matches the request's headers and path.
    #[error(
        "the model `{}` is served to requests with other headers or at another path only; ask the operator for the rules of its routes",
        shorten(model)
    )]
    NoSuchRoute {
        /// The name asked for.
        model: String,
    },
    /// The client asked for a target by its name, and the route has none of that name.
    #[error("the route has no target `{}`; use one of: {}", shorten(target), known.join(", "))]
    NoSuchTarget {
        /// The name asked for.
        target: String,
        /// The names that exist, in the order of the configuration.
        known: Vec<String>,
    },
    /// An operator names a target that no guard watches.
    #[error("no guard watches a target `{target}` of a route `{route}`; GET /routes lists them")]
    NoSuchGuard {
        /// Name of the route.
        route: String,
        /// Name of the target.
        target: String,
    },
    /// Nothing is served under this path.
    #[error("nothing is served at this path; check the base URL")]
    NoSuchPath,
    /// The path is a control of the engines, which acts on everybody's requests.
    #[error("engines' controls are not served here; call the engine itself")]
    EngineControl,
    /// The path exists, the method does not.
    #[error("this path takes {allowed} only")]
    WrongMethod {
        /// Methods that it takes, as in the header `Allow`.
        allowed: &'static str,
    },
    /// The body cannot be read as a request.
    #[error("{}", shorten(reason))]
    BadRequest {
        /// What is wrong and where; never what the prompt was.
        reason: String,
    },
    /// The body's end cannot be told: no length, two lengths, broken chunks.
    #[error(
        "the length of the body cannot be told ({reason}); send one content-length or a complete chunked body"
    )]
    BadFraming {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The body is longer than the configured limit.
    #[error("the body is too large; shorten it: the limit is {limit_bytes} bytes")]
    BodyTooLarge {
        /// The limit.
        limit_bytes: u64,
    },
    /// The client did not send its body in time.
    #[error("the body did not arrive within {} s; retry", limit.as_secs())]
    BodyTimeout {
        /// How long the gateway waited.
        limit: Duration,
    },
    /// Every endpoint says that it has enough to do.
    #[error("all endpoints are saturated; retry after {} s", RETRY_AFTER.as_secs())]
    Saturated,
    /// No endpoint takes requests.
    #[error("no endpoint takes requests now; retry after {} s", RETRY_AFTER.as_secs())]
    NoEndpoint,
    /// No connection could be made to any endpoint tried.
    #[error("no connection to a model server could be made; retry")]
    EndpointUnreachable,
    /// Connections broke before the first byte of an answer.
    #[error("the model server broke the connection before it answered; retry")]
    EndpointBroken,
    /// No answer began in time.
    #[error("the model server did not answer within {} s; shorten the prompt or retry later", limit.as_secs())]
    EndpointTimeout {
        /// How long the gateway waited.
        limit: Duration,
    },
    /// The gateway is going away; another one, or the next, will answer.
    #[error("the gateway is shutting down; retry")]
    ShuttingDown,
    /// An invariant does not hold. The detail is for the log, not for the client.
    #[error(
        "the gateway has a bug, which was logged and counted; retry, and report it with the request id"
    )]
    Internal {
        /// What did not hold; not sent.
        detail: String,
    },
}

/// What is fixed for each kind of error.
struct Traits {
    code: &'static str,
    fault: Fault,
    status: StatusCode,
    is_retryable: bool,
    retry_after: Option<Duration>,
}

impl Traits {
    fn new(code: &'static str, fault: Fault, status: StatusCode) -> Traits {
        Traits {
            code,
            fault,
            status,
            is_retryable: false,
            retry_after: None,
        }
    }

    fn retryable(self) -> Traits {
        Traits {
            is_retryable: true,
            ..self
        }
    }

    fn retry_after(self, pause: Duration) -> Traits {
        Traits {
            is_retryable: true,
            retry_after: Some(pause),
            ..self
        }
    }
}

impl GatewayError {
    /// Short name for metric labels, the access log, and the field `code` of the OpenAI shape.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.traits().code
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.traits().fault
    }

    /// Status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.traits().status
    }

    /// Whether the same request may succeed if the client sends it again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.traits().is_retryable
    }

    /// When to try again, where waiting helps.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.traits().retry_after
    }

    /// The answer, in the shape that the client's library reads.
    #[must_use]
    pub fn response(&self, shape: ErrorShape, request_id: &str) -> ErrorResponse {
        let traits = self.traits();
        let json = HeaderValue::from_static("application/json");
        let mut headers = vec![(header::CONTENT_TYPE, json)];
        if let Some(pause) = traits.retry_after {
            headers.push((header::RETRY_AFTER, HeaderValue::from(pause.as_secs())));
        }
        if let GatewayError::WrongMethod { allowed } = self {
            headers.push((header::ALLOW, HeaderValue::from_static(allowed)));
        }
        let message = self.to_string();
        let body = match shape {
            ErrorShape::OpenAi => json!({"error": {
                "message": message,
                "type": openai_type(traits.status),
                "param": self.param(),
                "code": traits.code,
            }}),
            ErrorShape::Anthropic => json!({
                "type": "error",
                "error": {"type": anthropic_type(traits.status), "message": message},
                "request_id": request_id,
            }),
        };
        ErrorResponse {
            status: traits.status,
            headers,
            body: Bytes::from(body.to_string()),
        }
    }

    /// The field of the request that is at fault, where it is one.
    fn param(&self) -> Option<&'static str> {
        matches!(self, GatewayError::NoSuchModel { .. }).then_some("model")
    }

    fn traits(&self) -> Traits {
        use Fault::{Client, ControlPlane, Endpoint, Gateway};
        match self {
            Self::NoSuchModel { .. } => {
                Traits::new("model_not_found", Client, StatusCode::NOT_FOUND)
            }
            Self::NoSuchRoute { .. } => {
                Traits::new("route_not_found", Client, StatusCode::NOT_FOUND)
            }
            Self::NoSuchTarget { .. } => {
                Traits::new("target_not_found", Client, StatusCode::BAD_REQUEST)
            }
            Self::NoSuchGuard { .. } => {
                Traits::new("guard_not_found", Client, StatusCode::NOT_FOUND)
            }
            Self::NoSuchPath => Traits::new("path_not_found", Client, StatusCode::NOT_FOUND),
            Self::EngineControl => Traits::new("engine_control", Client, StatusCode::FORBIDDEN),
            Self::WrongMethod { .. } => {
                Traits::new("wrong_method", Client, StatusCode::METHOD_NOT_ALLOWED)
            }
            Self::BadRequest { .. } => Traits::new("bad_request", Client, StatusCode::BAD_REQUEST),
            Self::BadFraming { .. } => Traits::new("bad_framing", Client, StatusCode::BAD_REQUEST),
            Self::BodyTooLarge { .. } => {
                Traits::new("body_too_large", Client, StatusCode::PAYLOAD_TOO_LARGE)
            }
            Self::BodyTimeout { .. } => {
                Traits::new("body_timeout", Client, StatusCode::REQUEST_TIMEOUT).retryable()
            }
            Self::Saturated => {
                Traits::new("saturated", ControlPlane, StatusCode::TOO_MANY_REQUESTS)
                    .retry_after(RETRY_AFTER)
            }
            Self::NoEndpoint => {
                Traits::new("no_endpoint", ControlPlane, StatusCode::SERVICE_UNAVAILABLE)
                    .retry_after(RETRY_AFTER)
            }
            Self::EndpointUnreachable => {
                Traits::new("endpoint_unreachable", Endpoint, StatusCode::BAD_GATEWAY).retryable()
            }
            Self::EndpointBroken => {
                Traits::new("endpoint_broken", Endpoint, StatusCode::BAD_GATEWAY).retryable()
            }
            Self::EndpointTimeout { .. } => {
                Traits::new("endpoint_timeout", Endpoint, StatusCode::GATEWAY_TIMEOUT).retryable()
            }
            Self::ShuttingDown => {
                Traits::new("shutting_down", Gateway, StatusCode::SERVICE_UNAVAILABLE)
                    .retry_after(RETRY_AFTER)
            }
            Self::Internal { .. } => {
                Traits::new("internal", Gateway, StatusCode::INTERNAL_SERVER_ERROR).retryable()
            }
        }
    }
}

impl From<Unroutable> for GatewayError {
    fn from(error: Unroutable) -> GatewayError {
        match error {
            Unroutable::NoSuchModel { model, known } => GatewayError::NoSuchModel { model, known },
            Unroutable::NoEndpoint => GatewayError::NoEndpoint,
        }
    }
}

impl From<RequestError> for GatewayError {
    fn from(error: RequestError) -> GatewayError {
        let reason = error.to_string();
        GatewayError::BadRequest { reason }
    }
}

/// Error types as OpenAI's API reports them.
fn openai_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "server_error",
    }
}

/// Error types of <https://docs.claude.com/en/api/errors>. Overload is 529 there; the status here
/// stays the registered 503, which its client libraries retry as well.
fn anthropic_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status if status.is_client_error() => "invalid_request_error",
        _ => "api_error",
    }
}

/// The text, cut to [`ECHO_BYTES_MAX`] bytes at a character's end.
fn shorten(text: &str) -> String {
    let cut = text.floor_char_boundary(ECHO_BYTES_MAX);
    let rest = if cut < text.len() { "..." } else { "" };
    format!("{}{rest}", &text[..cut])
}

fn list(known: &[String]) -> String {
    if known.is_empty() {
        return "no model is served now".to_owned();
    }
    let mut out = String::from("use one of: ");
    for (place, name) in known.iter().take(KNOWN_MODELS_MAX).enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let _ = write!(out, "{comma}{}", shorten(name));
    }
    if let Some(more) = known.len().checked_sub(KNOWN_MODELS_MAX).filter(|n| *n > 0) {
        let _ = write!(out, " and {more} more (see /v1/models)");
    }
    out
}

#[cfg(test)]
mod tests;
