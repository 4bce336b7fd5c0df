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

use crate::error::GatewayError;
use crate::proxy::context::Context;
use crate::proxy::live::PoolHandle;
use crate::proxy::{forward, plan};
use crate::telemetry::metrics::RetryReason;

/// Chooses an endpoint and counts the request there.
///
/// # Errors
/// Where there is no endpoint to choose.
pub fn choose(context: &mut Context) -> Result<Box<HttpPeer>, GatewayError> {
    let live = Arc::clone(&context.live);
    let routed = live.routes.any().and_then(|target| live.pool(&target.pool));
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
