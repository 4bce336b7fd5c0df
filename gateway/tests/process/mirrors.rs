//! Copies of requests for a mirror: they reach it, and whatever it does, no client notices.

use http::StatusCode;
use serde_json::Value;
use warmgate_loadtest::engine::{EngineConfig, EngineHandle, FaultKind};

use crate::broken_engine::{self, Then};
use crate::engines::{engine, engine_like, engines, fail_always, fast, received, urls};
use crate::gateway_process::{GatewayProcess, Page, Start, free_address};
use crate::http_client::{self, Answer, chat, chat_body, post};

const EVENTS: &str = "data: {\"id\":\"c\",\"model\":\"sim\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n\
    data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3}}\n\n\
    data: [DONE]\n\n";

/// All requests for `sim` go to `main`, and a copy of each to `mirror` as `sim-next`.
fn config(main: &[String], mirror: &[String], further: &str) -> String {
    format!(
        "pools: [{{name: main, upstreams: {main:?}}}, {{name: shadow, upstreams: {mirror:?}}}]\n\
         routes: [{{model: sim, targets: [{{pool: main}}], \
         mirror: {{pool: shadow, model: sim-next, percent: 100}}}}]\n{further}\n"
    )
}

async fn mirror_engine() -> EngineHandle {
    engine_like(EngineConfig {
        models: vec!["sim-next".to_owned()],
        ..fast()
    })
    .await
}

fn mirrored(page: &Page, outcome: &str) -> f64 {
    page.sum("warmgate_mirror_requests_total", &[("outcome", outcome)])
}

async fn send(gateway: &GatewayProcess, is_stream: bool) -> Answer {
    let request = chat("hello", 3, is_stream);
    http_client::send(gateway.listen, request).await.unwrap()
}

/// The only requests, tokens and retries that are counted are the clients'.
fn assert_clients_only(page: &Page, requests: f64) {
    for name in [
        "warmgate_requests_total",
        "warmgate_target_requests_total",
        "warmgate_request_duration_seconds_count",
    ] {
        assert_eq!(page.sum(name, &[]), requests, "{name}\n{page}");
    }
    for name in [
        "warmgate_requests_total",
        "warmgate_prompt_tokens_total",
        "warmgate_completion_tokens_total",
        "warmgate_matched_tokens_total",
        "warmgate_time_to_first_token_seconds_count",
        "warmgate_stream_errors_total",
        "warmgate_retries_total",
        "warmgate_endpoint_failures_total",
        "warmgate_ejections_total",
        "warmgate_client_aborts_total",
    ] {
        assert_eq!(page.sum(name, &[("pool", "shadow")]), 0.0, "{name}\n{page}");
    }
}

