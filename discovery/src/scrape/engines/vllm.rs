//! vLLM: 0.32 as recorded; the `gpu_` names are those of 0.11 and before.

use warmgate_routing::endpoint::Engine;

use crate::scrape::name_table::{Absent, Capacity, Count, NameTable, Usage, at, series};

pub(crate) const TABLE: NameTable = NameTable {
    engine: Engine::Vllm,
    name_prefixes: &["vllm:"],
    places: &[at("/metrics")],
    copy_labels: &[],
    running: Some(Count {
        any_of: &[&[series("vllm:num_requests_running")]],
        absent: Absent::Zero,
    }),
    waiting: Some(Count {
        any_of: &[&[series("vllm:num_requests_waiting")]],
        absent: Absent::Zero,
    }),
    kv_usage: &[
        Usage::Share(series("vllm:kv_cache_usage_perc")),
        Usage::Share(series("vllm:gpu_cache_usage_perc")),
    ],
    // Blocks times block size overstates the cache of models that mix kinds of attention, so the
    // engine's own figure comes first; before it existed, only the two factors were shown.
    capacity: &[
        Capacity::LabelTokens {
            series: series("vllm:cache_config_info"),
            tokens: "kv_cache_size_tokens",
        },
        Capacity::LabelBlocks {
            series: series("vllm:cache_config_info"),
            blocks: "num_gpu_blocks",
            tokens_each: "block_size",
        },
    ],
    prefix_queries: Some(Count {
        any_of: &[
            &[series("vllm:prefix_cache_queries_total")],
            &[series("vllm:gpu_prefix_cache_queries_total")],
        ],
        absent: Absent::Zero,
    }),
    prefix_hits: Some(Count {
        any_of: &[
            &[series("vllm:prefix_cache_hits_total")],
            &[series("vllm:gpu_prefix_cache_hits_total")],
        ],
        absent: Absent::Zero,
    }),
    // A tier behind the device is a connector to vLLM, and what it finds is counted apart.
    tier_hits: Some(Count {
        any_of: &[&[series("vllm:external_prefix_cache_hits_total")]],
        absent: Absent::Unknown,
    }),
};
