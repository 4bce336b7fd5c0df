//! Triton Inference Server: 2.51 as recorded; `nv_trt_llm_*` come from its TensorRT-LLM backend.

use warmgate_routing::endpoint::Engine;

use crate::scrape::name_table::{
    Absent, Capacity, Count, NameTable, Place, Usage, at, labelled, series,
};

pub(crate) const TABLE: NameTable = NameTable {
    engine: Engine::Triton,
    name_prefixes: &["nv_inference_", "nv_trt_llm_"],
    // Metrics have a port of their own, which answers 404 on the API's port.
    places: &[
        Place {
            path: "/metrics",
            port: Some(8002),
        },
        at("/metrics"),
    ],
    copy_labels: &[],
    // Without the TensorRT-LLM backend there is only a counter of executions.
    running: Some(Count {
        any_of: &[&[labelled(
            "nv_trt_llm_request_metrics",
            "request_type",
            "scheduled",
        )]],
        absent: Absent::Unknown,
    }),
    waiting: Some(Count {
        any_of: &[
            &[labelled(
                "nv_trt_llm_request_metrics",
                "request_type",
                "waiting",
            )],
            &[series("nv_inference_pending_request_count")],
        ],
        absent: Absent::Zero,
    }),
    kv_usage: &[Usage::Share(labelled(
        "nv_trt_llm_kv_cache_block_metrics",
        "kv_cache_block_type",
        "fraction",
    ))],
    capacity: &[Capacity::Blocks {
        blocks: labelled(
            "nv_trt_llm_kv_cache_block_metrics",
            "kv_cache_block_type",
            "max",
        ),
        tokens_each: labelled(
            "nv_trt_llm_kv_cache_block_metrics",
            "kv_cache_block_type",
            "tokens_per",
        ),
    }],
    // `nv_cache_*` is the cache of whole responses; reused blocks have no count of look-ups.
    prefix_queries: None,
    prefix_hits: None,
    tier_hits: None,
};
