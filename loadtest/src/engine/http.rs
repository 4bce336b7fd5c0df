//! The engine's HTTP face: which path does what, and how a refusal looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

use super::api::{self, ApiError, Call, Defaults, Head};
use super::config::{BODY_BYTES_MAX, ConfigError, EngineConfig};
use super::exchange::{Cut, Exchange};
use super::fault::{Fault, FaultKind, FaultPlan};
use super::inspect::{EngineState, ReceivedRequest};
use super::metrics::{self, PageContext};
use super::respond::{
    Body, JSON_TYPE, METRICS_TYPE, detail, instant_answer, json_ok, refuse, streamed, whole,
};
use super::runner::Runner;

/// One engine as its connections see it.
pub(super) struct Face {
    config: EngineConfig,
    pub(super) runner: Arc<Runner>,
    pub(super) faults: FaultPlan,
    last: Mutex<Option<ReceivedRequest>>,
    received: AtomicU64,
    open: AtomicU64,
    hung_aborted: AtomicU64,
    started_at_s: f64,
    pub(super) changed: watch::Sender<()>,
}

impl Face {
    pub(super) fn new(config: EngineConfig) -> Result<Arc<Self>, ConfigError> {
        let changed = watch::Sender::new(());
        Ok(Arc::new(Self {
            runner: Runner::new(config.model_config()?, changed.clone()),
            faults: FaultPlan::new(config.fail_ratio),
            last: Mutex::new(None),
            received: AtomicU64::new(0),
            open: AtomicU64::new(0),
            hung_aborted: AtomicU64::new(0),
            started_at_s: unix_time_s(),
            changed,
            config,
        }))
    }

    pub(super) fn state(&self) -> EngineState {
        let glance = self.runner.glance();
        let totals = &glance.counters;
        let hung = self.hung_aborted.load(Ordering::SeqCst);
        EngineState {
            running: glance.running,
            waiting: glance.waiting,
            open: self.open.load(Ordering::SeqCst),
            received_total: self.received.load(Ordering::SeqCst),
            finished_total: totals.finished,
            aborted_total: totals.aborted - glance.faulted + hung,
            prefix_queries_tokens_total: totals.prefix_queries_tokens,
            prefix_hits_tokens_total: totals.prefix_hits_tokens,
            host_queries_tokens_total: totals.host_queries_tokens,
            host_hits_tokens_total: totals.host_hits_tokens,
            generation_tokens_total: totals.generation_tokens,
        }
    }

    pub(super) fn last_request(&self) -> Option<ReceivedRequest> {
        self.last.lock().clone()
    }

    /// Answers one request. An error closes the connection without a response.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Cut> {
        if let Some(parse) = api::parser(request.uri().path()) {
            if request.method() != Method::POST {
                return Ok(detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"));
            }
            return self.infer(request, parse).await;
        }
        let path = request.uri().path().to_owned();
        let response = match (request.method().as_str(), path.as_str()) {
            ("GET", "/health" | "/ping") => match self.faults.health_check() {
                true => whole(StatusCode::OK, None, ""),
                false => whole(StatusCode::SERVICE_UNAVAILABLE, None, ""),
            },
            ("GET", "/metrics") => whole(StatusCode::OK, Some(METRICS_TYPE), self.metrics_page()),
            ("GET", "/v1/models") => whole(StatusCode::OK, Some(JSON_TYPE), self.models_page()),
            ("GET", "/version") => json_ok(&json!({"version": env!("CARGO_PKG_VERSION")})),
            ("GET", "/load") => {
                let glance = self.runner.glance();
                json_ok(&json!({"server_load": glance.running + glance.waiting}))
            }
            ("POST", "/tokenize") => return self.tokenize(request).await,
            ("POST", "/reset_prefix_cache") => {
                self.runner.reset_prefix_cache();
                // vLLM keeps its host tier unless told otherwise.
                if request.uri().query() == Some("reset_external=true") {
                    self.runner.reset_host_tier();
                }
                whole(StatusCode::OK, None, "")
            }
            ("GET", "/sim/state") => json_ok(&json!(self.state())),
            ("GET", "/sim/last_request") => match self.last_request() {
                Some(last) => json_ok(&last.to_json()),
                None => detail(StatusCode::NOT_FOUND, "no inference request was recorded"),
            },
            ("POST", "/sim/fault") => self.plan_fault(request).await,
            ("DELETE", "/sim/fault") => {
                self.faults.clear();
                whole(StatusCode::OK, None, "")
            }
            _ => detail(StatusCode::NOT_FOUND, "Not Found"),
        };
        Ok(response)
    }

