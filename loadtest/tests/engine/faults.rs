//! The engine as a witness: aborts reach it, faults happen as planned, requests are shown as
//! they arrived, and stopping it looks like a crash.

use super::http_client::{client, exchange, get, post, post_bytes};
use super::start::{engine, fast};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use warmgate_loadtest::engine::{EngineConfig, EngineHandle};
use xxhash_rust::xxh3::xxh3_64;

const PATH: &str = "/v1/completions";

/// A million times slower than real: an answer never ends by itself within a test.
fn frozen() -> EngineConfig {
    EngineConfig {
        speed: 1e-6,
        ..EngineConfig::default()
    }
}

fn request(engine: &EngineHandle, body: &Value) -> Request<Full<Bytes>> {
    post(&engine.url(), PATH, body)
}

#[tokio::test]
async fn a_client_that_leaves_aborts_its_work() {
    for stream in [false, true] {
        let engine = engine(frozen()).await;
        let body = json!({"prompt": "long", "max_tokens": 1000, "stream": stream});
        let call = tokio::spawn({
            let (client, request) = (client(), request(&engine, &body));
            async move { exchange(&client, request).await }
        });
        engine.wait_until(|state| state.running == 1).await;
        call.abort();
        let state = engine.wait_until(|state| state.aborted_total == 1).await;
        assert_eq!((state.running, state.waiting), (0, 0));
        let state = engine.wait_until(|state| state.open == 0).await;
        assert_eq!(
            (state.received_total, state.finished_total),
            (1, 0),
            "stream {stream}"
        );
    }
}

#[tokio::test]
async fn waiting_requests_can_be_aborted_too() {
    let engine = engine(EngineConfig {
        max_seqs: 1,
        ..frozen()
    })
    .await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        let request = request(&engine, &json!({"prompt": "long", "max_tokens": 9}));
        let client = client();
        calls.push(tokio::spawn(
            async move { exchange(&client, request).await },
        ));
    }
    engine
        .wait_until(|state| (state.running, state.waiting) == (1, 2))
        .await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    let state = engine.wait_until(|state| state.aborted_total == 3).await;
    assert_eq!((state.running, state.waiting), (0, 0));
}

#[tokio::test]
async fn planned_faults_happen_in_order() {
    let (engine, client) = (engine(fast()).await, client());
    for fault in [
        json!({"kind": "status", "code": 503, "count": 2}),
        json!({"kind": "reset"}),
        json!({"kind": "mid_stream_error", "after_tokens": 2}),
        json!({"kind": "mid_stream_reset", "after_tokens": 1}),
    ] {
        let planned = exchange(&client, post(&engine.url(), "/sim/fault", &fault))
            .await
            .unwrap();
        assert_eq!(planned.status, StatusCode::OK);
    }
    let body = json!({"prompt": "x", "max_tokens": 5, "stream": true});
    for _ in 0..2 {
        let refused = exchange(&client, request(&engine, &body)).await.unwrap();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.json()["error"]["code"], 503);
    }
    assert!(
        exchange(&client, request(&engine, &body)).await.is_err(),
        "no response at all"
    );
    let failed = exchange(&client, request(&engine, &body)).await.unwrap();
    assert_eq!(failed.status, StatusCode::OK);
    let events = failed.events();
    assert_eq!(
        (events.len(), &events[2]["error"]["code"]),
        (3, &json!(500))
    );
    assert!(failed.text.ends_with("data: [DONE]\n\n"));
    let response = client.request(request(&engine, &body)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(
        response.into_body().collect().await.is_err(),
        "the stream is cut"
    );
    let fine = exchange(&client, request(&engine, &body)).await.unwrap();
    assert_eq!(fine.events().len(), 5);
    let state = engine.state();
    assert_eq!(
        (state.aborted_total, state.running),
        (0, 0),
        "no client left"
    );
}

#[tokio::test]
async fn a_hung_request_ends_when_its_client_leaves() {
    let engine = engine(fast()).await;
    let hang = serde_json::from_value(json!({"kind": "hang"})).unwrap();
    engine.inject(hang).unwrap();
    let call = tokio::spawn({
        let (client, request) = (client(), request(&engine, &json!({"prompt": "x"})));
        async move { exchange(&client, request).await }
    });
    engine.wait_until(|state| state.open == 1).await;
    call.abort();
    engine
        .wait_until(|state| state.aborted_total == 1 && state.open == 0)
        .await;
}

