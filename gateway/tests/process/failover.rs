//! Engines that are gone, fail or refuse: another one answers, and what it costs is bounded.

use std::sync::Arc;

use http::StatusCode;
use tokio::task::JoinSet;
use warmgate_loadtest::engine::{EngineConfig, EngineHandle, FaultKind, serve};

use crate::engines::{engine, engine_like, engines, fail_always, fast, received, urls};
use crate::gateway_process::{GatewayProcess, Page, Start, free_address};
use crate::http_client::{self, ask, chat, chat_body, post};

/// Requests of a test that wants each endpoint to be met.
const ROUND: usize = 6;

async fn health(gateway: &GatewayProcess, address: &str) -> String {
    let endpoints = gateway.endpoints().await;
    let row = endpoints.iter().find(|row| row["address"] == address);
    row.unwrap()["health"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn no_request_fails_that_had_not_begun_when_its_engine_died() {
    const CLIENTS: usize = 30;
    const REQUESTS: usize = 10;
    let config = EngineConfig {
        speed: 5.0,
        ..EngineConfig::default()
    };
    let [dying, staying] = [engine_like(config.clone()).await, engine_like(config).await];
    let gateway = Start::in_front_of([&dying, &staying]).run().await;
    let to = gateway.listen;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(async move {
            let mut answers = Vec::new();
            for request in 0..REQUESTS {
                let prompt = format!("client {client} request {request}");
                let is_stream = request % 2 == 0;
                let answer = http_client::send(to, chat(&prompt, 20, is_stream)).await;
                answers.push((is_stream, answer.unwrap()));
            }
            answers
        });
    }
    dying
        .wait_until(|state| state.finished_total > 20 && state.running > 2)
        .await;
    dying.shutdown().await;

    let mut broken_off = 0;
    while let Some(answers) = clients.join_next().await {
        for (is_stream, answer) in answers.unwrap() {
            let text = answer.text();
            assert_eq!(answer.status, StatusCode::OK, "{text}");
            assert!(answer.is_complete);
            if !is_stream {
                assert_eq!(answer.json()["usage"]["completion_tokens"], 20);
            } else if !text.ends_with("data: [DONE]\n\n") {
                // It had begun, and its client was told.
                assert!(text.starts_with("data: {\"id\""), "{text}");
                assert!(text.contains("endpoint_broken"), "{text}");
                broken_off += 1;
            }
        }
    }
    let counted =
        |page: &Page| page.sum("warmgate_stream_errors_total", &[]) == f64::from(broken_off);
    let page = gateway.until_metrics(counted).await;
    assert!(page.sum("warmgate_retries_total", &[]) > 0.0);
    assert!(page.sum("warmgate_ejections_total", &[]) >= 1.0);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn an_engine_that_is_gone_is_passed_over_and_comes_back_on_its_port() {
    let [going, staying] = engines().await;
    let address = going.addr();
    let gateway = Start::taking_turns(&[going.url(), staying.url()], "")
        .run()
        .await;
    for _ in 0..ROUND {
        assert_eq!(ask(gateway.listen).await.status, StatusCode::OK);
    }
    going.shutdown().await;
    for _ in 0..ROUND {
        let passed = http_client::get(gateway.listen, "/version").await.unwrap();
        assert_eq!(passed.status, StatusCode::OK, "{}", passed.text());
        let answer = ask(gateway.listen).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.endpoint(), staying.addr().to_string());
    }
    let page = gateway.metrics().await;
    let connect = [("cause", "connect")];
    let failures = page.sum("warmgate_endpoint_failures_total", &connect);
    assert!(failures >= 1.0, "{page}");
    assert!(page.sum("warmgate_ejections_total", &[]) >= 1.0);
    assert_ne!(health(&gateway, &address.to_string()).await, "healthy");

    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let returned = serve(fast(), listener).unwrap();
    let is_back = |rows: &[serde_json::Value]| rows.iter().all(|row| row["health"] == "healthy");
    gateway.until_endpoints(is_back).await;
    for _ in 0..ROUND {
        assert_eq!(ask(gateway.listen).await.status, StatusCode::OK);
    }
    assert!(returned.state().received_total > 0);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn what_an_engine_cannot_do_now_another_does() {
    for (kind, reason) in [
        (FaultKind::Reset, "broken"),
        (FaultKind::Status { code: 502 }, "answer"),
        (FaultKind::Status { code: 503 }, "answer"),
        (FaultKind::Status { code: 504 }, "answer"),
        (FaultKind::Status { code: 429 }, "overloaded"),
    ] {
        let [sick, sound] = engines().await;
        fail_always(&sick, kind);
        let gateway = Start::taking_turns(&[sick.url(), sound.url()], "")
            .run()
            .await;
        for _ in 0..ROUND {
            let answer = ask(gateway.listen).await;
            assert_eq!(answer.status, StatusCode::OK, "{kind:?} {}", answer.text());
            assert_eq!(answer.endpoint(), sound.addr().to_string());
        }
        let page = gateway.metrics().await;
        let retries = page.sum("warmgate_retries_total", &[("reason", reason)]);
        assert!(retries >= 2.0, "{kind:?} {page}");
        assert_eq!(retries, page.sum("warmgate_retries_total", &[]));
        // Being busy is no failure.
        let failures = page.sum("warmgate_endpoint_failures_total", &[]);
        assert_eq!(failures > 0.0, reason != "overloaded", "{kind:?} {page}");
        gateway.assert_settled().await;
    }
}

#[tokio::test]
async fn the_last_refusal_is_the_answer_and_attempts_are_limited() {
    let cases = [
        // Default: two more than the first.
        (3, "", 3),
        (5, "", 3),
        (1, "", 1),
        (3, "forward: {retries: 0}", 1),
        (5, "forward: {retries: 10}", 5),
    ];
    for code in [429, 503] {
        for (count, config, attempts) in cases {
            let mut all = Vec::new();
            for _ in 0..count {
                let engine = engine().await;
                fail_always(&engine, FaultKind::Status { code });
                all.push(engine);
            }
            let gateway = Start::taking_turns(&urls(&all), config).run().await;
            let answer = ask(gateway.listen).await;
            assert_eq!(answer.status, code);
            assert!(!answer.endpoint().is_empty(), "an engine's own words");
            assert_eq!(received(&all), attempts, "{count} endpoints {config}");
            let direct = http_client::send(all[0].addr(), chat("hello", 3, false))
                .await
                .unwrap();
            assert_eq!(answer.body, direct.body);
            let page = gateway.metrics().await;
            assert_eq!(
                page.sum("warmgate_retries_total", &[]),
                (attempts - 1) as f64
            );
            gateway.assert_settled().await;
        }
    }
}

#[tokio::test]
async fn an_error_that_another_engine_would_make_too_is_not_tried_again() {
    for code in [400, 404, 500, 501] {
        let all: [EngineHandle; 2] = engines().await;
        for engine in &all {
            fail_always(engine, FaultKind::Status { code });
        }
        let gateway = Start::taking_turns(&urls(&all), "").run().await;
        assert_eq!(ask(gateway.listen).await.status, code);
        assert_eq!(received(&all), 1, "{code}");
    }
}

#[tokio::test]
async fn nobody_there_at_all_is_said_in_the_shape_of_the_api() {
    let nowhere = || format!("http://{}", free_address());
    let gateway = Start::taking_turns(&[nowhere(), nowhere()], "")
        .without_awaiting_endpoints()
        .run()
        .await;
    let answer = ask(gateway.listen).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.json()["error"]["code"], "endpoint_unreachable");
    let connect = [("reason", "connect")];
    let page = gateway.metrics().await;
    assert_eq!(page.sum("warmgate_retries_total", &connect), 1.0, "{page}");
    let request = post("/v1/messages", &[], chat_body("hello", 1, false));
    let answer = http_client::send(gateway.listen, request).await.unwrap();
    assert_eq!(answer.json()["error"]["type"], "api_error");
    let passed = http_client::get(gateway.listen, "/version").await.unwrap();
    assert_eq!(passed.status, StatusCode::BAD_GATEWAY);
    assert_eq!(passed.json()["error"]["code"], "endpoint_unreachable");
    let ready = http_client::get(gateway.admin, "/ready").await.unwrap();
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn an_endpoint_that_keeps_failing_is_ejected_and_tried_again() {
    let [sick, sound] = engines().await;
    fail_always(&sick, FaultKind::Status { code: 503 });
    let gateway = Start::taking_turns(&[sick.url(), sound.url()], "")
        .run()
        .await;
    let address = sick.addr().to_string();
    while health(&gateway, &address).await != "ejected" {
        assert_eq!(ask(gateway.listen).await.status, StatusCode::OK);
    }
    assert_eq!(sick.state().received_total, 3);
    let page = gateway.metrics().await;
    assert_eq!(
        page.sum("warmgate_ejections_total", &[("pool", "main")]),
        1.0
    );
    assert_eq!(
        page.sum("warmgate_endpoint_usable", &[("endpoint", &address)]),
        0.0
    );

    sick.clear_faults();
    while health(&gateway, &address).await != "healthy" {
        assert_eq!(ask(gateway.listen).await.status, StatusCode::OK);
    }
    assert!(sick.state().finished_total > 0);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn where_all_are_ejected_one_is_tried_all_the_same() {
    let engine = engine().await;
    fail_always(&engine, FaultKind::Reset);
    let gateway = Start::taking_turns(&[engine.url()], "").run().await;
    let address = engine.addr().to_string();
    while health(&gateway, &address).await != "ejected" {
        let answer = ask(gateway.listen).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        assert_eq!(answer.json()["error"]["code"], "endpoint_broken");
    }
    engine.clear_faults();
    assert_eq!(ask(gateway.listen).await.status, StatusCode::OK);
    let degraded = [("kind", "all_ejected")];
    let page = gateway.metrics().await;
    assert!(
        page.sum("warmgate_degraded_total", &degraded) >= 1.0,
        "{page}"
    );
    assert_eq!(health(&gateway, &address).await, "healthy");
}

#[tokio::test]
async fn connections_that_an_engine_has_closed_meanwhile_fail_no_request() {
    let engine = engine().await;
    let address = engine.addr();
    let gateway = Arc::new(Start::taking_turns(&[engine.url()], "").run().await);
    // Leaves kept connections behind.
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let gateway = Arc::clone(&gateway);
        clients.spawn(async move { ask(gateway.listen).await.status });
    }
    while let Some(status) = clients.join_next().await {
        assert_eq!(status.unwrap(), StatusCode::OK);
    }
    engine.shutdown().await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let _restarted = serve(fast(), listener).unwrap();
    for _ in 0..ROUND {
        let answer = ask(gateway.listen).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let page = gateway.metrics().await;
    assert_eq!(
        page.sum("warmgate_endpoint_failures_total", &[]),
        0.0,
        "{page}"
    );
}
