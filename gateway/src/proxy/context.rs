//! What a request carries through the phases, and what is said of it at its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, StatusCode};
use warmgate_routing::ledger::LoadGuard;
use warmgate_routing::request::Api;
use warmgate_routing::{Endpoint, Tokens};

use crate::error::{ErrorShape, GatewayError};
use crate::proxy::guards::{Watch, Watched};
use crate::proxy::headers;
use crate::proxy::live::{Live, PoolHandle};
use crate::proxy::plan::Plan;
use crate::proxy::relay::Passage;
use crate::proxy::target::TargetName;
use crate::proxy::underway::Underway;
use crate::stream::Heard;
use crate::telemetry::metrics::{AbortPhase, Outcome};

/// One request, from its header to its last byte.
pub struct Context {
    /// When its header had been read.
    pub started: Instant,
    /// The configuration that holds for all of it.
    pub live: Arc<Live>,
    /// Honoured or made.
    pub request_id: HeaderValue,
    /// Which inference API; none for everything that passes through unread.
    pub api: Option<Api>,
    /// The name asked for.
    pub model: String,
    /// The target that its route chose.
    pub target: Option<TargetName>,
    /// The pool that took it.
    pub pool: Option<Arc<PoolHandle>>,
    /// The endpoint that answered, or was tried last.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Endpoints tried.
    pub attempts: u32,
    /// Whether a stream was asked for.
    pub is_stream: bool,
    /// Whether the client named a session.
    pub has_session: bool,
    /// Length of the body as it came.
    pub body_bytes: u64,
    /// From the body read to the endpoint chosen.
    pub decision: Option<Duration>,
    /// Estimated length of the prompt.
    pub prompt: Tokens,
    /// What the endpoint was believed to hold of it.
    pub matched: Tokens,
    /// What was predicted to be cached, in the engine's count, where it has told what was.
    pub predicted: Option<Tokens>,
    /// When the first token came.
    pub first_token_at: Option<Instant>,
    /// What was heard of the answer.
    pub heard: Heard,
    /// Status that the client got, if any.
    pub status: Option<StatusCode>,
    /// Why the gateway answered itself.
    pub error: Option<GatewayError>,
    /// The client left before the end.
    pub is_client_gone: bool,
    /// For requests that Pingora forwards: the request's place on its endpoint.
    pub passing: Option<LoadGuard>,
    /// Counts the request among those under way, for as long as it lives.
    pub underway: Underway,
}

impl Context {
    /// A request whose header has just been read.
    #[must_use]
    pub fn new(live: Arc<Live>, underway: Underway) -> Context {
        Context {
            started: Instant::now(),
            live,
            request_id: HeaderValue::from_static(""),
            api: None,
            model: String::new(),
            target: None,
            pool: None,
            endpoint: None,
            attempts: 0,
            is_stream: false,
            has_session: false,
            body_bytes: 0,
            decision: None,
            prompt: Tokens::ZERO,
            matched: Tokens::ZERO,
            predicted: None,
            first_token_at: None,
            heard: Heard::default(),
            status: None,
            error: None,
            is_client_gone: false,
            passing: None,
            underway,
        }
    }

    /// The shape in which this client expects errors.
    #[must_use]
    pub fn error_shape(&self) -> ErrorShape {
        match self.api {
            Some(Api::AnthropicMessages) => ErrorShape::Anthropic,
            _ => ErrorShape::OpenAi,
        }
    }

    /// Where it will go is known.
    pub fn note_plan(&mut self, plan: &Plan<'_>, took: Duration) {
        self.target = Some(plan.way.choice.name());
        self.pool = Some(Arc::clone(plan.way.pool));
        self.model.clone_from(&plan.model);
        self.is_stream = plan.is_stream;
        self.has_session = plan.has_session;
        self.prompt = plan.decision.prompt;
        self.decision = Some(took);
    }

    /// The header that names the target, where there is one and it is to be shown.
    #[must_use]
    pub fn target_header(&self) -> Option<(HeaderName, HeaderValue)> {
        let name = self.target.as_ref()?;
        let value = HeaderValue::from_str(&name.target).ok()?;
        let is_shown = self.live.response_headers.target;
        is_shown.then_some((headers::TARGET, value))
    }

    /// The answer has passed, or broken off.
    pub fn note_passage(&mut self, passage: &Passage) {
        self.first_token_at = passage.first_token_at;
        self.heard = passage.heard;
    }

    /// The request for its route's guard, where it has one.
    #[must_use]
    pub fn watch(&self) -> Option<Watch> {
        let name = self.target.as_ref()?;
        let watched = Watched {
            target: &name.target,
            started: self.started,
            is_stream: self.is_stream,
            uncached: self.prompt.saturating_sub(self.matched),
        };
        Watch::new(self.live.guards.of(&name.route)?, &watched)
    }

    /// What is counted of it.
    #[must_use]
    pub fn outcome(&self) -> Outcome<'_> {
        let usage = self.heard.usage;
        let phase = match self.first_token_at {
            Some(_) => AbortPhase::Streaming,
            None => AbortPhase::BeforeFirstByte,
        };
        let is_answered = self.status.is_some_and(|status| status.is_success());
        let is_read = self.api.is_some() && is_answered;
        Outcome {
            api: self.api,
            model: &self.model,
            status: self.status.map_or(0, |status| status.as_u16()),
            error: self.error.as_ref(),
            aborted: self.is_client_gone.then_some(phase),
            is_stream_error: self.heard.has_failed,
            is_given_up: self.heard.is_given_up,
            body_bytes: self.api.map(|_| self.body_bytes),
            decision: self.decision,
            duration: self.started.elapsed(),
            time_to_first_token: self.time_to_first_token().filter(|_| is_read),
            time_per_output_token: self.time_per_output_token().filter(|_| is_read),
            matched_tokens: is_read.then_some(self.matched),
            estimated_prompt_tokens: is_read.then_some(self.prompt),
            predicted_tokens: self.predicted.filter(|_| is_read),
            prompt_tokens: usage.prompt,
            cached_tokens: usage.cached,
            completion_tokens: usage.completion,
        }
    }

    /// From the header of the request to the first token of the answer.
    #[must_use]
    pub fn time_to_first_token(&self) -> Option<Duration> {
        self.first_token_at.map(|at| at - self.started)
    }

    /// Mean pause between the tokens of a stream, the first aside.
    fn time_per_output_token(&self) -> Option<Duration> {
        let first = self.first_token_at.filter(|_| self.is_stream)?;
        let tokens = self
            .heard
            .usage
            .completion
            .map_or(self.heard.events, |tokens| tokens.0);
        let pauses = u32::try_from(tokens.checked_sub(1)?)
            .ok()
            .filter(|pauses| *pauses > 0)?;
        Some(first.elapsed() / pauses)
    }
}
