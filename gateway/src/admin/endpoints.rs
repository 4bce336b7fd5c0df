//! What is known of each endpoint, as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use warmgate_routing::endpoint::{EndpointKey, Engine, Role, Serving};
use warmgate_routing::health::Standing;
use warmgate_routing::report::EngineReport;
use warmgate_routing::router::REPORT_STALE_AFTER;
use warmgate_routing::{Endpoint, Router, Tokens};

use crate::telemetry::caches::{Caches, Feedback};
use crate::telemetry::metrics::{Metrics, known_cached_tokens};
use crate::telemetry::timestamp;

/// One endpoint of one pool.
#[derive(Debug, Serialize)]
pub(super) struct EndpointRow {
    address: Arc<str>,
    key: EndpointKey,
    pool: String,
    engine: Option<Engine>,
    role: Role,
    models: Option<Vec<String>>,
    labels: BTreeMap<String, String>,
    serving: Serving,
    health: Standing,
    usable: bool,
    inflight: u32,
    queued_prefill_tokens: Tokens,
    decoding: u32,
    prompt_tokens: Tokens,
    foreign_running: u32,
    foreign_waiting: u32,
    scraped: Option<Scraped>,
    known_cached_tokens: Tokens,
    recent_work_tokens: Tokens,
    cache: Cache,
}

/// What is believed of its cache.
#[derive(Debug, Serialize)]
struct Cache {
    device_tokens: Tokens,
    all_tokens: Tokens,
    feedback: Feedback,
    lost: u64,
    lost_at: Option<String>,
}

/// An endpoint's last metrics page.
#[derive(Debug, Serialize)]
struct Scraped {
    age_s: f64,
    stale: bool,
    running: Option<u32>,
    waiting: Option<u32>,
    kv_usage: Option<f64>,
    capacity_tokens: Option<Tokens>,
    prefix_query_tokens: Option<Tokens>,
    prefix_hit_tokens: Option<Tokens>,
}

/// Every endpoint of every pool at `now`.
pub(super) fn list(
    pools: &[(String, Arc<Router>)],
    metrics: &Metrics,
    now: Instant,
) -> Vec<EndpointRow> {
    let of_pool = |(name, router): &(String, Arc<Router>)| -> Vec<EndpointRow> {
        let (pool, pool_metrics) = (router.pool(), metrics.pool(name));
        let caches = pool_metrics.caches();
        let endpoints = pool.all().iter();
        endpoints
            .map(|endpoint| row(name, router, caches, endpoint, now))
            .collect()
    };
    pools.iter().flat_map(of_pool).collect()
}

fn row(
    pool: &str,
    router: &Router,
    caches: &Caches,
    endpoint: &Endpoint,
    now: Instant,
) -> EndpointRow {
    let (spec, load) = (&endpoint.spec, endpoint.load.now());
    let observed = endpoint.observed.load();
    let report = observed.report.as_ref();
    let names = |models: &Vec<_>| models.iter().map(model_name).collect();
    EndpointRow {
        address: Arc::clone(&spec.authority),
        key: spec.key.clone(),
        pool: pool.to_owned(),
        engine: spec.engine.or(report.map(|(report, _)| report.engine)),
        role: spec.role,
        models: observed.models.as_ref().map(names),
        labels: spec.labels.clone(),
        serving: spec.serving,
        health: endpoint.health.standing(now),
        usable: endpoint.is_usable(now),
        inflight: load.inflight,
        queued_prefill_tokens: load.queued_prefill,
        decoding: load.decoding,
        prompt_tokens: load.prompt,
        foreign_running: load.foreign_running,
        foreign_waiting: load.foreign_waiting,
        scraped: report.map(|(report, at)| scraped(report, *at, now)),
        known_cached_tokens: known_cached_tokens(router, endpoint.id),
        recent_work_tokens: endpoint.load.recent_work().at(now),
        cache: cache(router, caches, endpoint, report.map(|(report, _)| report)),
    }
}

fn cache(
    router: &Router,
    caches: &Caches,
    endpoint: &Endpoint,
    report: Option<&EngineReport>,
) -> Cache {
    let (sizes, authority) = (router.sizes(endpoint.id), &endpoint.spec.authority);
    let losses = caches.losses(authority);
    Cache {
        device_tokens: sizes.device,
        all_tokens: sizes.total,
        feedback: caches.feedback(authority, report),
        lost: losses.count,
        lost_at: losses.last_at.map(timestamp::rfc3339),
    }
}

fn model_name(model: &warmgate_routing::report::ServedModel) -> String {
    model.name.clone()
}

fn scraped(report: &EngineReport, at: Instant, now: Instant) -> Scraped {
    let age = now.saturating_duration_since(at);
    Scraped {
        // Whole milliseconds, so that no digits of rounding are printed.
        age_s: age.as_millis() as f64 / 1e3,
        stale: age > REPORT_STALE_AFTER,
        running: report.running,
        waiting: report.waiting,
        kv_usage: report.kv_usage.map(|usage| usage.get()),
        capacity_tokens: report.capacity,
        prefix_query_tokens: report.prefix_queries,
        prefix_hit_tokens: report.prefix_hits,
    }
}
