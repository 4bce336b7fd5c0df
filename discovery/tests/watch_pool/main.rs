//! A pool watched over real sockets: what the router learns, and what ejects whom.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod engine;
mod watched;

use std::time::{Duration, Instant};

use engine::{Answer, FakeEngine};
use warmgate_discovery::models::MODELS_BYTES_MAX;
use warmgate_discovery::scrape::PAGE_BYTES_MAX;
use warmgate_discovery::{BearerToken, ProbeSettings, SourceConfig};
use warmgate_routing::Tokens;
use warmgate_routing::endpoint::Engine;
use warmgate_routing::health::Standing;
use watched::Watched;

const PAGE: &str = "process_start_time_seconds 100\nvllm:num_requests_running 3\n\
    vllm:num_requests_waiting 2\n\
    vllm:cache_config_info{num_gpu_blocks=\"10\",block_size=\"16\"} 1\n";
const MODELS: &str = r#"{"object":"list","data":[{"id":"tiny"},{"id":"lora","parent":"tiny"}]}"#;

/// Short pauses, for the tests wait for what happens; nothing depends on their length.
fn settings() -> ProbeSettings {
    ProbeSettings {
        interval: Duration::from_millis(20),
        timeout: Duration::from_secs(20),
        models_interval: Duration::from_secs(3_600),
        token: None,
        seed: 7,
    }
}

async fn vllm() -> FakeEngine {
    let engine = FakeEngine::start().await;
    engine.answer("/metrics", Answer::ok(PAGE));
    engine.answer("/v1/models", Answer::ok(MODELS));
    engine
}

#[tokio::test]
async fn the_router_learns_load_capacity_and_models() {
    let engine = vllm().await;
    let token = Some(BearerToken::new("secret").unwrap());
    let settings = ProbeSettings {
        token,
        ..settings()
    };
    let mut watched = Watched::start(&[&engine.url()], settings);
    watched.until("first_sync main").await;
    let endpoint = watched.endpoint();
    let observed = endpoint.observed.load();
    let (report, _) = observed.report.as_ref().unwrap();
    assert_eq!(report.engine, Engine::Vllm);
    assert_eq!((report.running, report.waiting), (Some(3), Some(2)));
    assert_eq!(report.capacity, Some(Tokens(160)));
    let pool = watched.router.pool();
    assert_eq!(pool.models().collect::<Vec<_>>(), ["lora", "tiny"]);
    assert_eq!(endpoint.health.standing(Instant::now()), Standing::Healthy);
    let asked = engine.asked();
    let host = engine.address().to_string();
    assert!(asked.contains(&format!(
        "GET /metrics host={host} authorization=Bearer secret"
    )));
    assert!(asked.contains(&format!(
        "GET /v1/models host={host} authorization=Bearer secret"
    )));
}

#[tokio::test]
async fn a_host_name_is_resolved_and_kept_in_the_host_header() {
    let engine = vllm().await;
    let port = engine.address().port();
    let mut watched = Watched::start(&[&format!("http://localhost:{port}")], settings());
    watched.until("first_sync main").await;
    assert_eq!(watched.endpoint().spec.address, engine.address());
    let wanted = format!("GET /metrics host=localhost:{port} authorization=");
    assert!(engine.asked().contains(&wanted), "{:?}", engine.asked());
}

#[tokio::test]
async fn who_refuses_is_ejected_and_comes_back_with_its_answer() {
    let gone = FakeEngine::start().await;
    let address = gone.stop().await;
    let mut watched = Watched::start(&[&format!("http://{address}")], settings());
    watched.until("first_sync main").await;
    let endpoint = watched.endpoint();
    assert_eq!(endpoint.health.standing(Instant::now()), Standing::Ejected);
    assert!(!endpoint.is_usable(Instant::now()));
    assert!(watched.seen("scrape_failed refused"));
    let engine = FakeEngine::start_at(address).await;
    engine.answer("/metrics", Answer::ok(PAGE));
    engine.answer("/v1/models", Answer::ok(MODELS));
    watched.until("models_changed 2").await;
    assert_eq!(endpoint.health.standing(Instant::now()), Standing::Healthy);
}

#[tokio::test]
async fn who_is_silent_is_not_ejected() {
    let engine = FakeEngine::start().await;
    engine.answer("/metrics", Answer::Silence);
    engine.answer("/v1/models", Answer::Silence);
    let settings = ProbeSettings {
        timeout: Duration::from_millis(20),
        ..settings()
    };
    let mut watched = Watched::start(&[&engine.url()], settings);
    for _ in 0..5 {
        watched.until("scrape_failed timeout").await;
    }
    let endpoint = watched.endpoint();
    assert!(endpoint.is_usable(Instant::now()));
    assert_eq!(endpoint.health.standing(Instant::now()), Standing::Unknown);
}

#[tokio::test]
async fn metrics_that_are_switched_off_do_not_hide_models() {
    let engine = FakeEngine::start().await;
    engine.answer("/metrics", Answer::status(501));
    engine.answer("/v1/models", Answer::ok(MODELS));
    let mut watched = Watched::start(&[&engine.url()], settings());
    watched.until("first_sync main").await;
    assert!(watched.seen("scrape_failed status"));
    let endpoint = watched.endpoint();
    assert_eq!(endpoint.health.standing(Instant::now()), Standing::Healthy);
    assert_eq!(watched.router.pool().models().count(), 2);
}

