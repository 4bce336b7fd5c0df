//! From a body to a decision: parse, route, hash, choose. Nothing is sent and nothing is counted.

use std::time::Instant;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use warmgate_routing::block::ChainRoot;
use warmgate_routing::request::{Api, InferenceRequest, RequestError};
use warmgate_routing::{Ask, Decision, PromptBlocks, Unroutable};

use crate::config::Head;
use crate::error::GatewayError;
use crate::proxy::fallback;
use crate::proxy::live::{Live, Way};
use crate::proxy::target::{Asked, TargetName};

/// What will be sent where.
pub struct Plan<'a> {
    /// Whose shape body and answer have.
    pub api: Api,
    /// The target, its pool, and the model's name there.
    pub way: Way<'a>,
    /// The name asked for; empty where none was.
    pub model: String,
    /// The prompt as routing sees it.
    pub prompt: PromptBlocks,
    /// Endpoints in order.
    pub decision: Decision,
    /// The body to send: the client's own, unless something in it must not cross.
    pub body: Bytes,
    /// The client's body was not sent as it came: fields were taken out.
    pub is_stripped: bool,
    /// A stream was asked for.
    pub is_stream: bool,
    /// The client named a session.
    pub has_session: bool,
    /// Targets that could not take it, in the order in which they were asked.
    pub passed_over: Vec<TargetName>,
}

/// A request that has been read.
pub struct Incoming<'a> {
    /// Whose shape its body has.
    pub api: Api,
    /// All but its body.
    pub head: Head<'a>,
    /// Its body.
    pub body: &'a Bytes,
    /// Whether the table behind the decision is wanted.
    pub explain: bool,
}

impl<'a> Incoming<'a> {
    /// Its body, read.
    ///
    /// # Errors
    /// Where it is no request of its API.
    pub fn request(&self) -> Result<InferenceRequest<'a>, RequestError> {
        InferenceRequest::parse(self.api, self.body)
    }

    /// As routes look at it.
    #[must_use]
    pub fn asked(&self, request: &'a InferenceRequest<'a>) -> Asked<'a> {
        Asked {
            head: self.head,
            request,
        }
    }
}

/// Why there is no plan.
pub struct Refusal {
    /// What the client is told.
    pub error: GatewayError,
    /// The target, where it was known before that.
    pub target: Option<TargetName>,
}

impl<E: Into<GatewayError>> From<E> for Refusal {
    fn from(error: E) -> Refusal {
        Refusal {
            error: error.into(),
            target: None,
        }
    }
}

/// Plans one request.
///
/// # Errors
/// Where the body cannot be read, no route takes it, or no endpoint is there.
pub fn make<'a>(live: &'a Live, incoming: &Incoming<'_>) -> Result<Plan<'a>, Refusal> {
    let request = incoming.request()?;
    let asked = incoming.asked(&request);
    let way = with_rng(|rng| live.way(&asked, rng))?;
    fallback::first_able(live, incoming, &asked, way)
}

/// Plans the copy of a request for the mirror of its route, to be sent once.
///
/// # Errors
/// As [`make`], and where the route has no mirror.
pub fn copy<'a>(live: &'a Live, incoming: &Incoming<'_>) -> Result<Plan<'a>, Refusal> {
    let request = incoming.request()?;
    let asked = incoming.asked(&request);
    let choice = asked.mirror(&live.routes).ok_or(GatewayError::NoEndpoint)?;
    toward(live, incoming, &asked, live.way_of(choice)?, 1)
}

/// Plans one request for a target that is chosen, with that many endpoints.
///
/// # Errors
/// Where the prompt cannot be read, or no endpoint of the target takes requests.
pub fn toward<'a>(
    live: &Live,
    incoming: &Incoming<'_>,
    asked: &Asked<'_>,
    way: Way<'a>,
    wanted: usize,
) -> Result<Plan<'a>, Refusal> {
    let request = asked.request;
    let refuse = |error: GatewayError| Refusal {
        error,
        target: Some(way.choice.name()),
    };
    let model = request.model.as_deref().unwrap_or_default();
    let served = way.rename.unwrap_or(model);
    // A LoRA adapter is asked for by a model name of its own, so the name alone tells them apart.
    let root = ChainRoot::new(served, None, request.cache_salt.as_deref());
    let prompt = request
        .prompt_blocks(root, way.pool.router.block_size())
        .map_err(|error| refuse(error.into()))?;
    let session = asked.session();
    let ask = Ask {
        model: served,
        prompt: &prompt,
        session,
        wanted,
        explain: incoming.explain,
    };
    let decided = with_rng(|rng| way.pool.router.decide(&ask, Instant::now(), rng));
    let decision = decided.map_err(|why| refuse(unroutable(live, model, why)))?;
    let stripped = request.rewritten(None);
    let is_stripped = stripped.is_some();
    let renamed = way.rename.and_then(|name| request.rewritten(Some(name)));
    let rewritten = renamed.or(stripped).map(Bytes::from);
    let body = incoming.body;
    Ok(Plan {
        api: incoming.api,
        model: model.to_owned(),
        is_stripped,
        is_stream: request.stream,
        has_session: session.is_some(),
        passed_over: Vec::new(),
        body: rewritten.unwrap_or_else(|| body.clone()),
        way,
        prompt,
        decision,
    })
}

impl Plan<'_> {
    /// The name that the client must find in the answer, where the engine will write another.
    #[must_use]
    pub fn name_in_answer(&self) -> Option<&str> {
        let is_renamed = self.way.rename.is_some_and(|served| served != self.model);
        (is_renamed && !self.model.is_empty()).then_some(self.model.as_str())
    }
}

/// A pool knows its own models only, under the names that engines have for them.
fn unroutable(live: &Live, asked: &str, why: Unroutable) -> GatewayError {
    match why {
        Unroutable::NoSuchModel { .. } => GatewayError::NoSuchModel {
            model: asked.to_owned(),
            known: live.models(),
        },
        why @ Unroutable::NoEndpoint => why.into(),
    }
}

/// Chance for policies: one generator for each thread, seeded by the system.
pub fn with_rng<T>(chance: impl FnOnce(&mut SmallRng) -> T) -> T {
    thread_local! {
        static RNG: std::cell::RefCell<SmallRng> = std::cell::RefCell::new(SmallRng::from_os_rng());
    }
    RNG.with_borrow_mut(chance)
}
