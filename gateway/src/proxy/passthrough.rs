//! Everything that is not an inference request: forwarded by Pingora's own loop, unread.
//!
//! It goes to the endpoint with the fewest requests, of the pool that serves models without a
//! route of their own, else of the first.

use std::sync::Arc;
use std::time::Instant;

use pingora::upstreams::peer::HttpPeer;
use warmgate_routing::health::Failure;
use warmgate_routing::ledger::{LoadGuard, RequestCost};
use warmgate_routing::policy::{Policy, View};
use warmgate_routing::{Endpoint, PromptBlocks};

use crate::config::Route;
use crate::error::GatewayError;
use crate::proxy::context::Context;
use crate::proxy::live::PoolHandle;
use crate::proxy::{forward, plan};
use crate::telemetry::metrics::RetryReason;

/// Paths by which whoever reaches an engine acts on everybody's requests: empties caches, swaps
/// weights, puts it to sleep, aborts, or speaks as another engine. What stands below one of them is
/// meant too. Operators call the engine itself.
const ENGINE_CONTROLS: [&str; 29] = [
    // vLLM
    "/collective_rpc",
    "/inference/v1/generate",
    "/pause",
    "/reset_encoder_cache",
    "/reset_mm_cache",
    "/reset_prefix_cache",
    "/resume",
    "/scale_elastic_ep",
    "/sleep",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/wake_up",
    // vLLM and SGLang
    "/start_profile",
    "/stop_profile",
    // SGLang
    "/abort_request",
    "/clear_hicache_storage_backend",
    "/configure_logging",
    "/continue_generation",
    "/flush_cache",
    "/init_weights_update_group",
    "/load_lora_adapter",
    "/pause_generation",
    "/release_memory_occupation",
    "/resume_memory_occupation",
    "/set_internal_state",
    "/slow_down",
    "/unload_lora_adapter",
    // llama.cpp: a slot's save, restore and erase
    "/slots",
    // Triton: load and unload
    "/v2/repository",
];
/// Beginnings of the same: SGLang has one path for each way in which weights can arrive.
const ENGINE_CONTROL_PREFIX: &str = "/update_weights";

/// Whether a path is one of the engines' controls.
#[must_use]
pub fn is_engine_control(path: &str) -> bool {
    let is_at_or_below = |control: &&str| {
        let rest = path.strip_prefix(*control);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    path.starts_with(ENGINE_CONTROL_PREFIX) || ENGINE_CONTROLS.iter().any(is_at_or_below)
}

/// Chooses an endpoint and counts the request there.
///
/// # Errors
/// Where there is no endpoint to choose.
pub fn choose(context: &mut Context) -> Result<Box<HttpPeer>, GatewayError> {
    let live = Arc::clone(&context.live);
    let main = live.routes.any().iter().find_map(Route::main_target);
    let routed = main.and_then(|target| live.pool(&target.pool));
    let pool = routed
        .or(live.pools.first())
        .ok_or(GatewayError::NoEndpoint)?;
    let endpoint = least_loaded(pool).ok_or(GatewayError::NoEndpoint)?;
    endpoint.health.note_sent(Instant::now());
    let peer = forward::peer(&endpoint, &live.forward);
    context.pool = Some(Arc::clone(pool));
    context.attempts += 1;
    context.passing = Some(LoadGuard::take(&endpoint.load, RequestCost::default()));
    context.endpoint = Some(endpoint);
    Ok(Box::new(peer))
}

/// No connection could be made. Returns whether to try another endpoint.
pub fn note_unreachable(context: &mut Context) -> bool {
    context.passing = None;
    let is_tried_again = (context.attempts as usize) <= context.live.forward.retries;
    if let (Some(pool), Some(endpoint)) = (&context.pool, &context.endpoint) {
        pool.note_failure(endpoint, Failure::Connect);
        if is_tried_again {
            pool.metrics.retried(RetryReason::Connect);
        }
    }
    is_tried_again
}

fn least_loaded(pool: &PoolHandle) -> Option<Arc<Endpoint>> {
    let snapshot = pool.router.pool();
    let policy = Policy::by_name("least_request").expect("invariant: that policy exists");
    let (prompt, now) = (PromptBlocks::default(), Instant::now());
    let mut view = View {
        endpoints: snapshot.all(),
        index: pool.router.index(),
        prompt: &prompt,
        rate: Default::default(),
        block_size: pool.router.block_size(),
        session: None,
        now,
        ignore_health: false,
        wanted: 1,
        explain: false,
    };
    let rank = |view: &View<'_>| {
        let shortlist = plan::with_rng(|rng| policy.rank(view, rng));
        shortlist
            .ranked
            .first()
            .map(|best| Arc::clone(best.candidate.endpoint))
    };
    let best = rank(&view);
    best.or_else(|| {
        view.ignore_health = true;
        rank(&view)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_what_is_below_them_are_known_and_nothing_else() {
        for path in [
            "/flush_cache",
            "/sleep/",
            "/slots/0",
            "/update_weights_from_disk",
            "/v2/repository/models/m/unload",
            "/inference/v1/generate",
        ] {
            assert!(is_engine_control(path), "{path}");
        }
        for path in [
            "/",
            "/health",
            "/generate",
            "/v1/audio/transcriptions",
            "/tokenize",
            "/sleepy",
            "/v2/models/m/infer",
        ] {
            assert!(!is_engine_control(path), "{path}");
        }
    }
}
