//! Targets whose endpoints are away, refuse or have too much to do, and who takes over.

use http::StatusCode;
use warmgate_loadtest::engine::{EngineConfig, EngineHandle, FaultKind, serve};

use crate::engines::{engine, engine_like, fail_always, fast, received};
use crate::gateway_process::{GatewayProcess, Page, Start, free_address};
use crate::http_client::{self, Answer, ask, chat, chat_body, post};

/// `sim` goes to the pool `first`, else to `second`, which has another name for it.
fn config(first: &str, second: &str, further: &str) -> String {
    format!(
        "pools: [{{name: first, upstreams: ['{first}']}}, {{name: second, upstreams: ['{second}']}}]\n\
         routes: [{{model: sim, targets: [{{pool: first, fallback: second{further}}}, \
         {{pool: second, model: other, weight: 0}}]}}]\n"
    )
}

async fn other_engine() -> EngineHandle {
    engine_like(EngineConfig {
        models: vec!["other".to_owned()],
        ..fast()
    })
    .await
}

fn target(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.json()["model"], "sim");
    answer.header("x-warmgate-target")
}

fn fallbacks(page: &Page) -> f64 {
    page.sum("warmgate_target_fallbacks_total", &[("target", "first")])
}

async fn requests(gateway: &GatewayProcess, of: &str) -> f64 {
    let labels = [("target", of)];
    let page = gateway.metrics().await;
    page.sum("warmgate_target_requests_total", &labels)
}

#[tokio::test]
async fn a_target_that_is_away_is_stood_in_for_from_the_first_request_until_it_is_back() {
    let (address, second) = (free_address(), other_engine().await);
    let first = format!("http://{address}");
    let gateway = Start::with_config(&config(&first, &second.url(), ""))
        .without_awaiting_endpoints()
        .run()
        .await;
    for asked in 1..=5 {
        assert_eq!(target(&ask(gateway.listen).await), "second");
        assert_eq!(fallbacks(&gateway.metrics().await), f64::from(asked));
    }
    let counted =
        |page: &Page| page.sum("warmgate_target_requests_total", &[("target", "second")]) == 5.0;
    gateway.until_metrics(counted).await;
    assert_eq!(requests(&gateway, "first").await, 0.0);
    let routes = http_client::get(gateway.admin, "/routes").await.unwrap();
    assert_eq!(routes.json()[0]["targets"][0]["fallback"], "second");

    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let first = serve(fast(), listener).unwrap();
    while target(&ask(gateway.listen).await) != "first" {}
    assert_eq!(first.state().received_total, 1);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn what_is_refused_goes_on_and_what_is_an_answer_does_not() {
    let (first, second) = (engine().await, other_engine().await);
    let gateway = Start::with_config(&config(&first.url(), &second.url(), ""))
        .run()
        .await;
    for (kind, goes_on) in [
        (FaultKind::Status { code: 429 }, true),
        (FaultKind::Status { code: 503 }, true),
        (FaultKind::Reset, true),
        (FaultKind::MidStreamError { after_tokens: 0 }, true),
        (FaultKind::Status { code: 400 }, false),
        (FaultKind::Status { code: 500 }, false),
    ] {
        first.clear_faults();
        // One success, so that no fault finds the endpoint ejected by the ones before.
        while target(&ask(gateway.listen).await) != "first" {}
        fail_always(&first, kind);
        let (before, page) = (second.state().received_total, gateway.metrics().await);
        let is_stream = matches!(kind, FaultKind::MidStreamError { .. });
        let answer = http_client::send(gateway.listen, chat("hello", 3, is_stream));
        let answer = answer.await.unwrap();
        assert_eq!(answer.status.is_success(), goes_on, "{kind:?}");
        let more = second.state().received_total - before;
        assert_eq!(more, u64::from(goes_on), "{kind:?}");
        let now = gateway.metrics().await;
        assert_eq!(fallbacks(&now) - fallbacks(&page), more as f64, "{kind:?}");
        assert!(!answer.text().contains("EngineCore"), "{}", answer.text());
    }
    gateway.assert_settled().await;
}

#[tokio::test]
async fn where_nobody_does_better_the_last_ones_word_is_the_answer() {
    let (first, second) = (engine().await, other_engine().await);
    fail_always(&first, FaultKind::Status { code: 429 });
    fail_always(&second, FaultKind::Status { code: 503 });
    let gateway = Start::with_config(&config(&first.url(), &second.url(), ""))
        .run()
        .await;
    let answer = ask(gateway.listen).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("x-warmgate-target"), "second");
    let errors = |page: &Page| {
        page.sum(
            "warmgate_target_errors_total",
            &[("target", "second"), ("class", "5xx")],
        ) == 1.0
    };
    gateway.until_metrics(errors).await;
    gateway.assert_settled().await;
}