    async fn infer(
        self: Arc<Self>,
        request: Request<Incoming>,
        parse: fn(&[u8], Defaults<'_>) -> Result<Call, ApiError>,
    ) -> Result<Response<Body>, Cut> {
        let open = Open::new(&self);
        let sequence = self.received.fetch_add(1, Ordering::SeqCst);
        self.changed.send_replace(());
        let (parts, body) = request.into_parts();
        let body = match read_body(body).await {
            Ok(body) => body,
            Err(refusal) => return refusal.map(|error| refuse(&error)),
        };
        if self.config.instant {
            return Ok(instant_answer(&body));
        }
        *self.last.lock() = Some(ReceivedRequest {
            method: parts.method,
            path: parts.uri.to_string(),
            headers: parts.headers.clone(),
            body: body.clone(),
        });
        let fault = self.faults.take(sequence);
        match fault {
            Some(FaultKind::Status { code }) => return Ok(refuse(&ApiError::injected(code))),
            Some(FaultKind::Reset) => return Err(Cut),
            Some(FaultKind::Hang) => {
                let _hung = Hung { face: &self };
                return std::future::pending().await;
            }
            _ => {}
        }
        let started = parse(
            &body,
            Defaults {
                model: &self.config.models[0],
            },
        )
        .and_then(|call| self.start(&parts.headers, sequence, call));
        match started {
            Err(error) => Ok(refuse(&error)),
            Ok((exchange, true)) => {
                let chunks = exchange.with_fault(fault).stream().inspect(move |_| {
                    // The stream owns the guard: the request is open while bytes are due.
                    let _ = &open;
                });
                Ok(streamed(chunks))
            }
            Ok((exchange, false)) => {
                let json = exchange.with_fault(fault).whole().await?;
                Ok(whole(StatusCode::OK, Some(JSON_TYPE), json))
            }
        }
    }

    /// Tells the token ids of a prompt, which some routers ask of every engine before they choose.
    async fn tokenize(&self, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
        let body = match read_body(request.into_body()).await {
            Ok(body) => body,
            Err(refusal) => return refusal.map(|error| refuse(&error)),
        };
        let defaults = Defaults {
            model: &self.config.models[0],
        };
        Ok(
            match api::tokenize(&body, defaults, self.config.max_model_tokens) {
                Ok(json) => whole(StatusCode::OK, Some(JSON_TYPE), json),
                Err(error) => refuse(&error),
            },
        )
    }

    /// Checks a call against what is served and submits it; true when it wants a stream.
    fn start(
        &self,
        headers: &HeaderMap,
        sequence: u64,
        mut call: Call,
    ) -> Result<(Exchange, bool), ApiError> {
        if !self.config.models.contains(&call.model) {
            return Err(ApiError::unknown_model(&call.model, &self.config.models));
        }
        if let Some(prompt) = call.prompts.iter().find(|prompt| prompt.tokens() == 0) {
            return Err(ApiError::too_long(
                prompt.tokens(),
                self.config.max_model_tokens,
            ));
        }
        let longest = call
            .prompts
            .iter()
            .map(super::prompt::Prompt::tokens)
            .max()
            .unwrap_or(0);
        if longest + call.output.tokens > self.config.max_model_tokens {
            return Err(ApiError::too_long(longest, self.config.max_model_tokens));
        }
        let head = Head {
            id: request_id(headers, sequence),
            model: api::json_string(&call.model),
            created: self.started_at_s as u64,
        };
        if let Some(priority) = priority(headers) {
            call.priority = priority;
        }
        let stream = call.stream;
        let exchange = Exchange::start(&self.runner, self.config.block_tokens, head, call)?;
        Ok((exchange, stream))
    }

    async fn plan_fault(&self, request: Request<Incoming>) -> Response<Body> {
        let Ok(body) = read_body(request.into_body()).await else {
            return detail(StatusCode::BAD_REQUEST, "the body could not be read");
        };
        let planned = serde_json::from_slice::<Fault>(&body)
            .map_err(|error| error.to_string())
            .and_then(|fault| self.faults.plan(fault).map_err(|error| error.to_string()));
        match planned {
            Ok(()) => whole(StatusCode::OK, None, ""),
            Err(why) => detail(StatusCode::BAD_REQUEST, &why),
        }
    }

    fn metrics_page(&self) -> String {
        let context = PageContext {
            config: &self.config,
            started_at_s: self.started_at_s,
        };
        metrics::page(&context, &self.runner.glance())
    }

    fn models_page(&self) -> String {
        let data: Vec<_> = self
            .config
            .models
            .iter()
            .map(|model| {
                json!({
                    "id": model, "object": "model", "created": self.started_at_s as u64,
                    "owned_by": "vllm", "root": model, "parent": null,
                    "max_model_len": self.config.max_model_tokens,
                })
            })
            .collect();
        json!({"object": "list", "data": data}).to_string()
    }
}

/// Counts a request as open until its response is complete or dropped.
struct Open {
    face: Arc<Face>,
}

impl Open {
    fn new(face: &Arc<Face>) -> Self {
        face.open.fetch_add(1, Ordering::SeqCst);
        Self {
            face: Arc::clone(face),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.face.open.fetch_sub(1, Ordering::SeqCst);
        self.face.changed.send_replace(());
    }
}

/// A request that never gets an answer; dropped when its client leaves.
struct Hung<'a> {
    face: &'a Face,
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        self.face.hung_aborted.fetch_add(1, Ordering::SeqCst);
        self.face.changed.send_replace(());
    }
}

