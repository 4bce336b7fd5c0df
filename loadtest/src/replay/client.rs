//! Sends one request and measures its answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use tokio::time::Instant;

use super::body::Outgoing;
use super::options::{ENDPOINT_HEADER, ReplayError, ReplayOptions};
use super::stream::{Reading, Usage};

/// Longest response, in bytes.
const RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections are closed after this long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Characters of a server's message that a record keeps.
const MESSAGE_CHARS_MAX: usize = 200;

/// A pool of connections to one target.
pub(super) struct LoadClient {
    http: Client<HttpConnector, Full<Bytes>>,
    target: String,
}

/// What one request saw. Times are since `due`.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub status: Option<u16>,
    pub endpoint: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    pub first_token: Option<Duration>,
    pub last_token: Option<Duration>,
    pub end: Duration,
    pub usage: Option<Usage>,
    pub text_chunks: u64,
    pub text: String,
}

#[derive(Deserialize)]
struct ModelList {
    data: Vec<ModelEntry>,
}

#[derive(Deserialize)]
struct ModelEntry {
    id: String,
}

impl LoadClient {
    pub(super) fn new(options: &ReplayOptions) -> Result<Self, ReplayError> {
        let is_http = options
            .target
            .parse::<http::Uri>()
            .is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some());
        if !is_http {
            return Err(ReplayError::Target {
                target: options.target.clone(),
            });
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        Ok(Self {
            http,
            target: options.target.clone(),
        })
    }

    /// The first model that the target lists.
    pub(super) async fn first_model(&self) -> Result<String, ReplayError> {
        let url = format!("{}/v1/models", self.target);
        let failed = |reason: String| ReplayError::Models {
            url: url.clone(),
            reason,
        };
        let request = Request::get(&url)
            .body(Full::default())
            .map_err(|error| failed(error.to_string()))?;
        let response = self
            .http
            .request(request)
            .await
            .map_err(|error| failed(causes(&error)))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(failed(format!("status {status}")));
        }
        let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| failed(error.to_string()))?;
        let list: ModelList = serde_json::from_slice(&body.to_bytes())
            .map_err(|error| failed(format!("unreadable list: {error}")))?;
        let first = list.data.into_iter().next();
        first
            .map(|model| model.id)
            .ok_or_else(|| failed("the list is empty".to_owned()))
    }

    /// Sends and reads to the end; never fails, for a failure is a measurement too.
    pub(super) async fn send(
        &self,
        outgoing: Outgoing,
        session: Option<(&http::HeaderName, u64)>,
        due: Instant,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        if let Err(error) = self.exchange(outgoing, session, due, &mut outcome).await {
            outcome.error = Some(error);
        }
        outcome.end = due.elapsed();
        outcome
    }

    async fn exchange(
        &self,
        outgoing: Outgoing,
        session: Option<(&http::HeaderName, u64)>,
        due: Instant,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let mut request = Request::post(format!("{}{}", self.target, outgoing.path))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some((name, id)) = session {
            request = request.header(name, HeaderValue::from(id));
        }
        let request = request
            .body(Full::new(outgoing.body))
            .map_err(|error| format!("request: {error}"))?;
        let response = self
            .http
            .request(request)
            .await
            .map_err(|error| format!("send: {}", causes(&error)))?;
        let (parts, body) = response.into_parts();
        outcome.status = Some(parts.status.as_u16());
        outcome.endpoint = parts
            .headers
            .get(&ENDPOINT_HEADER)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let is_stream = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        let mut reading = Reading::default();
        let read = if is_stream {
            read_stream(body, due, &mut reading, outcome).await
        } else {
            read_whole(body, &mut reading).await
        };
        outcome.usage = reading.usage;
        outcome.text_chunks = reading.text_chunks;
        outcome.text = std::mem::take(&mut reading.text);
        read?;
        verdict(parts.status, &reading)
    }
}

async fn read_stream(
    mut body: Incoming,
    due: Instant,
    reading: &mut Reading,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let mut left = RESPONSE_BYTES_MAX;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("stream cut: {}", causes(&error)))?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        left = left
            .checked_sub(bytes.len())
            .ok_or_else(|| format!("stream longer than {RESPONSE_BYTES_MAX} bytes"))?;
        if reading.push(&bytes) {
            let at = due.elapsed();
            outcome.first_token.get_or_insert(at);
            outcome.last_token = Some(at);
        }
    }
    Ok(())
}

async fn read_whole(body: Incoming, reading: &mut Reading) -> Result<(), String> {
    let collected = Limited::new(body, RESPONSE_BYTES_MAX).collect().await;
    let body = collected
        .map_err(|error| format!("response cut: {error}"))?
        .to_bytes();
    reading.whole(&body);
    Ok(())
}

/// Whether a response that was read to its end is a success.
fn verdict(status: StatusCode, reading: &Reading) -> Result<(), String> {
    let said: String = reading
        .error
        .iter()
        .flat_map(|text| text.chars())
        .take(MESSAGE_CHARS_MAX)
        .collect();
    if status != StatusCode::OK {
        return Err(format!("status {}: {said}", status.as_u16()));
    }
    if reading.error.is_some() {
        return Err(format!("error in the response: {said}"));
    }
    if !reading.done {
        return Err("stream ended without [DONE]".to_owned());
    }
    Ok(())
}

/// An error and what caused it; hyper's own words alone say little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
