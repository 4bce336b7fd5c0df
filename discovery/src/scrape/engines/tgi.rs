//! Text Generation Inference: 3.3.6. Shows a series only from its first use on.

use warmgate_routing::endpoint::Engine;

use crate::scrape::name_table::{Absent, Capacity, Count, NameTable, Usage, at, series};

pub(crate) const TABLE: NameTable = NameTable {
    engine: Engine::Tgi,
    name_prefixes: &["tgi_"],
    // Its `--prometheus-port` serves nothing; the page is on the API's port.
    places: &[at("/metrics")],
    copy_labels: &[],
    running: Some(Count {
        any_of: &[&[series("tgi_batch_current_size")]],
        absent: Absent::Zero,
    }),
    waiting: Some(Count {
        any_of: &[&[series("tgi_queue_size")]],
        absent: Absent::Zero,
    }),
    kv_usage: &[Usage::Part {
        used: series("tgi_batch_current_max_tokens"),
        of: series("tgi_batch_max_total_tokens"),
    }],
    capacity: &[Capacity::Tokens(series("tgi_batch_max_total_tokens"))],
    // It has a prefix cache, but tells nothing of it.
    prefix_queries: None,
    prefix_hits: None,
    tier_hits: None,
};
