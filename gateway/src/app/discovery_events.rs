//! Discovery's news as metrics.

use std::sync::{Arc, Weak};
use std::time::Duration;

use warmgate_discovery::{DiscoveryEvents, ProbeFailure};
use warmgate_routing::{EndpointKey, Router};

use crate::proxy::live::CACHE_LOST;
use crate::telemetry::metrics::{Metrics, PoolMetrics};

/// Counts what discovery reports of one pool.
pub struct PoolEvents {
    pool: Arc<str>,
    metrics: Arc<Metrics>,
    pool_metrics: Arc<PoolMetrics>,
    // The router outlives a watch only while its pool is configured.
    router: Weak<Router>,
}

impl PoolEvents {
    /// For the pool of that name.
    #[must_use]
    pub fn new(
        pool: &Arc<str>,
        metrics: Arc<Metrics>,
        pool_metrics: &Arc<PoolMetrics>,
        router: &Arc<Router>,
    ) -> PoolEvents {
        PoolEvents {
            pool: Arc::clone(pool),
            metrics,
            pool_metrics: Arc::clone(pool_metrics),
            router: Arc::downgrade(router),
        }
    }
}

impl DiscoveryEvents for PoolEvents {
    fn scrape_ok(&self, _: &EndpointKey, _: Duration) {
        self.metrics.scraped(&self.pool, true);
    }

    fn scrape_failed(&self, _: &EndpointKey, _: ProbeFailure) {
        self.metrics.scraped(&self.pool, false);
    }

    fn engine_restarted(&self, endpoint: &EndpointKey) {
        tracing::info!(pool = %self.pool, %endpoint, "the engine has restarted; what it was believed to hold is forgotten");
    }

    fn cache_lost(&self, endpoint: &EndpointKey) {
        let Some(router) = self.router.upgrade() else {
            return;
        };
        let pool = router.pool();
        let mut all = pool.all().iter();
        if let Some(found) = all.find(|found| found.spec.key == *endpoint) {
            let authority = &found.spec.authority;
            self.pool_metrics.cache_lost(authority);
            tracing::warn!(pool = %self.pool, endpoint = %authority, by = "counters", "{CACHE_LOST}");
        }
    }

    fn models_changed(&self, _: &EndpointKey, _: usize) {
        if let Some(router) = self.router.upgrade() {
            self.pool_metrics.know_models(router.pool().models());
        }
    }
}
