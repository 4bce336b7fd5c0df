//! Bodies from nothing to the limit and one byte past it, in both framings.

use std::convert::Infallible;

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engines::engine;
use crate::gateway_process::{GatewayProcess, Page, Start};
use crate::http_client::{self, Answer, post};

const MIB: usize = 1 << 20;
/// The default of `limits.body_bytes`.
const LIMIT_BYTES: usize = 32 * MIB;
const CHUNK_BYTES: usize = 100_000;

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length,
    Chunks,
    Http2,
}

const FRAMINGS: [Framing; 3] = [Framing::Length, Framing::Chunks, Framing::Http2];

async fn send(gateway: &GatewayProcess, path: &str, body: &Bytes, framing: Framing) -> Answer {
    let answer = match framing {
        Framing::Length => http_client::send(gateway.listen, post(path, &[], body.clone())).await,
        Framing::Chunks => {
            let chunks: Vec<_> = (0..body.len())
                .step_by(CHUNK_BYTES)
                .map(|at| body.slice(at..body.len().min(at + CHUNK_BYTES)))
                .collect();
            let frames =
                futures::stream::iter(chunks).map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
            let request = Request::post(path).body(StreamBody::new(frames)).unwrap();
            http_client::send(gateway.listen, request).await
        }
        Framing::Http2 => {
            let request = post(&format!("http://gateway{path}"), &[], body.clone());
            http_client::send_http2(gateway.listen, request).await
        }
    };
    answer.unwrap_or_else(|error| panic!("{path} {framing:?} {}: {error}", body.len()))
}

/// A completion of just that many bytes, no stretch of which is like another.
fn body_of(length: usize) -> Bytes {
    let (head, tail) = (r#"{"model":"sim","max_tokens":1,"prompt":""#, "\"}");
    let mut text = String::with_capacity(length + 16);
    text.push_str(head);
    let mut number = 0_u64;
    while text.len() < length - tail.len() {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        text.push_str(&format!("{number:016x}"));
    }
    text.truncate(length - tail.len());
    text.push_str(tail);
    Bytes::from(text)
}

#[tokio::test]
async fn a_long_prompt_arrives_intact() {
    use crate::engines::{engine_like, fast};
    use warmgate_loadtest::engine::EngineConfig;

    let engine = engine_like(EngineConfig {
        max_model_tokens: 10_000_000,
        capacity_tokens: 20_000_000,
        max_batched_tokens: 10_000_000,
        ..fast()
    })
    .await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let body = body_of(6 * MIB);
    for framing in FRAMINGS {
        let answer = send(&gateway, "/v1/completions", &body, framing).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let received = engine.last_request().unwrap();
        assert_eq!(received.body.len(), body.len());
        assert_eq!(received.body, body, "{framing:?}");
    }
    gateway.assert_settled().await;
}

#[tokio::test]
async fn the_limit_is_allowed_and_one_byte_more_is_not() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    for framing in FRAMINGS {
        // The engine finds it too long for the model; the gateway does not.
        let answer = send(&gateway, "/v1/completions", &body_of(LIMIT_BYTES), framing).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
        let received = engine.state().received_total;

        let over = body_of(LIMIT_BYTES + 1);
        let answer = send(&gateway, "/v1/completions", &over, framing).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{framing:?}");
        assert!(answer.is_complete);
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "body_too_large");
        assert!(
            error["message"].as_str().unwrap().contains("33554432"),
            "{error}"
        );
        assert_eq!(engine.state().received_total, received);

        let answer = send(&gateway, "/v1/messages", &over, framing).await;
        let error = answer.json();
        assert_eq!(error["type"], "error");
        assert_eq!(error["error"]["type"], "request_too_large");
        assert_eq!(error["request_id"], answer.header("x-request-id"));
    }
    let code = [("code", "body_too_large"), ("fault", "client")];
    let all = |page: &Page| page.sum("warmgate_request_errors_total", &code) == 6.0;
    gateway.until_metrics(all).await;
    gateway.assert_settled().await;
}

#[tokio::test]
async fn the_limit_is_the_configured_one() {
    let engine = engine().await;
    let config = format!(
        "limits: {{body_bytes: 2000}}\npools: [{{name: main, upstreams: ['{}']}}]\n",
        engine.url()
    );
    let gateway = Start::with_config(&config).run().await;
    for framing in FRAMINGS {
        for (length, status) in [(2000, 200), (2001, 413)] {
            let answer = send(&gateway, "/v1/completions", &body_of(length), framing).await;
            assert_eq!(
                answer.status,
                status,
                "{framing:?} {length}: {}",
                answer.text()
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let header = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: g\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        LIMIT_BYTES + 1
    );
    let answer = String::from_utf8(http_client::raw(gateway.listen, header.as_bytes()).await);
    let answer = answer.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(
        answer.to_ascii_lowercase().contains("connection: close"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_the_shape_of_its_api() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let bodies = ["", "{", "[]", "nonsense", r#"{"model":"sim","messages":"#];
    for body in bodies {
        let body = Bytes::from(body);
        for framing in FRAMINGS {
            let answer = send(&gateway, "/v1/chat/completions", &body, framing).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body:?}");
            let error = &answer.json()["error"];
            assert_eq!(error["type"], "invalid_request_error", "{body:?} {error}");
            assert!(!error["message"].as_str().unwrap().is_empty());
            assert_eq!(error["param"], Value::Null);

            let answer = send(&gateway, "/v1/messages", &body, framing).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body:?}");
            assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
        }
    }
    assert_eq!(engine.state().received_total, 0);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn a_body_whose_end_cannot_be_told_is_refused() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let request = |headers: &str, body: &str| {
        format!("POST /v1/completions HTTP/1.1\r\nhost: g\r\n{headers}\r\n\r\n{body}")
    };
    for bytes in [
        request("transfer-encoding: chunked", "zz\r\n{}\r\n0\r\n\r\n"),
        request("content-length: 2\r\ncontent-length: 3", "{}}"),
        request("content-length: -1", "{}"),
    ] {
        let answer = http_client::raw(gateway.listen, bytes.as_bytes()).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bytes:?}: {answer:?}");
    }
    assert_eq!(engine.state().received_total, 0);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn a_connection_serves_on_after_a_refusal_that_was_read_to_its_end() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    let requests = concat!(
        "POST /v1/completions HTTP/1.1\r\nhost: g\r\ncontent-length: 1\r\n\r\n{",
        "POST /v1/completions HTTP/1.1\r\nhost: g\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
    stream.write_all(requests.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(
        text.matches("HTTP/1.1 400 Bad Request").count(),
        2,
        "{text}"
    );
}
