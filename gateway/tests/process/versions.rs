//! Every way to speak HTTP to the gateway: 1.0, 1.1 kept open and pipelined, 2 without and with
//! TLS, and a client that waits for leave to send its body.

use std::path::Path;
use std::sync::Arc;

use http::{StatusCode, Version};
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::engines::{engine, engine_like, slow};
use crate::gateway_process::{Start, free_address};
use crate::http_client::{self, chat, chat_body};

/// One request as it goes over the wire.
fn wire(version: &str, headers: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions {version}\r\nhost: gateway\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn http_1_0_gets_an_answer_that_ends_with_the_connection() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    for is_stream in [false, true] {
        let body = chat_body("hello", 3, is_stream);
        let answer = http_client::raw(gateway.listen, wire("HTTP/1.0", "", &body).as_bytes()).await;
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 OK"), "{text}");
        // A client of that version cannot read chunks.
        assert!(
            !head.to_ascii_lowercase().contains("transfer-encoding"),
            "{text}"
        );
        if is_stream {
            assert!(
                body.starts_with("data: ") && body.ends_with("data: [DONE]\n\n"),
                "{text}"
            );
        } else {
            let answer: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(answer["usage"]["completion_tokens"], 3);
        }
    }
    let version = http_client::raw(gateway.listen, b"GET /version HTTP/1.0\r\n\r\n").await;
    let text = String::from_utf8(version).unwrap();
    assert!(
        text.contains(" 200 OK\r\n") && text.ends_with('}'),
        "{text}"
    );
    gateway.assert_settled().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let id = |place: usize| format!("x-request-id: place-{place}\r\n");
    let mut requests = String::new();
    for place in 0..5 {
        let body = chat_body("hello", 2, place % 2 == 1);
        requests += &wire("HTTP/1.1", &id(place), &body);
    }
    requests += "GET /v1/models HTTP/1.1\r\nhost: gateway\r\n\r\n";
    let last = id(6) + "connection: close\r\n";
    requests += &wire("HTTP/1.1", &last, &chat_body("hello", 1, false));
    let answers = http_client::raw(gateway.listen, requests.as_bytes()).await;
    let text = String::from_utf8(answers).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 7, "{text}");
    let places: Vec<_> = text
        .match_indices("x-request-id: place-")
        .map(|(at, name)| text[at + name.len()..].chars().next().unwrap())
        .collect();
    assert_eq!(places, ['0', '1', '2', '3', '4', '6'], "{text}");
    assert_eq!(engine.state().finished_total, 6);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn a_request_that_comes_while_another_is_answered_waits_for_its_turn() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    let first = wire("HTTP/1.1", "", &chat_body("hello", 400, true));
    let second = wire(
        "HTTP/1.1",
        "connection: close\r\n",
        &chat_body("hello", 1, false),
    );
    stream.write_all(first.as_bytes()).await.unwrap();
    let mut begun = [0; 64];
    stream.read_exact(&mut begun).await.unwrap();
    stream.write_all(second.as_bytes()).await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest.matches("data: [DONE]").count(), 1, "{rest}");
    assert_eq!(rest.matches("HTTP/1.1 200 OK").count(), 1, "{rest}");
    gateway.assert_settled().await;
}

#[tokio::test]
async fn http_2_without_tls() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    for is_stream in [false, true] {
        let mut request = chat("hello", 3, is_stream);
        *request.uri_mut() = "http://gateway/v1/chat/completions".parse().unwrap();
        let answer = http_client::send_http2(gateway.listen, request)
            .await
            .unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert!(answer.is_complete);
        assert!(!answer.headers.contains_key("transfer-encoding"));
        assert_eq!(answer.text().ends_with("data: [DONE]\n\n"), is_stream);
        assert_eq!(answer.endpoint(), engine.addr().to_string());
    }
    gateway.assert_settled().await;
}

#[tokio::test]
async fn http_2_streams_of_one_connection_do_not_disturb_each_other() {
    const STREAMS: usize = 40;
    let engine = engine_like(slow()).await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let stream = TcpStream::connect(gateway.listen).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut clients = JoinSet::new();
    for number in 0..STREAMS {
        let mut sender = sender.clone();
        clients.spawn(async move {
            let mut request = chat(&format!("stream {number}"), 8, true);
            *request.uri_mut() = "http://gateway/v1/chat/completions".parse().unwrap();
            *request.version_mut() = Version::HTTP_2;
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let mut body = response.into_body();
            if number % 2 == 0 {
                // Every other one is reset in the middle.
                body.frame().await.unwrap().unwrap();
                return;
            }
            let all = body.collect().await.unwrap().to_bytes();
            assert!(all.ends_with(b"data: [DONE]\n\n"));
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    gateway.assert_settled().await;
    let all_ended = engine.wait_until(|state| state.open == 0).await;
    assert_eq!(all_ended.finished_total, STREAMS as u64 / 2);
}

async fn connect_tls(to: std::net::SocketAddr, folder: &Path, alpn: &[u8]) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = folder.join("certificate.pem");
    roots
        .add(CertificateDer::from_pem_file(certificate).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(to).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
    stream
}

#[tokio::test]
async fn tls_with_either_version() {
    let engine = engine().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    let tls = free_address();
    let config = format!(
        "tls: {{listen: '{tls}', certificate: {0}/certificate.pem, key: {0}/key.pem}}\n\
         pools: [{{name: main, upstreams: ['{1}']}}]\n",
        folder.display(),
        engine.url(),
    );
    let gateway = Start::with_config(&config).run().await;

    let mut stream = connect_tls(tls, &folder, b"http/1.1").await;
    let request = wire(
        "HTTP/1.1",
        "connection: close\r\n",
        &chat_body("hello", 2, true),
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && text.contains("[DONE]"),
        "{text}"
    );

    let stream = connect_tls(tls, &folder, b"h2").await;
    let mut request = chat("hello", 2, true);
    *request.uri_mut() = "https://localhost/v1/chat/completions".parse().unwrap();
    *request.version_mut() = Version::HTTP_2;
    let answer = http_client::open_http2(stream, request)
        .await
        .unwrap()
        .finish()
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.is_complete && answer.text().ends_with("data: [DONE]\n\n"));
    gateway.assert_settled().await;
}

#[tokio::test]
async fn a_client_that_waits_for_leave_to_send_its_body_gets_it() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let body = chat_body("hello", 2, false);
    let whole = wire(
        "HTTP/1.1",
        "expect: 100-continue\r\nconnection: close\r\n",
        &body,
    );
    let (header, _) = whole.split_at(whole.len() - body.len());
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(header.as_bytes()).await.unwrap();
    let mut leave = [0; 25];
    stream.read_exact(&mut leave).await.unwrap();
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(engine.state().received_total, 0);
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let received = engine.last_request().unwrap();
    assert_eq!(received.body, body.as_bytes());
    assert!(!received.headers.contains_key("expect"));
}
