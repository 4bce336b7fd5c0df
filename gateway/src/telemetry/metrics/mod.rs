//! Numbers for alerts and graphs, in Prometheus' text format.
//!
//! [`TABLE`] lists every family once; registration and `docs/metrics.md` come from it. Series of a
//! pool and of a model are resolved once ([`PoolMetrics`]); a request then costs a look-up of its
//! model's name and a dozen atomic additions. Gauges of endpoints are read from the routers when
//! the page is asked for, so that what is gone has no series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::{Encoder as _, Registry, TextEncoder};
use warmgate_discovery::SourceFailure;
use warmgate_routing::Router;
use warmgate_routing::health::Failure;

mod family;
mod fleet;
mod mirrors;
mod outcome;
mod pool;
mod reference;
mod targets;

pub use family::{Family, Kind, TABLE};
pub(crate) use fleet::known_cached_tokens;
pub use mirrors::MirrorOutcome;
pub use outcome::{AbortPhase, Outcome, RetryReason};
pub use pool::PoolMetrics;
pub use reference::reference;

use family::Families;

/// Values of the label `model` in one process; further names are counted as [`OTHER`].
pub const MODEL_LABELS_MAX: usize = 256;
/// Stands for every value that is unknown or beyond a limit.
pub const OTHER: &str = "other";
/// Label `pool` of requests that never reached one.
pub const UNROUTED: &str = "none";
/// Content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All metrics of this process. Shared; every method takes `&self`.
pub struct Metrics {
    registry: Registry,
    families: Arc<Families>,
    unrouted: Arc<PoolMetrics>,
    targets: targets::Targets,
    mirrors: mirrors::Mirrors,
    pools: Mutex<BTreeMap<String, Arc<PoolMetrics>>>,
    model_labels: Arc<Mutex<BTreeSet<String>>>,
    // Endpoints that have a counter, to be dropped with the endpoint.
    failed: Mutex<BTreeSet<(String, String)>>,
    // One page at a time: gauges are cleared and filled again for each.
    page: Mutex<()>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// An own registry with every family of [`TABLE`].
    #[must_use]
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let families = Families::register(&registry)
            .expect("invariant: the table's names are valid and different");
        families
            .build_info
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);
        // Alerts on growth need the zero before the first event.
        families.bugs_total.with_label_values::<&str>(&[]);
        families
            .access_log_dropped_total
            .with_label_values::<&str>(&[]);
        let (families, model_labels) = (Arc::new(families), Arc::default());
        Metrics {
            registry,
            unrouted: Arc::new(PoolMetrics::new(UNROUTED, &families, &model_labels)),
            families,
            targets: targets::Targets::default(),
            mirrors: mirrors::Mirrors::default(),
            pools: Mutex::default(),
            model_labels,
            failed: Mutex::default(),
            page: Mutex::default(),
        }
    }

    /// Handles of the pool of that name; resolve once and keep. Give it its router
    /// ([`PoolMetrics::follow`]) and the names that routes send there
    /// ([`PoolMetrics::know_models`]), else its models are counted as [`OTHER`].
    #[must_use]
    pub fn pool(&self, name: &str) -> Arc<PoolMetrics> {
        let mut pools = self.pools.lock();
        if let Some(pool) = pools.get(name) {
            return Arc::clone(pool);
        }
        let pool = PoolMetrics::new(name, &self.families, &self.model_labels);
        let pool = Arc::new(pool);
        pools.insert(name.to_owned(), Arc::clone(&pool));
        pool
    }

    /// Handles for requests that never reached a pool.
    #[must_use]
    pub fn unrouted(&self) -> Arc<PoolMetrics> {
        Arc::clone(&self.unrouted)
    }

    /// An attempt or a probe failed by the endpoint's fault; `endpoint` is its host and port.
    pub fn endpoint_failed(&self, pool: &str, endpoint: &str, cause: Failure) {
        let key = (pool.to_owned(), endpoint.to_owned());
        self.failed.lock().insert(key);
        self.families
            .endpoint_failures_total
            .with_label_values(&[pool, endpoint, fleet::cause_label(cause)])
            .inc();
    }

    /// These are the targets of all routes from now on: name of the route, name of the target, and
    /// its weight. Others lose their series.
    pub fn know_targets(&self, targets: impl Iterator<Item = ((Arc<str>, Arc<str>), u32)>) {
        self.targets.know(&self.families, targets);
    }

    /// A guard has changed a target's weight, and says whether it has taken it out where it watches
    /// it. One that is no longer there is not shown.
    pub fn weigh_target(
        &self,
        name: (&Arc<str>, &Arc<str>),
        weight: u32,
        is_tripped: Option<bool>,
    ) {
        self.targets.weigh(&self.families, name, weight, is_tripped);
    }

    /// A request that its route gave to this target has ended. One whose target is no longer there
    /// is not counted.
    pub fn target_finished(&self, route: &Arc<str>, target: &Arc<str>, outcome: &Outcome<'_>) {
        self.targets
            .finished(&self.families, (route, target), outcome);
    }

    /// A request could not be taken by this target and went on to its fallback.
    pub fn target_fell_back(&self, route: &Arc<str>, target: &Arc<str>) {
        self.targets.fell_back(&self.families, (route, target));
    }

    /// These are the routes with a mirror from now on. Others lose their series.
    pub fn know_mirrors(&self, routes: impl Iterator<Item = Arc<str>>) {
        self.mirrors.know(&self.families, routes);
    }

    /// A copy for the route's mirror has ended after that time, or was never made.
    pub fn mirrored(&self, route: &str, outcome: MirrorOutcome, took: Option<Duration>) {
        self.mirrors.ended(&self.families, route, outcome, took);
    }

    /// Fields or headers of one kind were taken out of a request. `kind` is a name in the code,
    /// never one that a client chose.
    pub fn stripped(&self, kind: &'static str, fields: u64) {
        self.families
            .stripped_fields_total
            .with_label_values(&[kind])
            .inc_by(fields);
    }

    /// A source of endpoints could not tell all; what was known stays.
    pub fn source_failed(&self, pool: &str, why: SourceFailure) {
        self.families
            .source_failures_total
            .with_label_values(&[pool, why.as_str()])
            .inc();
    }

    /// An endpoint's metrics page was read, or could not be.
    pub fn scraped(&self, pool: &str, is_ok: bool) {
        let result = if is_ok { "ok" } else { "error" };
        self.families
            .scrapes_total
            .with_label_values(&[pool, result])
            .inc();
    }

    /// A new configuration was applied, or rejected and the old one kept.
    pub fn config_reloaded(&self, is_applied: bool) {
        let result = if is_applied { "applied" } else { "rejected" };
        self.families
            .config_reloads_total
            .with_label_values(&[result])
            .inc();
        self.set_config_valid(is_applied);
    }

    /// Whether the file's current content is in force. Call once at the start.
    pub fn set_config_valid(&self, is_valid: bool) {
        let gauge = self.families.config_valid.with_label_values::<&str>(&[]);
        gauge.set(f64::from(u8::from(is_valid)));
    }

    /// What `/ready` answers.
    pub fn set_ready(&self, is_ready: bool) {
        let gauge = self.families.ready.with_label_values::<&str>(&[]);
        gauge.set(f64::from(u8::from(is_ready)));
    }

    /// Access log lines were lost.
    pub fn access_log_dropped(&self, lines: u64) {
        self.families
            .access_log_dropped_total
            .with_label_values::<&str>(&[])
            .inc_by(lines);
    }

    /// An invariant was found broken outside a request; [`PoolMetrics::finished`] counts those of
    /// requests.
    pub fn bug(&self) {
        self.families
            .bugs_total
            .with_label_values::<&str>(&[])
            .inc();
    }

    /// The page for Prometheus at `now`, with what `pools` know of their endpoints.
    #[must_use]
    pub fn render(&self, pools: &[(String, Arc<Router>)], now: Instant) -> String {
        let _one_at_a_time = self.page.lock();
        for (name, router) in pools {
            self.pool(name).follow(router);
        }
        fleet::fill(&self.families, pools, now);
        for (name, router) in pools {
            let pool = self.pool(name);
            fleet::fill_caches(&self.families, name, router, pool.caches());
            fleet::fill_source(&self.families, name, router, &pool.source_touch(), now);
        }
        fleet::forget_gone(&self.families, &mut self.failed.lock(), pools);
        let mut page = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut page)
            .expect("invariant: writing to memory cannot fail");
        String::from_utf8(page).expect("invariant: names, help and labels are UTF-8")
    }
}

#[cfg(test)]
mod tests;