#[tokio::test]
async fn an_engine_without_the_route_leaves_models_unknown() {
    let engine = FakeEngine::start().await;
    engine.answer(
        "/metrics",
        Answer::ok("nv_inference_pending_request_count 1\n"),
    );
    let mut watched = Watched::start(&[&engine.url()], settings());
    watched.until("first_sync main").await;
    assert!(watched.seen("models_failed status"));
    let endpoint = watched.endpoint();
    assert!(endpoint.observed.load().models.is_none());
    assert_eq!(endpoint.health.standing(Instant::now()), Standing::Healthy);
}

#[tokio::test]
async fn metrics_are_looked_for_and_the_place_is_remembered() {
    let engine = FakeEngine::start().await;
    engine.answer("/metrics", Answer::ok(r#"[{"iter": 1}]"#));
    engine.answer(
        "/prometheus/metrics",
        Answer::ok("trtllm_num_requests_running 4\n"),
    );
    let mut watched = Watched::start(&[&engine.url()], settings());
    for _ in 0..3 {
        watched.until("scrape_ok").await;
    }
    let observed = watched.endpoint().observed.load_full();
    let (report, _) = observed.report.as_ref().unwrap();
    assert_eq!(report.engine, Engine::TensorrtLlm);
    let asked = engine.asked();
    let on_json = asked
        .iter()
        .filter(|line| line.starts_with("GET /metrics "));
    assert_eq!(on_json.count(), 1, "{asked:?}");
}

#[tokio::test]
async fn a_restarted_engine_is_asked_for_its_models_at_once() {
    let engine = vllm().await;
    let mut watched = Watched::start(&[&engine.url()], settings());
    watched.until("models_changed 2").await;
    engine.answer("/v1/models", Answer::ok(r#"{"data":[{"id":"other"}]}"#));
    engine.answer("/metrics", Answer::ok(&PAGE.replace("100", "200")));
    watched.until("models_changed 1").await;
    assert_eq!(
        watched.router.pool().models().collect::<Vec<_>>(),
        ["other"]
    );
}

#[tokio::test]
async fn answers_have_a_limit() {
    let engine = vllm().await;
    let page = |bytes: usize| format!("{PAGE}#{}", " ".repeat(bytes - PAGE.len() - 1));
    let models = |bytes: usize| format!("{MODELS}{}", " ".repeat(bytes - MODELS.len()));
    engine.answer("/metrics", Answer::ok(&page(PAGE_BYTES_MAX)));
    engine.answer("/v1/models", Answer::ok(&models(MODELS_BYTES_MAX)));
    let mut watched = Watched::start(&[&engine.url()], settings());
    watched.until("first_sync main").await;
    assert!(watched.seen("scrape_ok") && watched.seen("models_changed 2"));
    engine.answer("/v1/models", Answer::ok(&models(MODELS_BYTES_MAX + 1)));
    // The page of a younger process, so that its models are asked for.
    engine.answer("/metrics", Answer::ok(&PAGE.replace("100", "200")));
    watched.until("models_failed too_large").await;
    assert_eq!(
        watched.router.pool().models().count(),
        2,
        "the last list stays"
    );
    engine.answer("/metrics", Answer::ok(&page(PAGE_BYTES_MAX + 1)));
    watched.until("scrape_failed too_large").await;
}

#[tokio::test]
async fn a_port_without_tls_is_told_from_nobody() {
    let engine = vllm().await;
    let url = engine.url().replace("http://", "https://");
    let mut watched = Watched::start(&[&url], settings());
    watched.until("first_sync main").await;
    assert!(watched.seen("scrape_failed broken"));
    assert!(watched.endpoint().is_usable(Instant::now()));
}

#[tokio::test]
async fn one_bad_endpoint_hides_no_other() {
    let (engine, gone) = (vllm().await, FakeEngine::start().await);
    let gone = format!("http://{}", gone.stop().await);
    let mut watched = Watched::start(&[&gone, &engine.url()], settings());
    watched.until("first_sync main").await;
    assert!(watched.seen("source_synced main 2"));
    assert!(watched.seen("scrape_ok") && watched.seen("scrape_failed refused"));
}

#[tokio::test]
async fn who_leaves_the_file_leaves_the_pool() {
    let (first, second) = (vllm().await, vllm().await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("endpoints.yaml");
    let write = |urls: &[String]| {
        let lines: String = urls.iter().map(|url| format!("  - url: {url}\n")).collect();
        std::fs::write(&path, format!("endpoints:\n{lines}")).unwrap();
    };
    write(&[first.url(), second.url()]);
    let mut watched = Watched::of(SourceConfig::File(path.clone()), settings());
    watched.until("first_sync main").await;
    assert_eq!(watched.router.pool().all().len(), 2);
    write(&[second.url()]);
    watched.until("endpoint_gone").await;
    assert_eq!(watched.endpoint().spec.address, second.address());
}

#[tokio::test]
async fn a_pool_stops_when_told_and_keeps_its_endpoints() {
    let engine = vllm().await;
    let mut watched = Watched::start(&[&engine.url()], settings());
    watched.until("first_sync main").await;
    let router = watched.stop().await;
    assert_eq!(router.pool().all().len(), 1);
}