#[tokio::test]
async fn nonsense_faults_are_refused_and_plans_can_be_dropped() {
    let (engine, client) = (engine(fast()).await, client());
    for fault in [
        json!({"kind": "magic"}),
        json!({"kind": "status", "code": 200}),
        json!({}),
    ] {
        let answer = exchange(&client, post(&engine.url(), "/sim/fault", &fault))
            .await
            .unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{fault}");
    }
    engine
        .inject(serde_json::from_value(json!({"kind": "reset"})).unwrap())
        .unwrap();
    let clear = Request::delete(format!("{}/sim/fault", engine.url()))
        .body(Full::default())
        .unwrap();
    assert_eq!(
        exchange(&client, clear).await.unwrap().status,
        StatusCode::OK
    );
    let fine = exchange(&client, request(&engine, &json!({"prompt": "x"})))
        .await
        .unwrap();
    assert_eq!(fine.status, StatusCode::OK);
}

#[tokio::test]
async fn the_fail_rate_fails_requests() {
    let (engine, client) = (
        engine(EngineConfig {
            fail_ratio: 1.0,
            ..fast()
        })
        .await,
        client(),
    );
    let answer = exchange(&client, request(&engine, &json!({"prompt": "x"})))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_last_request_is_shown_as_it_arrived() {
    let (engine, client) = (engine(fast()).await, client());
    let missing = exchange(&client, get(&engine.url(), "/sim/last_request"))
        .await
        .unwrap();
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let body = Bytes::from_static(br#"{ "prompt":"x" ,"unknown_field" : [1, 2.50] }"#);
    let mut sent = post_bytes(&engine.url(), PATH, body.clone());
    sent.headers_mut()
        .insert("x-session-id", "s1".parse().unwrap());
    exchange(&client, sent).await.unwrap();
    let shown = exchange(&client, get(&engine.url(), "/sim/last_request"))
        .await
        .unwrap()
        .json();
    assert_eq!(shown["body"].as_str().unwrap().as_bytes(), body);
    assert_eq!(shown["body_xxh3"], format!("{:016x}", xxh3_64(&body)));
    assert_eq!(shown["path"], PATH);
    let headers = shown["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["x-session-id", "s1"])));
    assert_eq!(engine.last_request().unwrap().body, body);
}

#[tokio::test]
async fn an_instant_engine_answers_without_modelling() {
    let (engine, client) = (
        engine(EngineConfig {
            instant: true,
            ..fast()
        })
        .await,
        client(),
    );
    let whole = exchange(&client, request(&engine, &json!({"prompt": "x"})))
        .await
        .unwrap();
    assert_eq!(whole.json()["object"], "chat.completion");
    let stream = exchange(&client, request(&engine, &json!({"stream": true})))
        .await
        .unwrap();
    assert!(stream.text.ends_with("data: [DONE]\n\n"));
    assert_eq!(engine.state().received_total, 2);
    assert!(engine.last_request().is_none());
}

#[tokio::test]
async fn shutdown_cuts_streams_and_frees_the_address() {
    let engine = engine(frozen()).await;
    let addr = engine.addr();
    let body = json!({"prompt": "x", "max_tokens": 9, "stream": true});
    let response = client().request(request(&engine, &body)).await.unwrap();
    assert_eq!(
        response.status(),
        StatusCode::OK,
        "the head comes before the first token"
    );
    assert_eq!(engine.state().open, 1, "open until the stream ends");
    engine.shutdown().await;
    assert!(response.into_body().collect().await.is_err());
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn health_checks_can_fail_while_inference_works() {
    let (engine, client) = (engine(fast()).await, client());
    engine
        .inject(serde_json::from_value(json!({"kind": "unhealthy"})).unwrap())
        .unwrap();
    let fine = exchange(&client, request(&engine, &json!({"prompt": "x"})))
        .await
        .unwrap();
    assert_eq!(fine.status, StatusCode::OK);
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK] {
        let health = exchange(&client, get(&engine.url(), "/health"))
            .await
            .unwrap();
        assert_eq!(health.status, status);
    }
}

#[tokio::test]
async fn a_planned_reset_is_a_tcp_reset() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let engine = engine(fast()).await;
    engine
        .inject(serde_json::from_value(json!({"kind": "reset"})).unwrap())
        .unwrap();
    let mut stream = tokio::net::TcpStream::connect(engine.addr()).await.unwrap();
    let request = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let error = stream.read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}
