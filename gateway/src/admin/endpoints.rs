//! What is known of each endpoint, as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use warmgate_routing::endpoint::{EndpointKey, Engine, Role, Serving};
use warmgate_routing::health::Standing;
use warmgate_routing::pod::Conditions;
use warmgate_routing::report::EngineReport;
use warmgate_routing::router::REPORT_STALE_AFTER;
use warmgate_routing::{Endpoint, EndpointSpec, Router, Tokens};

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
    state: Serving,
    #[serde(flatten)]
    conditions: Conditions,
    #[serde(flatten)]
    pod: PodColumns,
    source_stale_s: f64,
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

/// The pod behind it, where its source is a cluster.
#[derive(Debug, Default, Serialize)]
struct PodColumns {
    pod: Option<String>,
    pod_uid: Option<String>,
    namespace: Option<String>,
    restarts: Option<u32>,
    node: Option<String>,
    zone: Option<String>,
    for_zones: Vec<String>,
    model_version: Option<String>,
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
        let stale = pool_metrics.source_touch().stale_for(now);
        let of_pool = OfPool {
            name,
            router,
            caches: pool_metrics.caches(),
            source_stale_s: seconds(stale.unwrap_or_default()),
        };
        let endpoints = pool.all().iter();
        endpoints
            .map(|endpoint| row(&of_pool, endpoint, now))
            .collect()
    };
    pools.iter().flat_map(of_pool).collect()
}

/// What the rows of one pool have in common.
struct OfPool<'a> {
    name: &'a str,
    router: &'a Router,
    caches: &'a Caches,
    source_stale_s: f64,
}

fn row(of_pool: &OfPool<'_>, endpoint: &Endpoint, now: Instant) -> EndpointRow {
    let OfPool { router, caches, .. } = *of_pool;
    let (spec, load) = (&endpoint.spec, endpoint.load.now());
    let observed = endpoint.observed.load();
    let report = observed.report.as_ref();
    let names = |models: &Vec<_>| models.iter().map(model_name).collect();
    EndpointRow {
        address: Arc::clone(&spec.authority),
        key: spec.key.clone(),
        pool: of_pool.name.to_owned(),
        engine: spec.engine.or(report.map(|(report, _)| report.engine)),
        role: spec.role,
        models: observed.models.as_ref().map(names),
        labels: spec.labels.clone(),
        state: spec.serving,
        conditions: conditions(spec),
        pod: pod_columns(spec),
        source_stale_s: of_pool.source_stale_s,
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

/// As the cluster says them; else what the state of the endpoint comes to.
fn conditions(spec: &EndpointSpec) -> Conditions {
    if let Some(pod) = &spec.pod {
        return pod.conditions;
    }
    Conditions {
        ready: spec.serving == Serving::Ready,
        serving: spec.serving != Serving::NotReady,
        terminating: spec.serving == Serving::Terminating,
    }
}

fn pod_columns(spec: &EndpointSpec) -> PodColumns {
    let Some(pod) = &spec.pod else {
        return PodColumns::default();
    };
    PodColumns {
        pod: Some(pod.name.clone()),
        pod_uid: Some(pod.uid.clone()).filter(|uid| !uid.is_empty()),
        namespace: Some(pod.namespace.clone()),
        restarts: pod.restarts,
        node: pod.node.clone(),
        zone: pod.zone.clone(),
        for_zones: pod.for_zones.clone(),
        model_version: pod.model_version.clone(),
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
        age_s: seconds(age),
        stale: age > REPORT_STALE_AFTER,
        running: report.running,
        waiting: report.waiting,
        kv_usage: report.kv_usage.map(|usage| usage.get()),
        capacity_tokens: report.capacity,
        prefix_query_tokens: report.prefix_queries,
        prefix_hit_tokens: report.prefix_hits,
    }
}

/// In whole milliseconds, so that no digits of rounding are printed.
fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1e3
}
