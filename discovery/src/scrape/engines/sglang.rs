//! SGLang: 0.5.23 as recorded. Shown only under `--enable-metrics`.

use warmgate_routing::endpoint::Engine;

use crate::scrape::name_table::{Absent, Capacity, Count, NameTable, Usage, at, series};

pub(crate) const TABLE: NameTable = NameTable {
    engine: Engine::Sglang,
    name_prefixes: &["sglang:"],
    places: &[at("/metrics")],
    // Every scheduler of a tensor or pipeline group tells of the same requests where
    // `--enable-metrics-for-all-schedulers` is set. With data parallelism `dp_rank` differs too,
    // so those figures are summed.
    copy_labels: &["tp_rank", "pp_rank", "moe_ep_rank", "pid"],
    running: Some(Count {
        any_of: &[&[series("sglang:num_running_reqs")]],
        absent: Absent::Zero,
    }),
    waiting: Some(Count {
        any_of: &[&[series("sglang:num_queue_reqs")]],
        absent: Absent::Zero,
    }),
    // `token_usage` has two decimals only.
    kv_usage: &[
        Usage::Share(series("sglang:full_token_usage")),
        Usage::Share(series("sglang:token_usage")),
    ],
    // The labels are those of 0.5.9 and 0.5.10.
    capacity: &[
        Capacity::Tokens(series("sglang:max_total_num_tokens")),
        Capacity::LabelBlocks {
            series: series("sglang:cache_config_info"),
            blocks: "num_pages",
            tokens_each: "page_size",
        },
    ],
    prefix_queries: Some(Count {
        any_of: &[&[series("sglang:prompt_tokens_total")]],
        absent: Absent::Zero,
    }),
    // `cache_hit_rate` stays at 0 whatever is hit.
    prefix_hits: Some(Count {
        any_of: &[&[series("sglang:cached_tokens_total")]],
        absent: Absent::Zero,
    }),
    tier_hits: None,
};
