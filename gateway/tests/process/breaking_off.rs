//! Answers that break off, end with an error, fall silent, or never begin.

use http::StatusCode;
use warmgate_loadtest::engine::{EngineHandle, Fault, FaultKind};

use crate::broken_engine::{self, Then};
use crate::engines::{engine, engine_like, engines, fail_always, received, slow, urls};
use crate::gateway_process::{Page, Start};
use crate::http_client::{self, ask, chat, chat_body, post};

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_an_error_event_and_is_not_sent_again() {
    // So slow that what was sent is read before the reset overtakes it.
    let all = [engine_like(slow()).await, engine_like(slow()).await];
    let kind = FaultKind::MidStreamReset { after_tokens: 3 };
    for engine in &all {
        fail_always(engine, kind);
    }
    let gateway = Start::taking_turns(&urls(&all), "").run().await;
    let answer = http_client::send(gateway.listen, chat("hello", 9, true))
        .await
        .unwrap();
    let text = answer.text();
    assert_eq!(answer.status, StatusCode::OK);
    let events: Vec<_> = text
        .split("\n\n")
        .filter(|event| !event.trim().is_empty())
        .collect();
    let (last, tokens) = events.split_last().unwrap();
    assert!(
        tokens.len() >= 3
            && tokens
                .iter()
                .all(|event| event.starts_with("data: {\"id\""))
    );
    let error: serde_json::Value =
        serde_json::from_str(last.trim().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "endpoint_broken");
    assert!(!text.contains("[DONE]"), "{text}");
    assert_eq!(received(&all), 1);

    let body = chat_body("hello", 9, true);
    let answer = http_client::send(gateway.listen, post("/v1/messages", &[], body))
        .await
        .unwrap();
    assert!(
        answer
            .text()
            .contains("\n\nevent: error\ndata: {\"type\":\"error\""),
        "{}",
        answer.text()
    );

    let both = |page: &Page| page.sum("warmgate_stream_errors_total", &[("pool", "main")]) == 2.0;
    let page = gateway.until_metrics(both).await;
    assert_eq!(page.sum("warmgate_retries_total", &[]), 0.0);
    assert_eq!(
        page.sum("warmgate_endpoint_failures_total", &[("cause", "answer")]),
        2.0,
        "{page}"
    );
    gateway.assert_settled().await;
}

#[tokio::test]
async fn an_error_inside_a_stream_is_passed_on_and_counted() {
    let engine = engine().await;
    let kind = FaultKind::MidStreamError { after_tokens: 2 };
    engine.inject(Fault { kind, count: 1 }).unwrap();
    let gateway = Start::in_front_of([&engine]).run().await;
    let answer = http_client::send(gateway.listen, chat("hello", 9, true))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.is_complete);
    assert!(
        answer
            .text()
            .contains("data: {\"error\": {\"message\": \"EngineCore")
    );
    assert_eq!(
        answer.text().matches("\"error\"").count(),
        1,
        "{}",
        answer.text()
    );
    let counted = |page: &Page| page.sum("warmgate_stream_errors_total", &[]) == 1.0;
    let page = gateway.until_metrics(counted).await;
    assert_eq!(
        page.sum("warmgate_endpoint_failures_total", &[("cause", "answer")]),
        1.0
    );
    gateway.assert_settled().await;
}

#[tokio::test]
async fn a_whole_answer_that_breaks_off_cannot_be_taken_for_complete() {
    let heads = [
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"a\":1}",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n",
    ];
    for head in heads {
        let address = broken_engine::serve(head, Then::Close).await;
        let gateway = Start::taking_turns(&[format!("http://{address}")], "")
            .without_awaiting_endpoints()
            .run()
            .await;
        let answer = ask(gateway.listen).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.is_complete, "{head}");

        let stream = tokio::net::TcpStream::connect(gateway.listen)
            .await
            .unwrap();
        let mut request = chat("hello", 3, false);
        *request.uri_mut() = "http://gateway/v1/chat/completions".parse().unwrap();
        *request.version_mut() = http::Version::HTTP_2;
        let answer = http_client::open_http2(stream, request)
            .await
            .unwrap()
            .finish()
            .await;
        assert!(!answer.is_complete, "{head}");

        let both = |page: &Page| page.sum("warmgate_stream_errors_total", &[]) == 2.0;
        gateway.until_metrics(both).await;
        gateway.assert_settled().await;
    }
}

