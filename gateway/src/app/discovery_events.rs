//! Discovery's news as metrics.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use warmgate_discovery::{DiscoveryEvents, ProbeFailure, SourceFailure};
use warmgate_routing::{EndpointKey, Router};

use crate::proxy::live::CACHE_LOST;
use crate::telemetry::metrics::{Metrics, PoolMetrics};
use crate::telemetry::source_touch::SourceTouch;

/// Counts what discovery reports of one pool.
pub struct PoolEvents {
    pool: Arc<str>,
    metrics: Arc<Metrics>,
    pool_metrics: Arc<PoolMetrics>,
    touch: Arc<SourceTouch>,
    // The router outlives a watch only while its pool is configured.
    router: Weak<Router>,
}

impl PoolEvents {
    /// For the pool of that name, whose source begins.
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
            touch: pool_metrics.begin_source(),
            router: Arc::downgrade(router),
        }
    }
}

impl DiscoveryEvents for PoolEvents {
    fn source_out_of_touch(&self, _: &str) {
        if self.touch.lose(Instant::now()) {
            tracing::warn!(pool = %self.pool, "source of endpoints is out of touch; last known endpoints are kept");
        }
    }

    fn source_in_touch(&self, _: &str) {
        if let Some(lost) = self.touch.regain(Instant::now()) {
            let lost_s = lost.as_secs_f64();
            tracing::info!(pool = %self.pool, lost_s, "source of endpoints is in touch again");
        }
    }

    fn source_failed(&self, _: &str, why: SourceFailure) {
        self.metrics.source_failed(&self.pool, why);
    }

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

#[cfg(test)]
mod tests {
    use warmgate_routing::{Policy, RouterSettings};

    use super::*;

    #[test]
    fn what_a_source_says_is_counted() {
        let (pool, metrics) = (Arc::from("main"), Arc::new(Metrics::new()));
        let pool_metrics = metrics.pool(&pool);
        let router = Router::new(RouterSettings::default(), Policy::default());
        let router = Arc::new(router);
        let events = PoolEvents::new(&pool, Arc::clone(&metrics), &pool_metrics, &router);
        let pools = [("main".to_owned(), Arc::clone(&router))];
        let page = || metrics.render(&pools, Instant::now());
        assert!(page().contains("\nwarmgate_source_stale_seconds{pool=\"main\"} 0\n"));
        for _ in 0..2 {
            events.source_failed("main", SourceFailure::Unreachable);
            events.source_out_of_touch("main");
        }
        let failures = "\nwarmgate_source_failures_total{cause=\"unreachable\",pool=\"main\"} 2\n";
        let lost = page();
        assert!(lost.contains(failures), "{lost}");
        assert!(!lost.contains("\nwarmgate_source_stale_seconds{pool=\"main\"} 0\n"));
        events.source_in_touch("main");
        assert!(page().contains("\nwarmgate_source_stale_seconds{pool=\"main\"} 0\n"));
    }
}
