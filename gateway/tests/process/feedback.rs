//! What engines report of their caches, and what becomes of it.

use http::StatusCode;
use serde_json::json;
use warmgate_loadtest::engine::{EngineConfig, EngineHandle};

use crate::engines::{engine_like, fast};
use crate::gateway_process::{GatewayProcess, Page, Start};
use crate::http_client::{self, post};

const DEVICE_TOKENS: u64 = 20_000;
const HOST_TIER_TOKENS: u64 = 80_000;
/// Prompts that together take three times the device, and less than the tier.
const PROMPTS: usize = 40;
/// Some 1,500 tokens.
const PROMPT_BYTES: usize = 6_000;
const ROUNDS: usize = 4;
/// How far an estimate of tokens from bytes may be off.
const ESTIMATE_ERROR: f64 = 0.1;

async fn tiered() -> EngineHandle {
    engine_like(EngineConfig {
        capacity_tokens: DEVICE_TOKENS,
        host_tier_tokens: HOST_TIER_TOKENS,
        ..fast()
    })
    .await
}

async fn gateway_of(engine: &EngineHandle, further: &str) -> GatewayProcess {
    let url = engine.url();
    let config = format!(
        "access_log: {{path: '-'}}\npools: [{{name: main, upstreams: ['{url}'], \
         scrape: {{interval_ms: 50}}{further}}}]\n"
    );
    let gateway = Start::with_config(&config).run().await;
    // The device's size is that of the first metrics page.
    gateway
        .until_endpoints(|rows| rows[0]["scraped"]["capacity_tokens"].is_u64())
        .await;
    gateway
}

/// Sends prompts like no others, one after the other.
async fn ask_all(gateway: &GatewayProcess, prompts: usize) {
    for number in 0..prompts {
        let word = format!("p{number} ");
        let text = word.repeat(PROMPT_BYTES / word.len());
        let body = json!({"model": "sim", "prompt": text, "max_tokens": 1});
        let request = post("/v1/completions", &[], body.to_string());
        let answer = http_client::send(gateway.listen, request).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        // The client has its answer a moment before the gateway has learnt from it.
        gateway.assert_settled().await;
    }
}

fn size(page: &Page, tier: &str) -> f64 {
    page.sum("warmgate_endpoint_cache_tokens", &[("tier", tier)])
}

/// Tokens predicted and cached so far.
async fn tokens_once_counted(gateway: &GatewayProcess, requests: usize) -> (f64, f64) {
    let all = |page: &Page| page.sum("warmgate_requests_total", &[]) == requests as f64;
    let page = gateway.until_metrics(all).await;
    (
        page.sum("warmgate_prefix_predicted_tokens_total", &[]),
        page.sum("warmgate_cached_tokens_total", &[]),
    )
}

#[tokio::test]
async fn a_tier_that_nobody_declared_is_learned() {
    let engine = tiered().await;
    let gateway = gateway_of(&engine, "").await;
    let before = gateway.metrics().await;
    // Until it has shown what it holds, a tier as large as its device is taken to be there.
    let believed = size(&before, "all") / size(&before, "device");
    assert!((believed - 2.0).abs() < 0.01, "{believed}");
    let unknown = [("source", "unknown")];
    assert_eq!(before.sum("warmgate_feedback_endpoints", &unknown), 1.0);
    for _ in 0..ROUNDS {
        ask_all(&gateway, PROMPTS).await;
    }
    let page = gateway.metrics().await;
    assert!(size(&page, "all") > 2.5 * size(&page, "device"), "{page}");
    let answers = [("source", "answers")];
    assert_eq!(page.sum("warmgate_feedback_endpoints", &answers), 1.0);

    let (predicted, cached) = tokens_once_counted(&gateway, ROUNDS * PROMPTS).await;
    ask_all(&gateway, PROMPTS).await;
    let later = tokens_once_counted(&gateway, (ROUNDS + 1) * PROMPTS).await;
    let (predicted, cached) = (later.0 - predicted, later.1 - cached);
    assert!(cached > DEVICE_TOKENS as f64, "{cached}");
    assert!(
        (predicted - cached).abs() < ESTIMATE_ERROR * cached,
        "{predicted} {cached}"
    );
    let row = &gateway.endpoints().await[0]["cache"];
    assert_eq!(row["feedback"], "answers");
    assert!(row["all_tokens"].as_f64() > row["device_tokens"].as_f64());
    let log = gateway.stdout();
    assert!(
        log.contains("\"predicted_tokens\":") && log.contains("\"cached_tokens\":"),
        "{log}"
    );
}

#[tokio::test]
async fn without_feedback_the_error_is_measured_and_nothing_learned() {
    let engine = tiered().await;
    let gateway = gateway_of(&engine, ", feedback: false").await;
    for _ in 0..ROUNDS {
        ask_all(&gateway, PROMPTS).await;
    }
    tokens_once_counted(&gateway, ROUNDS * PROMPTS).await;
    let page = gateway.metrics().await;
    assert_eq!(size(&page, "all"), size(&page, "device"));
    let off = [("source", "off")];
    assert_eq!(page.sum("warmgate_feedback_endpoints", &off), 1.0);
    let under = [("direction", "under")];
    let missed = page.sum("warmgate_prefix_prediction_error_tokens_total", &under);
    assert!(missed > DEVICE_TOKENS as f64, "{page}");
    reset(&engine).await;
    ask_all(&gateway, PROMPTS).await;
    let page = gateway.metrics().await;
    assert_eq!(page.sum("warmgate_prefix_cache_lost_total", &[]), 0.0);
}

/// As an operator does behind the gateway's back.
async fn reset(engine: &EngineHandle) {
    let request = post("/reset_prefix_cache?reset_external=true", &[], "");
    let answer = http_client::send(engine.addr(), request).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn a_cache_that_is_lost_raises_an_alarm_and_is_believed_no_longer() {
    const FEW: usize = 8;
    let engine = engine_like(fast()).await;
    let gateway = gateway_of(&engine, "").await;
    for _ in 0..ROUNDS {
        ask_all(&gateway, FEW).await;
    }
    let page = gateway.metrics().await;
    assert_eq!(page.sum("warmgate_prefix_cache_lost_total", &[]), 0.0);
    assert!(gateway.endpoints().await[0]["cache"]["lost_at"].is_null());

    reset(&engine).await;
    ask_all(&gateway, FEW).await;
    let page = gateway.metrics().await;
    assert_eq!(page.sum("warmgate_prefix_cache_lost_total", &[]), 1.0);
    let said = gateway.stderr();
    let line = said.lines().find(|line| line.contains("no cache hits"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let endpoint = engine.addr().to_string();
    for part in [&endpoint, "WARN", "predicted_tokens", "was reset"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let row = &gateway.endpoints().await[0]["cache"];
    assert_eq!(row["lost"], 1);
    assert!(row["lost_at"].is_string(), "{row}");

    let (predicted, cached) = tokens_once_counted(&gateway, (ROUNDS + 1) * FEW).await;
    ask_all(&gateway, FEW).await;
    let later = tokens_once_counted(&gateway, (ROUNDS + 2) * FEW).await;
    let (predicted, cached) = (later.0 - predicted, later.1 - cached);
    assert!(cached > 0.0);
    assert!(
        (predicted - cached).abs() < ESTIMATE_ERROR * cached,
        "{predicted} {cached}"
    );
    let page = gateway.metrics().await;
    assert_eq!(page.sum("warmgate_prefix_cache_lost_total", &[]), 1.0);
}
