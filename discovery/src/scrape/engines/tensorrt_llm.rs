//! TensorRT-LLM's `trtllm-serve`, from its collector's source. Shown under `return_perf_metrics`.
//!
//! Its gauges move only when a request completes, so running and waiting lag behind.

use warmgate_routing::endpoint::Engine;

use crate::scrape::name_table::{Absent, Capacity, Count, NameTable, Usage, at, series};

pub(crate) const TABLE: NameTable = NameTable {
    engine: Engine::TensorrtLlm,
    name_prefixes: &["trtllm_"],
    // Its `/metrics` is JSON, and reading it takes away what this page would show.
    places: &[at("/prometheus/metrics")],
    copy_labels: &["pid"],
    running: Some(Count {
        any_of: &[&[series("trtllm_num_requests_running")]],
        absent: Absent::Zero,
    }),
    waiting: Some(Count {
        any_of: &[&[series("trtllm_num_requests_waiting")]],
        absent: Absent::Zero,
    }),
    kv_usage: &[Usage::Share(series("trtllm_kv_cache_utilization"))],
    capacity: &[Capacity::Blocks {
        blocks: series("trtllm_kv_cache_max_blocks"),
        tokens_each: series("trtllm_kv_cache_tokens_per_block"),
    }],
    prefix_queries: Some(Count {
        any_of: &[&[series("trtllm_prompt_tokens_total")]],
        absent: Absent::Zero,
    }),
    prefix_hits: Some(Count {
        any_of: &[&[series("trtllm_prompt_cached_tokens_total")]],
        absent: Absent::Zero,
    }),
    tier_hits: None,
};
