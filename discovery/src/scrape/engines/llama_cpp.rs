//! llama.cpp's `llama-server`: b11434 as recorded. Shown only under `--metrics`, without any label.

use warmgate_routing::endpoint::Engine;

use crate::scrape::name_table::{Absent, Count, NameTable, Usage, at, series};

pub(crate) const TABLE: NameTable = NameTable {
    engine: Engine::LlamaCpp,
    name_prefixes: &["llamacpp:"],
    places: &[at("/metrics")],
    copy_labels: &[],
    running: Some(Count {
        any_of: &[&[series("llamacpp:requests_processing")]],
        absent: Absent::Zero,
    }),
    waiting: Some(Count {
        any_of: &[&[series("llamacpp:requests_deferred")]],
        absent: Absent::Zero,
    }),
    // Of older builds; newer ones tell neither use nor size of the cache.
    kv_usage: &[Usage::Share(series("llamacpp:kv_cache_usage_ratio"))],
    capacity: &[],
    // `prompt_tokens_total` leaves out what was cached.
    prefix_queries: Some(Count {
        any_of: &[&[
            series("llamacpp:prompt_tokens_total"),
            series("llamacpp:prompt_tokens_cached_total"),
        ]],
        absent: Absent::Zero,
    }),
    prefix_hits: Some(Count {
        any_of: &[&[series("llamacpp:prompt_tokens_cached_total")]],
        absent: Absent::Unknown,
    }),
    tier_hits: None,
};
