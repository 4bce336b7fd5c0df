//! One line of the access log: what it holds, and how much of what a client chose.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::Method;
use serde::{Serialize, Serializer};
use warmgate_routing::Tokens;
use warmgate_routing::request::Api;

use crate::telemetry::metrics::Outcome;
use crate::telemetry::timestamp;

/// Bytes of a path that are logged; queries never are, as they may hold keys.
pub const PATH_BYTES_MAX: usize = 256;
/// Bytes of a model's name that are logged.
pub const MODEL_BYTES_MAX: usize = 256;
/// Bytes of a request id that are logged.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// A request that has ended, as its handler knows it.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When the request's header was read.
    pub at: SystemTime,
    /// The client's id for it, or the one it was given.
    pub request_id: &'a str,
    /// Address of the client's end of the connection.
    pub client: Option<IpAddr>,
    /// Method.
    pub method: &'a Method,
    /// Path; a query is cut off.
    pub path: &'a str,
    /// Name of the pool, where one was reached.
    pub pool: Option<&'a Arc<str>>,
    /// Name of the route, where one took it.
    pub route: Option<&'a Arc<str>>,
    /// Name of the route's target.
    pub target: Option<&'a Arc<str>>,
    /// Host and port of the endpoint that answered, or failed last.
    pub endpoint: Option<&'a Arc<str>>,
    /// How many times it was sent to an endpoint.
    pub attempts: u32,
    /// The answer was asked for as a stream.
    pub is_stream: bool,
    /// A session or user was named.
    pub has_session: bool,
    /// What came of it.
    pub outcome: &'a Outcome<'a>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Finish {
    /// The engine's answer was passed on to its end, whatever its status.
    Complete,
    /// The client left.
    ClientGone,
    /// The engine failed after its answer had begun.
    EndpointFailed,
    /// The gateway answered with an error of its own.
    Refused,
}

/// An entry cut to its limits, owned, on its way to the writer. What is not known is left out.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    #[serde(serialize_with = "rfc3339")]
    ts: SystemTime,
    request_id: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    #[serde(serialize_with = "method")]
    method: Method,
    path: Box<str>,
    #[serde(serialize_with = "api", skip_serializing_if = "Option::is_none")]
    api: Option<Api>,
    model: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    finish: Finish,
    attempts: u32,
    stream: bool,
    session: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_prompt_tokens: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matched_tokens: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted_tokens: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_tokens: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens: Option<Tokens>,
    #[serde(
        serialize_with = "milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    decision_ms: Option<Duration>,
    #[serde(
        serialize_with = "milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    ttft_ms: Option<Duration>,
    #[serde(
        serialize_with = "milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    duration_ms: Option<Duration>,
}

impl From<&Entry<'_>> for Line {
    fn from(entry: &Entry<'_>) -> Line {
        let outcome = entry.outcome;
        let path = entry.path.split('?').next().unwrap_or_default();
        Line {
            ts: entry.at,
            request_id: cut(entry.request_id, REQUEST_ID_BYTES_MAX),
            client: entry.client,
            method: entry.method.clone(),
            path: cut(path, PATH_BYTES_MAX),
            api: outcome.api,
            model: cut(outcome.model, MODEL_BYTES_MAX),
            pool: entry.pool.cloned(),
            route: entry.route.cloned(),
            target: entry.target.cloned(),
            endpoint: entry.endpoint.cloned(),
            status: (outcome.status != 0).then_some(outcome.status),
            error: outcome.error.map(crate::error::GatewayError::code),
            finish: finish(outcome),
            attempts: entry.attempts,
            stream: entry.is_stream,
            session: entry.has_session,
            body_bytes: outcome.body_bytes,
            estimated_prompt_tokens: outcome.estimated_prompt_tokens,
            matched_tokens: outcome.matched_tokens,
            predicted_tokens: outcome.predicted_tokens,
            prompt_tokens: outcome.prompt_tokens,
            cached_tokens: outcome.cached_tokens,
            completion_tokens: outcome.completion_tokens,
            decision_ms: outcome.decision,
            ttft_ms: outcome.time_to_first_token,
            duration_ms: Some(outcome.duration),
        }
    }
}

fn finish(outcome: &Outcome<'_>) -> Finish {
    if outcome.aborted.is_some() {
        Finish::ClientGone
    } else if outcome.is_stream_error {
        Finish::EndpointFailed
    } else if outcome.error.is_some() {
        Finish::Refused
    } else {
        Finish::Complete
    }
}

fn cut(text: &str, bytes_max: usize) -> Box<str> {
    text[..text.floor_char_boundary(bytes_max)].into()
}

fn rfc3339<S: Serializer>(at: &SystemTime, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&timestamp::rfc3339(*at))
}

fn method<S: Serializer>(method: &Method, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&cut(method.as_str(), 16))
}

fn api<S: Serializer>(api: &Option<Api>, out: S) -> Result<S::Ok, S::Error> {
    api.map(Api::as_str).serialize(out)
}

fn milliseconds<S: Serializer>(span: &Option<Duration>, out: S) -> Result<S::Ok, S::Error> {
    // Whole microseconds, so that no digits of rounding are printed.
    span.map(|span| span.as_micros() as f64 / 1e3)
        .serialize(out)
}