#[tokio::test]
async fn who_may_still_be_computing_is_not_stood_in_for() {
    let (first, second) = (engine().await, other_engine().await);
    fail_always(&first, FaultKind::Hang);
    let config = config(&first.url(), &second.url(), "") + "forward: {first_byte_timeout_s: 1}\n";
    let gateway = Start::with_config(&config).run().await;
    assert_eq!(
        ask(gateway.listen).await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
    assert_eq!(received(std::slice::from_ref(&second)), 0);
    assert_eq!(fallbacks(&gateway.metrics().await), 0.0);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn what_is_too_much_overflows_until_there_is_room() {
    let (first, second) = (engine().await, other_engine().await);
    fail_always(&first, FaultKind::Hang);
    let config = config(&first.url(), &second.url(), ", saturated_tokens: 100")
        + "forward: {first_byte_timeout_s: 2}\n";
    let gateway = Start::with_config(&config).run().await;
    let long = chat(&"long ".repeat(1_000), 1, false);
    let waiting = tokio::spawn(http_client::send(gateway.listen, long));
    first.wait_until(|state| state.open == 1).await;
    assert_eq!(target(&ask(gateway.listen).await), "second");
    first.clear_faults();
    let waiting = waiting.await.unwrap().unwrap();
    assert_eq!(waiting.status, StatusCode::GATEWAY_TIMEOUT);
    gateway.assert_settled().await;
    assert_eq!(target(&ask(gateway.listen).await), "first");
    assert_eq!(fallbacks(&gateway.metrics().await), 1.0);
}

#[tokio::test]
async fn the_example() {
    let rented = engine_like(EngineConfig {
        models: vec!["meta/llama-3.3-70b-instruct".to_owned()],
        ..fast()
    })
    .await;
    let nowhere = || format!("http://{}", free_address());
    let config = include_str!("../../../deploy/examples/failover.yaml")
        .replace("http://10.0.0.7:8000", &nowhere())
        .replace("http://10.0.0.8:8000", &nowhere())
        .replace("https://rented.example:443", &rented.url());
    let gateway = Start::with_config(&config)
        .without_awaiting_endpoints()
        .run()
        .await;
    let body = chat_body("hello", 1, false).replace("\"sim\"", "\"chat\"");
    let request = post("/v1/chat/completions", &[], body);
    let answer = http_client::send(gateway.listen, request).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.json()["model"], "chat");
    assert_eq!(answer.header("x-warmgate-target"), "rented");
}

#[tokio::test]
async fn a_guard_hears_of_what_a_canary_could_not_take_and_a_pool_behind_it_is_no_canary() {
    let (stable, canary, second) = (engine().await, engine().await, engine().await);
    fail_always(&canary, FaultKind::Status { code: 503 });
    let pool = |name: &str, engine: &EngineHandle| {
        format!("- {{name: {name}, upstreams: ['{}']}}\n", engine.url())
    };
    let config = format!(
        "pools:\n{}{}{}routes:\n- model: sim\n  force_target: true\n  \
         targets: [{{pool: stable}}, {{pool: canary, fallback: second}}]\n  \
         steps: [{{weight: 1, hold_s: 300}}]\n",
        pool("stable", &stable),
        pool("canary", &canary),
        pool("second", &second),
    );
    let gateway = Start::with_config(&config).run().await;
    let headers = [("x-warmgate-target", "canary")];
    let request = post(
        "/v1/chat/completions",
        &headers,
        chat_body("hello", 1, false),
    );
    let answer = http_client::send(gateway.listen, request).await.unwrap();
    assert_eq!(target(&answer), "second");
    let routes = http_client::get(gateway.admin, "/routes").await.unwrap();
    let targets = &routes.json()[0]["targets"];
    assert_eq!(targets[1]["seen"]["errors"], 1, "{targets}");
    assert_eq!(
        (&targets[2]["name"], &targets[2]["weight"]),
        (&"second".into(), &0.into())
    );
    assert!(targets[2]["seen"].is_null());
}
