//! SGLang's model gateway, policy `cache_aware` (its default), as [`super::cache_aware`] does it.
//!
//! From github.com/sgl-project/sglang, `sgl-model-gateway/src/policies/{mod,cache_aware,tree}.rs` at
//! 01f6c92. These are the defaults of the library; its command line has those of vLLM's router,
//! and so behaves as [`super::vllm_router`].

use super::super::contender::{Contender, FleetSpec};
use super::cache_aware::{CacheAware, Thresholds};

/// Defaults of `CacheAwareConfig`.
const THRESHOLDS: Thresholds = Thresholds {
    cache: 0.5,
    balance_abs: 32,
    balance_rel: 1.1,
};
/// Characters of each worker in the tree: `--max-tree-size`.
const TREE_CHARS: u64 = 1 << 26;

pub(super) fn new(fleet: &FleetSpec) -> Box<dyn Contender> {
    Box::new(CacheAware::peer(fleet, THRESHOLDS, TREE_CHARS))
}