#[tokio::test]
async fn a_copy_comes_under_the_mirrors_name_and_marked_and_is_counted_apart() {
    let (main, mirror) = (engine().await, mirror_engine().await);
    let gateway = Start::with_config(&config(&[main.url()], &[mirror.url()], ""))
        .run()
        .await;
    for is_stream in [false, true] {
        let body = chat_body("hello", 3, is_stream);
        let headers = [("x-request-id", "one"), ("authorization", "Bearer key")];
        let request = post("/v1/chat/completions?x=1", &headers, body.clone());
        let answer = http_client::send(gateway.listen, request).await.unwrap();
        assert_eq!(answer.endpoint(), main.addr().to_string());
        assert_eq!(answer.header("x-warmgate-target"), "main");
        let copies = f64::from(u8::from(is_stream)) + 1.0;
        gateway
            .until_metrics(|page| mirrored(page, "ok") == copies)
            .await;
        let (original, copy) = (main.last_request().unwrap(), mirror.last_request().unwrap());
        assert_eq!(original.body, body);
        assert!(!original.headers.contains_key("x-warmgate-mirror"));
        assert_eq!(copy.headers["x-warmgate-mirror"], "1");
        assert_eq!(copy.headers["x-request-id"], "one");
        assert_eq!(copy.headers["authorization"], "Bearer key");
        assert_eq!(copy.path, original.path);
        let renamed = body.replace("\"sim\"", "\"sim-next\"");
        let json = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
        assert_eq!(json(&copy.body), json(renamed.as_bytes()));
    }
    let page = gateway.metrics().await;
    assert_clients_only(&page, 2.0);
    // A stream that is asked for no usage tells none.
    assert_eq!(page.sum("warmgate_completion_tokens_total", &[]), 3.0);
    let took = page.sum("warmgate_mirror_duration_seconds_count", &[]);
    assert_eq!(took, 2.0);
    assert_eq!(mirror.state().generation_tokens_total, 6);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn whatever_the_mirror_does_the_client_gets_every_byte() {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
        EVENTS.len()
    );
    let main = broken_engine::serve(&(head + EVENTS), Then::Wait).await;
    let main = [format!("http://{main}")];
    let sick = |kind| async move {
        let engine = mirror_engine().await;
        fail_always(&engine, kind);
        engine
    };
    for (kind, outcome) in [
        (FaultKind::Status { code: 500 }, "error"),
        (FaultKind::Status { code: 429 }, "error"),
        (FaultKind::Reset, "error"),
        (FaultKind::MidStreamError { after_tokens: 1 }, "error"),
        (FaultKind::MidStreamReset { after_tokens: 1 }, "error"),
        (FaultKind::Hang, "timeout"),
    ] {
        let mirror = sick(kind).await;
        // That main engine answers once on each connection.
        let limits = "forward: {keepalive_s: 0, first_byte_timeout_s: 1}";
        let gateway = Start::with_config(&config(&main, &[mirror.url()], limits))
            .without_awaiting_endpoints()
            .run()
            .await;
        // More than it takes to eject an endpoint by clients' requests.
        for _ in 0..5 {
            let answer = send(&gateway, true).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(answer.is_complete);
            assert_eq!(answer.text(), EVENTS, "{kind:?}");
        }
        let all = |page: &Page| mirrored(page, outcome) == 5.0;
        assert_clients_only(&gateway.until_metrics(all).await, 5.0);
        gateway.assert_settled().await;
    }
    let nowhere = [format!("http://{}", free_address())];
    let gateway = Start::with_config(&config(&main, &nowhere, "forward: {keepalive_s: 0}"))
        .without_awaiting_endpoints()
        .run()
        .await;
    assert_eq!(send(&gateway, true).await.text(), EVENTS);
    let failed = |page: &Page| mirrored(page, "error") == 1.0;
    gateway.until_metrics(failed).await;
    gateway.assert_settled().await;
}

