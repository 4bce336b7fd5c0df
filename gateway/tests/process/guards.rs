//! Canaries under a guard: one that fails, one that is slow under load, one that is fine.

use futures::StreamExt as _;
use http::StatusCode;
use serde_json::{Value, json};
use warmgate_loadtest::engine::{EngineConfig, EngineHandle, Fault, FaultKind};

use crate::engines::{engine, engine_like};
use crate::gateway_process::{GatewayProcess, Page, Start};
use crate::http_client::{self, Answer, chat, post};

const CONCURRENCY: usize = 16;
const CANARY: [(&str, &str); 2] = [("route", "chat"), ("target", "canary")];

fn config(stable: &EngineHandle, canary: &EngineHandle, weights: [u32; 2], keys: &str) -> String {
    format!(
        "pools:\n- {{name: a, upstreams: ['{}']}}\n- {{name: b, upstreams: ['{}']}}\n\
         forward: {{retries: 0}}\n\
         routes:\n- model: '*'\n  name: chat\n  sticky: false\n  {keys}\n  targets:\n  \
         - {{name: stable, pool: a, weight: {}}}\n  - {{name: canary, pool: b, weight: {}}}\n",
        stable.url(),
        canary.url(),
        weights[0],
        weights[1],
    )
}

/// So many requests, several at a time.
async fn load(gateway: &GatewayProcess, requests: usize) -> Vec<Answer> {
    let one = |number: usize| async move {
        let request = chat(&format!("question {number}"), 1, true);
        http_client::send(gateway.listen, request).await.unwrap()
    };
    futures::stream::iter(0..requests)
        .map(one)
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await
}

fn failed(answers: &[Answer]) -> usize {
    let is_bad = |answer: &&Answer| answer.status != StatusCode::OK;
    answers.iter().filter(is_bad).count()
}

async fn routes(gateway: &GatewayProcess) -> Value {
    let answer = http_client::get(gateway.admin, "/routes").await.unwrap();
    answer.json()[0].clone()
}

async fn reset(gateway: &GatewayProcess, path: &str) -> Answer {
    let request = post(path, &[], "");
    http_client::send(gateway.admin, request).await.unwrap()
}

fn tripped(page: &Page) -> bool {
    page.sum("warmgate_target_tripped", &CANARY) == 1.0
}

#[tokio::test]
async fn a_canary_that_starts_to_fail_is_out_and_comes_back_when_it_is_let() {
    let (stable, canary) = (engine().await, engine().await);
    let keys = "guard: {window_s: 60, min_requests: 50, ttft_p95_ratio_max: null}";
    let text = config(&stable, &canary, [50, 50], keys);
    let gateway = Start::with_config(&text).run().await;
    assert_eq!(failed(&load(&gateway, 200).await), 0);
    assert_eq!(routes(&gateway).await["targets"][1]["tripped"], false);

    let count = u32::MAX;
    let kind = FaultKind::Status { code: 500 };
    canary.inject(Fault { kind, count }).unwrap();
    let met = failed(&load(&gateway, 1_000).await);
    // 100 good ones are in the window: the 16th error or so is one too many; what was under way then
    // fails as well.
    assert!((8..=24 + CONCURRENCY).contains(&met), "{met}");
    assert_eq!(failed(&load(&gateway, 200).await), 0, "it is out");

    let page = gateway.until_metrics(tripped).await;
    assert_eq!(page.sum("warmgate_target_weight", &CANARY), 0.0);
    let shown = routes(&gateway).await;
    let shown = &shown["targets"][1];
    assert_eq!(
        (&shown["tripped"], &shown["weight"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(shown["configured_weight"], 50);
    assert_eq!(
        shown["seen"]["trip"]["why"]["what"], "error_rate",
        "{shown}"
    );
    assert!(gateway.stderr().contains("target tripped"));

    canary.clear_faults();
    let path = "/routes/chat/targets/canary/reset";
    assert_eq!(reset(&gateway, path).await.json()["reset"], true);
    assert_eq!(reset(&gateway, path).await.json()["reset"], false);
    let nobody = reset(&gateway, "/routes/chat/targets/nobody/reset").await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND);
    let answers = load(&gateway, 64).await;
    let on_canary = |answer: &&Answer| answer.header("x-warmgate-target") == "canary";
    assert_eq!(failed(&answers), 0);
    assert!(answers.iter().filter(on_canary).count() > 0);
}

#[tokio::test]
async fn a_canary_that_is_slow_is_out() {
    let slow = EngineConfig {
        speed: 0.05,
        ..EngineConfig::default()
    };
    let (stable, canary) = (engine().await, engine_like(slow).await);
    let keys = "guard: {ttft_p95_ratio_max: 3}";
    let text = config(&stable, &canary, [50, 50], keys);
    let gateway = Start::with_config(&text).run().await;
    load(&gateway, 400).await;
    gateway.until_metrics(tripped).await;
    let shown = routes(&gateway).await;
    let why = &shown["targets"][1]["seen"]["trip"]["why"];
    assert_eq!(why["what"], "ttft_p95_ratio", "{shown}");
}

#[tokio::test]
async fn a_fine_canary_takes_its_steps_and_a_restart_forgets_none() {
    let (stable, canary) = (engine().await, engine().await);
    let keys = "guard: {min_requests: 10, ttft_p95_ratio_max: null}\n  \
                steps: [{weight: 20, hold_s: 1}, {weight: 60, hold_s: 1}, {weight: 90, hold_s: 86400}]";
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("guards.json");
    let text = config(&stable, &canary, [100, 0], keys);
    let text = format!("guard_state: {}\n{text}", state.display());
    let gateway = Start::with_config(&text).run().await;
    let mut met = vec![weight(&gateway).await];
    while *met.last().unwrap() < 90.0 {
        load(&gateway, 50).await;
        met.push(weight(&gateway).await);
    }
    met.dedup();
    assert_eq!(met, [20.0, 60.0, 90.0]);
    let written = || {
        let text = std::fs::read_to_string(&state).unwrap_or_default();
        serde_json::from_str::<Value>(&text).unwrap_or_default()
    };
    gateway
        .until(|| written()["chat"]["canaries"]["canary"]["step"] == 2)
        .await;
    drop(gateway);

    let gateway = Start::with_config(&text).run().await;
    assert_eq!(weight(&gateway).await, 90.0);
    let shown = routes(&gateway).await;
    assert_eq!(shown["targets"][1]["step"], 2, "{shown}");
    // Another plan is another rollout.
    gateway.rewrite_config(&text.replace("weight: 20", "weight: 30"));
    let page = |page: &Page| page.sum("warmgate_target_weight", &CANARY) == 30.0;
    gateway.until_metrics(page).await;
}

async fn weight(gateway: &GatewayProcess) -> f64 {
    let page = gateway.metrics().await;
    page.sum("warmgate_target_weight", &CANARY)
}
