//! What is known of each pool, as JSON.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use warmgate_routing::{Policy, Router};

use super::readiness::count_answering;

/// One pool.
#[derive(Debug, Serialize)]
pub(super) struct PoolRow {
    name: String,
    policy: Arc<Policy>,
    block_bytes: usize,
    endpoints: usize,
    usable: usize,
    models: Vec<String>,
}

/// Every pool at `now`.
pub(super) fn list(pools: &[(String, Arc<Router>)], now: Instant) -> Vec<PoolRow> {
    let row = |(name, router): &(String, Arc<Router>)| {
        let pool = router.pool();
        PoolRow {
            name: name.clone(),
            policy: router.policy(),
            block_bytes: router.block_size().bytes(),
            endpoints: pool.all().len(),
            usable: count_answering(pool.all(), now),
            models: pool.models().map(str::to_owned).collect(),
        }
    };
    pools.iter().map(row).collect()
}
