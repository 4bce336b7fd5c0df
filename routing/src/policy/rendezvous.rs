//! Rendezvous hashing: an order of endpoints for each key that changes least when one comes or goes.
//!
//! Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998). Needs no ring
//! and no agreement but the endpoints' keys, so every gateway replica finds the same home.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::endpoint::Endpoint;
use crate::policy::View;

/// Blocks whose hash is the key of a prompt without a session: about the system prompt.
const KEY_BLOCKS: usize = 8;

/// The key by which a request finds its home: its session, else the start of its prompt.
pub(super) fn key(view: &View<'_>) -> u64 {
    if let Some(session) = view.session {
        return session.0;
    }
    let hashes = &view.prompt.hashes;
    hashes
        .get(KEY_BLOCKS - 1)
        .or(hashes.last())
        .map_or(0, |hash| hash.0)
}

/// Endpoints in the order of preference for `key`, usable or not.
pub(super) fn order<'a>(view: &View<'a>, key: u64) -> Vec<&'a Arc<Endpoint>> {
    let mut order: Vec<(u64, &Arc<Endpoint>)> = view
        .endpoints
        .iter()
        .map(|endpoint| (weight(endpoint, key), endpoint))
        .collect();
    order.sort_unstable_by_key(|(weight, endpoint)| (std::cmp::Reverse(*weight), endpoint.id));
    order.into_iter().map(|(_, endpoint)| endpoint).collect()
}

/// The first of that order that is usable.
pub(super) fn home<'a>(view: &View<'a>, key: u64) -> Option<&'a Arc<Endpoint>> {
    view.usable()
        .max_by_key(|endpoint| (weight(endpoint, key), std::cmp::Reverse(endpoint.id)))
}

fn weight(endpoint: &Endpoint, key: u64) -> u64 {
    xxh3_64_with_seed(endpoint.spec.key.0.as_bytes(), key)
}
