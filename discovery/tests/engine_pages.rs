//! What is read from the pages of every engine, as tables of text.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use warmgate_discovery::scrape::{PageError, SERIES_MAX, read_page};
use warmgate_routing::endpoint::Engine;

fn pages() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages");
    let mut pages: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "prom"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    pages.sort();
    pages
}

#[test]
fn every_page_is_read_as_recorded() {
    let mut table = String::new();
    for (name, page) in pages() {
        let report = read_page(&page, None).unwrap();
        let configured = read_page(&page, Some(report.engine));
        assert_eq!(configured.as_ref(), Ok(&report), "{name}");
        table += &format!("{name}\n  {}\n", serde_json::to_string(&report).unwrap());
    }
    insta::assert_snapshot!(table);
}

#[test]
fn an_engine_that_is_configured_may_show_nothing_yet() {
    let report = read_page("python_info 1\n", Some(Engine::Tgi)).unwrap();
    assert_eq!((report.running, report.waiting), (Some(0), Some(0)));
    assert_eq!(report.capacity, None);
}

#[test]
fn pages_of_nobody_and_of_others_are_refused() {
    assert_eq!(
        read_page("node_load1 0.5\n", None),
        Err(PageError::NoEngine)
    );
    assert_eq!(read_page("{\"a\": [1]}", None), Err(PageError::NoEngine));
    let other = PageError::OtherEngine {
        expected: Engine::Vllm,
        found: Engine::Tgi,
    };
    assert_eq!(
        read_page("tgi_queue_size 1\n", Some(Engine::Vllm)),
        Err(other)
    );
}

#[test]
fn odd_values_do_no_harm() {
    let page = "vllm:num_requests_running NaN\nvllm:num_requests_waiting -3\n\
                vllm:kv_cache_usage_perc 1.7\nvllm:prefix_cache_queries_total 1e30\n\
                vllm:cache_config_info{num_gpu_blocks=\"None\",block_size=\"16\"} 1\n";
    let report = read_page(page, None).unwrap();
    assert_eq!((report.running, report.waiting), (Some(0), Some(0)));
    assert_eq!(report.kv_usage.map(|usage| usage.get()), Some(1.0));
    assert_eq!(report.prefix_queries.map(|tokens| tokens.0), Some(u64::MAX));
    assert_eq!(report.capacity, None);
}

#[test]
fn series_have_a_limit() {
    let page = |count: usize| {
        let line = |n| format!("vllm:num_requests_running{{engine=\"{n}\"}} 1\n");
        (0..count).map(line).collect::<String>()
    };
    let at_limit = read_page(&page(SERIES_MAX), None).unwrap();
    assert_eq!(at_limit.running, Some(SERIES_MAX as u32));
    let beyond = read_page(&page(SERIES_MAX + 1), None);
    assert_eq!(beyond, Err(PageError::TooManySeries));
}