/// The whole body; the error is a refusal to send, or nothing where the client is gone.
async fn read_body(body: Incoming) -> Result<Bytes, Result<ApiError, Cut>> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Ok(ApiError::body_too_large(BODY_BYTES_MAX)))
        }
        Err(_) => Err(Err(Cut)),
    }
}

/// The header that wins over the body's `priority`; ignored where it is no number, as vLLM does.
fn priority(headers: &HeaderMap) -> Option<i64> {
    headers.get("x-vllm-priority")?.to_str().ok()?.parse().ok()
}

/// The response's id without prefix: `x-request-id` where it is plain, as vLLM does.
fn request_id(headers: &HeaderMap, sequence: u64) -> String {
    let given = headers
        .get("x-request-id")
        .and_then(|value| value.to_str().ok());
    match given {
        Some(id) if !id.contains(['"', '\\']) => id.to_owned(),
        _ => format!(
            "{:016x}",
            xxhash_rust::xxh3::xxh3_64(&sequence.to_le_bytes())
        ),
    }
}

fn unix_time_s() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use futures::stream::FuturesUnordered;

    use super::*;
    use crate::engine::Scheduling;

    /// Names of requests that wait behind a first one, in the order of their answers; each has a
    /// name, the body's priority and the header's.
    async fn answered(
        scheduling: Scheduling,
        requests: &[(&'static str, i64, Option<&str>)],
    ) -> Vec<&'static str> {
        let face = Face::new(EngineConfig {
            max_seqs: 1,
            scheduling,
            ..EngineConfig::default()
        })
        .expect("a valid configuration");
        let clock = tokio::spawn(Arc::clone(&face.runner).drive());
        let start = |priority: i64, header: Option<&str>| {
            let body = json!({"prompt": "x", "max_tokens": 2, "priority": priority}).to_string();
            let parse = api::parser("/v1/completions").expect("it is served");
            let call = parse(body.as_bytes(), Defaults { model: "sim" })
                .unwrap_or_else(|_| panic!("{body} is well-formed"));
            let mut headers = HeaderMap::new();
            if let Some(value) = header {
                headers.insert("x-vllm-priority", value.parse().expect("a header"));
            }
            let started = face.start(&headers, 0, call);
            started.unwrap_or_else(|_| panic!("{body} fits")).0
        };
        let mut exchanges = FuturesUnordered::new();
        for (name, priority, header) in [("first", 9, None)].iter().chain(requests) {
            let exchange = start(*priority, *header);
            exchanges.push(async move {
                exchange.whole().await.expect("no fault is planned");
                *name
            });
        }
        let mut names = Vec::new();
        while let Some(name) = exchanges.next().await {
            names.push(name);
        }
        clock.abort();
        names
    }

    #[tokio::test(start_paused = true)]
    async fn the_body_orders_those_who_wait_unless_the_header_does() {
        let requests = [
            ("late", 5, None),
            ("soon", -5, None),
            ("header", 7, Some("-9")),
            ("bad header", 0, Some("abc")),
        ];
        assert_eq!(
            answered(Scheduling::Priority, &requests).await,
            ["first", "header", "soon", "bad header", "late"]
        );
        assert_eq!(
            answered(Scheduling::Fcfs, &requests).await,
            ["first", "late", "soon", "header", "bad header"],
            "without the flag it is silently ignored, as by vLLM"
        );
    }
}
