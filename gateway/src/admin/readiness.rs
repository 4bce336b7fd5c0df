//! Whether traffic should come here, and if not, why not.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use warmgate_routing::health::Standing;
use warmgate_routing::{Endpoint, Router};

use crate::telemetry::metrics::Metrics;

/// The answer of `/ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// At least one endpoint answers, and the gateway is not draining.
    pub ready: bool,
    /// Ready, but some pool has no endpoint that answers, or its source is out of touch.
    pub degraded: bool,
    /// What is missing, in sentences.
    pub reasons: Vec<String>,
    /// Endpoints of each pool.
    pub pools: Vec<PoolReadiness>,
}

/// One pool's part of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PoolReadiness {
    /// Its name.
    pub name: String,
    /// How many endpoints it has.
    pub endpoints: usize,
    /// Of these, how many answer and take new requests.
    pub usable: usize,
    /// Time since its source has lost touch, in whole seconds; 0 while it is in touch.
    pub source_stale_s: u64,
}

impl Readiness {
    /// Readiness at `now`.
    #[must_use]
    pub fn of(
        pools: &[(String, Arc<Router>)],
        metrics: &Metrics,
        is_draining: bool,
        now: Instant,
    ) -> Readiness {
        let mut losses = Vec::new();
        let pools: Vec<_> = pools
            .iter()
            .map(|(name, router)| {
                let pool = router.pool();
                let stale = metrics.pool(name).source_touch().stale_for(now);
                let stale_s = stale.map(|stale| stale.as_secs());
                losses.extend(stale_s.map(|stale_s| source_lost(name, stale_s)));
                PoolReadiness {
                    name: name.clone(),
                    endpoints: pool.all().len(),
                    usable: count_answering(pool.all(), now),
                    source_stale_s: stale_s.unwrap_or_default(),
                }
            })
            .collect();
        let mut reasons = Vec::new();
        if is_draining {
            reasons.push("the gateway is draining".to_owned());
        }
        if pools.is_empty() {
            reasons.push("no pool is configured".to_owned());
        }
        for pool in pools.iter().filter(|pool| pool.usable == 0) {
            reasons.push(match pool.endpoints {
                0 => format!("pool `{}` has no endpoint", pool.name),
                1 => format!("the only endpoint of pool `{}` does not answer", pool.name),
                all => format!(
                    "none of the {all} endpoints of pool `{}` answers",
                    pool.name
                ),
            });
        }
        reasons.append(&mut losses);
        let ready = !is_draining && pools.iter().any(|pool| pool.usable > 0);
        Readiness {
            ready,
            degraded: ready && !reasons.is_empty(),
            reasons,
            pools,
        }
    }
}

fn source_lost(pool: &str, stale_s: u64) -> String {
    format!(
        "the source of pool `{pool}` has been out of touch for {stale_s} s, and what it last told \
         is kept"
    )
}

/// Endpoints that take new requests and have been heard of.
pub(super) fn count_answering(endpoints: &[Arc<Endpoint>], now: Instant) -> usize {
    let answers = |endpoint: &&Arc<Endpoint>| {
        let standing = endpoint.health.standing(now);
        endpoint.is_usable(now) && matches!(standing, Standing::Healthy | Standing::Trial)
    };
    endpoints.iter().filter(answers).count()
}