#[tokio::test]
async fn a_header_without_a_body_is_no_beginning() {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let sound = engine().await;
    for then in [Then::Close, Then::Wait] {
        let address = broken_engine::serve(head, then).await;
        let urls = [format!("http://{address}"), sound.url()];
        let gateway = Start::taking_turns(&urls, "forward: {first_byte_timeout_s: 1}")
            .without_awaiting_endpoints()
            .run()
            .await;
        let mut statuses = Vec::new();
        for _ in 0..2 {
            let answer = http_client::send(gateway.listen, chat("hello", 3, true)).await;
            statuses.push(answer.unwrap().status);
        }
        statuses.sort();
        match then {
            // Another one computes it, as nothing was passed on.
            Then::Close | Then::CloseOnUnread => assert_eq!(statuses, [StatusCode::OK; 2]),
            // This one may still be computing.
            Then::Wait => assert_eq!(statuses, [StatusCode::OK, StatusCode::GATEWAY_TIMEOUT]),
        }
        gateway.assert_settled().await;
    }
}

#[tokio::test]
async fn an_engine_that_never_answers_is_given_up_and_no_other_is_asked() {
    let all: [EngineHandle; 2] = engines().await;
    for engine in &all {
        fail_always(engine, FaultKind::Hang);
    }
    let limit = "forward: {first_byte_timeout_s: 1}";
    let gateway = Start::taking_turns(&urls(&all), limit).run().await;
    let answer = ask(gateway.listen).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer.json()["error"]["code"], "endpoint_timeout");
    assert_eq!(received(&all), 1);
    let asked = all
        .iter()
        .find(|engine| engine.state().received_total == 1)
        .unwrap();
    asked
        .wait_until(|state| state.open == 0 && state.aborted_total == 1)
        .await;
    gateway.assert_settled().await;
}

#[tokio::test]
async fn an_engine_that_falls_silent_in_its_answer_is_given_up() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
                d\r\ndata: {\"a\":1}\r\n";
    let address = broken_engine::serve(head, Then::Wait).await;
    let gateway = Start::taking_turns(
        &[format!("http://{address}")],
        "forward: {idle_timeout_s: 1}",
    )
    .without_awaiting_endpoints()
    .run()
    .await;
    let answer = http_client::send(gateway.listen, chat("hello", 3, true))
        .await
        .unwrap();
    assert!(
        answer
            .text()
            .starts_with("data: {\"a\":1}\n\ndata: {\"error\""),
        "{}",
        answer.text()
    );
    gateway.assert_settled().await;
}

#[tokio::test]
async fn a_refusal_before_the_body_was_read_is_heard() {
    let refusal =
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 9\r\nconnection: close\r\n\r\nwho's you";
    let address = broken_engine::serve(refusal, Then::CloseOnUnread).await;
    let gateway = Start::taking_turns(&[format!("http://{address}")], "")
        .without_awaiting_endpoints()
        .run()
        .await;
    let long = chat(&"long ".repeat(1 << 20), 1, false);
    let answer = http_client::send(gateway.listen, long).await.unwrap();
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text());
    assert_eq!(answer.text(), "who's you");
    let page = gateway.metrics().await;
    let broken = [("cause", "broken")];
    assert_eq!(page.sum("warmgate_endpoint_failures_total", &broken), 0.0);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn a_stream_that_begins_with_a_failure_is_computed_by_another_engine() {
    let [sick, sound] = engines().await;
    fail_always(&sick, FaultKind::MidStreamError { after_tokens: 0 });
    let gateway = Start::taking_turns(&[sick.url(), sound.url()], "")
        .run()
        .await;
    for _ in 0..4 {
        let answer = http_client::send(gateway.listen, chat("hello", 3, true)).await;
        let answer = answer.unwrap();
        assert!(!answer.text().contains("error"), "{}", answer.text());
        assert_eq!(answer.endpoint(), sound.addr().to_string());
    }
    let page = gateway.metrics().await;
    let retries = page.sum("warmgate_retries_total", &[("reason", "answer")]);
    assert_eq!(retries, 2.0);

    // Where nobody does better, the engine's own words are the answer.
    fail_always(&sound, FaultKind::MidStreamError { after_tokens: 0 });
    let answer = http_client::send(gateway.listen, chat("hello", 3, true)).await;
    assert!(answer.unwrap().text().contains("EngineCore"));
    gateway.assert_settled().await;
}

#[tokio::test]
async fn an_endpoint_that_breaks_off_all_its_answers_is_ejected() {
    let [sick, sound] = engines().await;
    fail_always(&sick, FaultKind::MidStreamError { after_tokens: 1 });
    let gateway = Start::taking_turns(&[sick.url(), sound.url()], "")
        .run()
        .await;
    for _ in 0..12 {
        let answer = http_client::send(gateway.listen, chat("hello", 3, true)).await;
        assert_eq!(answer.unwrap().status, StatusCode::OK);
    }
    let ejected = |page: &Page| page.sum("warmgate_ejections_total", &[]) >= 1.0;
    let page = gateway.until_metrics(ejected).await;
    let failures = page.sum("warmgate_endpoint_failures_total", &[]);
    assert!(failures >= 3.0, "{page}");
    assert!(sound.state().received_total > sick.state().received_total);
}
