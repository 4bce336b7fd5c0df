//! Gauges of endpoints, filled from the routers when the page is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use prometheus::IntCounter;
use warmgate_routing::endpoint::Serving;
use warmgate_routing::health::{Failure, Standing};
use warmgate_routing::tokens::BytesPerToken;
use warmgate_routing::{Blocks, Endpoint, EndpointId, Router, Tokens};

use super::family::Families;
use crate::telemetry::caches::{Caches, Feedback};
use crate::telemetry::source_touch::SourceTouch;

const CAUSES: [Failure; 3] = [Failure::Connect, Failure::Broken, Failure::Answer];
const STANDINGS: [Standing; 4] = [
    Standing::Unknown,
    Standing::Healthy,
    Standing::Ejected,
    Standing::Trial,
];
const STATES: [Serving; 3] = [Serving::Ready, Serving::NotReady, Serving::Terminating];

/// The name of a cause in labels and in JSON.
pub(super) fn cause_label(cause: Failure) -> &'static str {
    match cause {
        Failure::Connect => "connect",
        Failure::Broken => "broken",
        Failure::Answer => "answer",
    }
}

fn standing_label(standing: Standing) -> &'static str {
    match standing {
        Standing::Unknown => "unknown",
        Standing::Healthy => "healthy",
        Standing::Ejected => "ejected",
        Standing::Trial => "trial",
    }
}

fn state_label(state: Serving) -> &'static str {
    match state {
        Serving::Ready => "ready",
        Serving::NotReady => "not_ready",
        Serving::Terminating => "terminating",
    }
}

/// Sets every gauge of an endpoint to what is true at `now`; endpoints that are gone have none.
pub(super) fn fill(families: &Families, pools: &[(String, Arc<Router>)], now: Instant) {
    for gauge in [
        &families.inflight_requests,
        &families.queued_prefill_tokens,
        &families.inflight_prompt_tokens,
        &families.decoding_requests,
        &families.foreign_requests,
        &families.endpoint_usable,
        &families.endpoint_report_age_seconds,
        &families.endpoint_known_cached_tokens,
        &families.endpoint_cache_tokens,
        &families.feedback_endpoints,
        &families.endpoints,
        &families.source_stale_seconds,
        &families.source_endpoints,
        &families.prefix_index_bytes,
        &families.prefix_index_blocks,
    ] {
        gauge.reset();
    }
    for (name, router) in pools {
        let pool = router.pool();
        for standing in STANDINGS {
            let count = pool
                .all()
                .iter()
                .filter(|endpoint| endpoint.health.standing(now) == standing)
                .count();
            let labels = [name.as_str(), standing_label(standing)];
            families
                .endpoints
                .with_label_values(&labels)
                .set(count as f64);
        }
        fill_index(families, name, router);
        for endpoint in pool.all().iter() {
            fill_endpoint(families, name, router, endpoint, now);
        }
    }
}

fn fill_index(families: &Families, pool: &str, router: &Router) {
    let stats = router.index().stats();
    for (gauge, value) in [
        (&families.prefix_index_bytes, stats.bytes),
        (&families.prefix_index_blocks, stats.blocks),
    ] {
        gauge.with_label_values(&[pool]).set(value as f64);
    }
    let evicted = &families.prefix_index_evicted_blocks_total;
    for (cause, blocks) in [
        ("capacity", stats.evicted_for_capacity),
        ("bytes", stats.evicted_for_bytes),
    ] {
        follow(&evicted.with_label_values(&[pool, cause]), blocks);
    }
    let refused = &families.prefix_index_refused_total;
    follow(&refused.with_label_values(&[pool]), stats.refused);
}

/// What one pool's source says, and how old that may be.
pub(super) fn fill_source(
    families: &Families,
    name: &str,
    router: &Router,
    touch: &SourceTouch,
    now: Instant,
) {
    families
        .source_stale_seconds
        .with_label_values(&[name])
        .set(touch.stale_for(now).unwrap_or_default().as_secs_f64());
    let pool = router.pool();
    for state in STATES {
        let is_so = |endpoint: &&Arc<Endpoint>| endpoint.spec.serving == state;
        let count = pool.all().iter().filter(is_so).count();
        families
            .source_endpoints
            .with_label_values(&[name, state_label(state)])
            .set(count as f64);
    }
}