#[tokio::test]
async fn as_many_copies_as_the_limit_are_under_way_and_further_ones_are_dropped() {
    let (main, mirror) = (engine().await, mirror_engine().await);
    fail_always(&mirror, FaultKind::Hang);
    let limit = "forward: {mirrored_requests: 2, first_byte_timeout_s: 1}";
    let gateway = Start::with_config(&config(&[main.url()], &[mirror.url()], limit))
        .run()
        .await;
    for dropped in [0.0, 0.0, 1.0] {
        assert_eq!(send(&gateway, false).await.status, StatusCode::OK);
        let page = gateway.metrics().await;
        assert_eq!(mirrored(&page, "dropped"), dropped, "{page}");
    }
    let timed_out = |page: &Page| mirrored(page, "timeout") == 2.0;
    gateway.until_metrics(timed_out).await;
    assert_eq!(received(std::slice::from_ref(&mirror)), 2);
    mirror.clear_faults();
    send(&gateway, false).await;
    let page = gateway
        .until_metrics(|page| mirrored(page, "ok") == 1.0)
        .await;
    assert_eq!(mirrored(&page, "dropped"), 1.0, "there is room again");
    gateway.assert_settled().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_copies() {
    let (main, mirror) = (engine().await, mirror_engine().await);
    fail_always(&mirror, FaultKind::Hang);
    let mut gateway = Start::with_config(&config(&[main.url()], &[mirror.url()], ""))
        .run()
        .await;
    assert_eq!(send(&gateway, false).await.status, StatusCode::OK);
    mirror.wait_until(|state| state.open == 1).await;
    gateway.terminate();
    assert_eq!(gateway.until_exit().await.code(), Some(0));
    assert!(!gateway.stderr().contains("the limit has passed"));
    mirror.wait_until(|state| state.open == 0).await;
}

#[tokio::test]
async fn what_is_unread_or_refused_or_a_copy_already_is_not_copied() {
    let (main, mirror) = (engine().await, mirror_engine().await);
    let gateway = Start::with_config(&config(&[main.url()], &[mirror.url()], ""))
        .run()
        .await;
    let passed = http_client::get(gateway.listen, "/version").await.unwrap();
    assert_eq!(passed.status, StatusCode::OK);
    let chat = "/v1/chat/completions";
    let body = chat_body("hello", 1, false);
    for (path, headers, body, status) in [
        ("/tokenize", &[][..], body.clone(), None),
        (chat, &[], "{".to_owned(), Some(StatusCode::BAD_REQUEST)),
        (
            chat,
            &[("x-warmgate-mirror", "1")],
            body,
            Some(StatusCode::OK),
        ),
    ] {
        let request = post(path, headers, body);
        let answer = http_client::send(gateway.listen, request).await.unwrap();
        assert!(
            status.is_none_or(|status| answer.status == status),
            "{path}"
        );
    }
    let original = main.last_request().unwrap();
    assert!(!original.headers.contains_key("x-warmgate-mirror"));
    // Copies are begun in order, so that this one would have come after the others'.
    send(&gateway, false).await;
    gateway
        .until_metrics(|page| mirrored(page, "ok") == 1.0)
        .await;
    assert_eq!(mirror.state().received_total, 1);
}

#[tokio::test]
async fn copies_go_where_the_mirror_has_computed_their_prompts() {
    let main = engine().await;
    let mirrors: [EngineHandle; 2] = engines().await;
    let config = config(&[main.url()], &urls(&mirrors), "").replace("model: sim-next, ", "");
    let gateway = Start::with_config(&config).run().await;
    let long = "a prompt of some blocks ".repeat(200);
    for copies in 1..=4 {
        let request = chat(&long, 1, false);
        http_client::send(gateway.listen, request).await.unwrap();
        let ended = |page: &Page| mirrored(page, "ok") == f64::from(copies);
        gateway.until_metrics(ended).await;
    }
    let mut each = mirrors.map(|engine| {
        let state = engine.state();
        (state.received_total, state.prefix_hits_tokens_total > 0)
    });
    each.sort_unstable();
    assert_eq!(each, [(0, false), (4, true)]);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn the_example() {
    let serving = |model: &str| EngineConfig {
        models: vec![model.to_owned()],
        ..fast()
    };
    let stable = engine_like(serving("meta-llama/Llama-3.1-8B-Instruct")).await;
    let next = engine_like(serving("meta-llama/Llama-3.3-8B-Instruct")).await;
    let config = include_str!("../../../deploy/examples/mirror.yaml")
        .replace(r#", "http://10.0.0.8:8000""#, "")
        .replace("http://10.0.0.7:8000", &stable.url())
        .replace("http://10.0.0.9:8000", &next.url())
        .replace("percent: 5", "percent: 100");
    let gateway = Start::with_config(&config).run().await;
    let body = chat_body("hello", 1, false).replace("\"sim\"", "\"chat\"");
    let request = post("/v1/chat/completions", &[], body);
    let answer = http_client::send(gateway.listen, request).await.unwrap();
    assert_eq!(answer.json()["model"], "chat");
    let copied = |page: &Page| mirrored(page, "ok") == 1.0;
    gateway.until_metrics(copied).await;
    let copy = next.last_request().unwrap();
    let copy: Value = serde_json::from_slice(&copy.body).unwrap();
    assert_eq!(copy["model"], "meta-llama/Llama-3.3-8B-Instruct");
}
