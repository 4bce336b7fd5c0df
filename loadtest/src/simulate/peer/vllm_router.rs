//! vLLM's router, policy `cache_aware` (its default), as [`super::cache_aware`] does it.
//!
//! From github.com/vllm-project/router (vllm-router 0.1.16, 2026): defaults of the command line in
//! `py_src/vllm_router/router_args.py` at 1700eef, the rest in `src/policies/cache_aware.rs`. Its
//! map of sessions is left out: it needs a session in the body, which clients do not send.

use super::super::contender::{Contender, FleetSpec};
use super::cache_aware::{CacheAware, Thresholds};

/// `cache_threshold`, `balance_abs_threshold`, `balance_rel_threshold`.
const THRESHOLDS: Thresholds = Thresholds {
    cache: 0.3,
    balance_abs: 64,
    balance_rel: 1.5,
};
/// `max_tree_size`: characters of each worker in the tree.
const TREE_CHARS: u64 = 1 << 26;

pub(super) fn new(fleet: &FleetSpec) -> Box<dyn Contender> {
    Box::new(CacheAware::peer(fleet, THRESHOLDS, TREE_CHARS))
}
