//! From a body to a decision: parse, route, hash, choose. Nothing is sent and nothing is counted.

use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use warmgate_routing::block::ChainRoot;
use warmgate_routing::request::{Api, InferenceRequest, SessionKey};
use warmgate_routing::{Ask, Decision, PromptBlocks, Unroutable};

use crate::error::GatewayError;
use crate::proxy::live::{Live, Way};

/// What will be sent where.
pub struct Plan<'a> {
    /// The pool, and the model's name there.
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
}

/// Plans one request.
///
/// # Errors
/// Where the body cannot be read, no route takes its model, or no endpoint is there.
pub fn make<'a>(
    live: &'a Live,
    api: Api,
    headers: &HeaderMap,
    body: &Bytes,
    explain: bool,
) -> Result<Plan<'a>, GatewayError> {
    let request = InferenceRequest::parse(api, body)?;
    let asked = request.model.as_deref().unwrap_or_default();
    let way = live.way(asked)?;
    let served = way.rename.unwrap_or(asked);
    // A LoRA adapter is asked for by a model name of its own, so the name alone tells them apart.
    let root = ChainRoot::new(served, None, request.cache_salt.as_deref());
    let prompt = request.prompt_blocks(root, way.pool.router.block_size())?;
    let hints = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let session = SessionKey::from_headers(hints).or(request.session_hint);
    let ask = Ask {
        model: served,
        prompt: &prompt,
        session,
        wanted: live.forward.retries + 1,
        explain,
    };
    let decided = with_rng(|rng| way.pool.router.decide(&ask, Instant::now(), rng));
    let decision = decided.map_err(|why| unroutable(live, asked, why))?;
    let stripped = request.rewritten(None);
    let is_stripped = stripped.is_some();
    let renamed = way.rename.and_then(|name| request.rewritten(Some(name)));
    let rewritten = renamed.or(stripped).map(Bytes::from);
    Ok(Plan {
        model: asked.to_owned(),
        is_stripped,
        is_stream: request.stream,
        has_session: session.is_some(),
        body: rewritten.unwrap_or_else(|| body.clone()),
        way,
        prompt,
        decision,
    })
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
