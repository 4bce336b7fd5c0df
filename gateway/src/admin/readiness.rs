//! Whether traffic should come here, and if not, why not.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use warmgate_routing::health::Standing;
use warmgate_routing::{Endpoint, Router};

/// The answer of `/ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// At least one endpoint answers, and the gateway is not draining.
    pub ready: bool,
    /// Ready, but some pool has no endpoint that answers.
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
}

impl Readiness {
    /// Readiness at `now`.
    #[must_use]
    pub fn of(pools: &[(String, Arc<Router>)], is_draining: bool, now: Instant) -> Readiness {
        let pools: Vec<_> = pools
            .iter()
            .map(|(name, router)| {
                let pool = router.pool();
                PoolReadiness {
                    name: name.clone(),
                    endpoints: pool.all().len(),
                    usable: count_answering(pool.all(), now),
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
        let ready = !is_draining && pools.iter().any(|pool| pool.usable > 0);
        Readiness {
            ready,
            degraded: ready && !reasons.is_empty(),
            reasons,
            pools,
        }
    }
}

/// Endpoints that take new requests and have been heard of.
pub(super) fn count_answering(endpoints: &[Arc<Endpoint>], now: Instant) -> usize {
    let answers = |endpoint: &&Arc<Endpoint>| {
        let standing = endpoint.health.standing(now);
        endpoint.is_usable(now) && matches!(standing, Standing::Healthy | Standing::Trial)
    };
    endpoints.iter().filter(answers).count()
}