/// What is believed of the caches of one pool's endpoints, and what that stands on.
pub(super) fn fill_caches(families: &Families, name: &str, router: &Router, caches: &Caches) {
    let pool = router.pool();
    for endpoint in pool.all().iter() {
        let sizes = router.sizes(endpoint.id);
        for (tier, tokens) in [("device", sizes.device), ("all", sizes.total)] {
            families
                .endpoint_cache_tokens
                .with_label_values(&[name, &*endpoint.spec.authority, tier])
                .set(tokens.as_f64());
        }
    }
    for source in Feedback::ALL {
        let lives_on = |endpoint: &&Arc<Endpoint>| {
            let observed = endpoint.observed.load();
            let report = observed.report.as_ref().map(|(report, _)| report);
            caches.feedback(&endpoint.spec.authority, report) == source
        };
        let count = pool.all().iter().filter(lives_on).count();
        families
            .feedback_endpoints
            .with_label_values(&[name, source.label()])
            .set(count as f64);
    }
    caches.retain(|known| {
        let mut all = pool.all().iter();
        all.any(|endpoint| *endpoint.spec.authority == *known)
    });
}

/// Brings a counter to a count that is kept elsewhere and starts anew with a new router.
fn follow(counter: &IntCounter, count: u64) {
    if count < counter.get() {
        counter.reset();
    }
    counter.inc_by(count - counter.get());
}

fn fill_endpoint(
    families: &Families,
    pool: &str,
    router: &Router,
    endpoint: &Endpoint,
    now: Instant,
) {
    let labels = [pool, &*endpoint.spec.authority];
    let load = endpoint.load.now();
    let foreign = load.foreign_running + load.foreign_waiting;
    for (gauge, value) in [
        (&families.inflight_requests, f64::from(load.inflight)),
        (
            &families.queued_prefill_tokens,
            load.queued_prefill.as_f64(),
        ),
        (&families.inflight_prompt_tokens, load.prompt.as_f64()),
        (&families.decoding_requests, f64::from(load.decoding)),
        (&families.foreign_requests, f64::from(foreign)),
        (
            &families.endpoint_usable,
            f64::from(u8::from(endpoint.is_usable(now))),
        ),
        (
            &families.endpoint_known_cached_tokens,
            known_cached_tokens(router, endpoint.id).as_f64(),
        ),
    ] {
        gauge.with_label_values(&labels).set(value);
    }
    if let Some((_, at)) = &endpoint.observed.load().report {
        let age = now.saturating_duration_since(*at).as_secs_f64();
        families
            .endpoint_report_age_seconds
            .with_label_values(&labels)
            .set(age);
    }
}

/// Prompt tokens that the endpoint is believed to hold, at the nominal bytes per token.
pub(crate) fn known_cached_tokens(router: &Router, endpoint: EndpointId) -> Tokens {
    let Blocks(blocks) = router.index().occupancy(endpoint);
    BytesPerToken::default().tokens(u64::from(blocks) * router.block_size().bytes() as u64)
}

/// Drops the counters of endpoints that are in no pool any more.
pub(super) fn forget_gone(
    families: &Families,
    failed: &mut BTreeSet<(String, String)>,
    pools: &[(String, Arc<Router>)],
) {
    failed.retain(|(pool, endpoint)| {
        let is_here = pools
            .iter()
            .filter(|(name, _)| name == pool)
            .any(|(_, router)| {
                let pool = router.pool();
                pool.all()
                    .iter()
                    .any(|here| *here.spec.authority == **endpoint)
            });
        if !is_here {
            for cause in CAUSES {
                let labels = [pool.as_str(), endpoint.as_str(), cause_label(cause)];
                // A cause that never occurred has no series to remove.
                let _ = families
                    .endpoint_failures_total
                    .remove_label_values(&labels);
            }
        }
        is_here
    });
}
