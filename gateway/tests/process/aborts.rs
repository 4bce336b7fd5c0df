//! Clients that leave at any moment: their requests end at the engines too, and nothing of them
//! stays in the gateway's counts.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use warmgate_loadtest::engine::EngineConfig;

use crate::engines::{engine_like, fast, slow};
use crate::gateway_process::{GatewayProcess, Page, Start};
use crate::http_client::{self, chat, chat_body};

const ABORTS: usize = 1_000;
const CLIENTS_AT_ONCE: usize = 50;
/// Long enough that no answer of a slow engine is complete before its client leaves.
const ANSWER_TOKENS: u32 = 100_000;
const SEED: u64 = 7;

/// When a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// In the middle of its header.
    Header,
    /// In the middle of its body.
    Body,
    /// When the request is sent.
    Sent,
    /// After this many bytes of the answer.
    Answer { bytes: usize },
}

impl Moment {
    fn any(chance: &mut SmallRng) -> Moment {
        match chance.random_range(0..10) {
            0 => Moment::Header,
            1..=2 => Moment::Body,
            3..=5 => Moment::Sent,
            _ => Moment::Answer {
                bytes: chance.random_range(1..2_000),
            },
        }
    }
}

/// One client, from its connection to its leaving.
async fn leave(gateway: SocketAddr, moment: Moment, prompt: &str, is_stream: bool) {
    let body = chat_body(prompt, ANSWER_TOKENS, is_stream);
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let body_at = request.len() - body.len();
    let sent = match moment {
        Moment::Header => body_at / 2,
        Moment::Body => body_at + body.len() / 2,
        Moment::Sent | Moment::Answer { .. } => request.len(),
    };
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    stream.write_all(&request.as_bytes()[..sent]).await.unwrap();
    if let Moment::Answer { bytes } = moment {
        let mut read = vec![0; bytes];
        stream.read_exact(&mut read).await.unwrap();
    }
    // Half of the clients say that they leave, the others cut: a reset.
    if prompt.len().is_multiple_of(2) {
        stream.set_zero_linger().unwrap();
    }
}

async fn assert_a_further_request_is_answered(gateway: &GatewayProcess) {
    let answer = http_client::send(gateway.listen, chat("after all of that", 1, false)).await;
    assert_eq!(answer.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn a_thousand_clients_that_leave_at_random_leave_nothing_behind() {
    let config = EngineConfig {
        max_seqs: 2 * CLIENTS_AT_ONCE,
        capacity_tokens: 100_000_000,
        // One step takes about a millisecond.
        speed: 20.0,
        ..EngineConfig::default()
    };
    let engines = [engine_like(config.clone()).await, engine_like(config).await];
    let gateway = Start::in_front_of(&engines).run().await;
    let mut chance = SmallRng::seed_from_u64(SEED);
    let room = Arc::new(Semaphore::new(CLIENTS_AT_ONCE));
    let mut clients = JoinSet::new();
    for number in 0..ABORTS {
        // What is not streamed never begins within the test.
        let is_stream = chance.random_ratio(3, 4);
        let moment = match Moment::any(&mut chance) {
            Moment::Answer { .. } if !is_stream => Moment::Sent,
            moment => moment,
        };
        let prompt = format!(
            "client {number} {}",
            "x".repeat(chance.random_range(0..20_000))
        );
        let place = Arc::clone(&room).acquire_owned().await.unwrap();
        let to = gateway.listen;
        clients.spawn(async move {
            leave(to, moment, &prompt, is_stream).await;
            drop(place);
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    gateway.assert_settled().await;
    for engine in &engines {
        let state = engine
            .wait_until(|state| state.running == 0 && state.waiting == 0 && state.open == 0)
            .await;
        assert_eq!(
            state.finished_total, 0,
            "an answer that nobody read was completed"
        );
        assert!(state.aborted_total > 0);
    }
    let page = gateway.metrics().await;
    assert!(page.sum("warmgate_client_aborts_total", &[("phase", "streaming")]) > 0.0);
    assert!(
        page.sum(
            "warmgate_client_aborts_total",
            &[("phase", "before_first_byte")]
        ) > 0.0
    );
    assert_eq!(page.sum("warmgate_endpoint_failures_total", &[]), 0.0);
    assert_a_further_request_is_answered(&gateway).await;
}

#[tokio::test]
async fn an_engine_that_has_not_begun_is_told_at_once() {
    use warmgate_loadtest::engine::{Fault, FaultKind};

    let engine = engine_like(slow()).await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let kind = FaultKind::Hang;
    engine.inject(Fault { kind, count: 1 }).unwrap();
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    let body = chat_body("hello", 1, false);
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    gateway.until(|| engine.last_request().is_some()).await;
    let endpoints = gateway.endpoints().await;
    assert_eq!(endpoints[0]["inflight"], 1);
    assert_ne!(endpoints[0]["queued_prefill_tokens"], 0);
    drop(stream);
    engine.wait_until(|state| state.open == 0).await;
    gateway.assert_settled().await;
    let phase = [("phase", "before_first_byte")];
    let is_counted = |page: &Page| {
        page.sum("warmgate_client_aborts_total", &phase) == 1.0
            && page.sum("warmgate_requests_total", &[("status", "499")]) == 1.0
    };
    gateway.until_metrics(is_counted).await;
    assert_a_further_request_is_answered(&gateway).await;
}

#[tokio::test]
async fn an_http_2_stream_that_is_reset_ends_at_the_engine() {
    let engine = engine_like(slow()).await;
    let gateway = Start::in_front_of([&engine]).run().await;
    let stream = TcpStream::connect(gateway.listen).await.unwrap();
    let mut request = chat("hello", ANSWER_TOKENS, true);
    *request.uri_mut() = "http://gateway/v1/chat/completions".parse().unwrap();
    *request.version_mut() = http::Version::HTTP_2;
    let mut answer = http_client::open_http2(stream, request).await.unwrap();
    answer.next().await.unwrap().unwrap();
    assert_eq!(gateway.endpoints().await[0]["decoding"], 1);
    drop(answer);
    engine
        .wait_until(|state| state.open == 0 && state.aborted_total == 1)
        .await;
    gateway.assert_settled().await;
}

#[tokio::test]
async fn a_client_that_leaves_a_passed_through_request_is_not_counted_on() {
    let engine = engine_like(slow()).await;
    let gateway = Start::in_front_of([&engine]).run().await;
    for _ in 0..50 {
        let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
        let request = b"POST /version HTTP/1.1\r\nhost: g\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(request).await.unwrap();
    }
    gateway.assert_settled().await;
    assert_a_further_request_is_answered(&gateway).await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_given_up() {
    let engine = engine_like(fast()).await;
    let gateway = Start::taking_turns(&[engine.url()], "forward: {idle_timeout_s: 1}")
        .run()
        .await;
    // Far more than the buffers of all sockets on the way hold.
    let body = chat_body("hello", 200_000, true);
    let length = body.len();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(gateway.listen).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut begun = [0; 1_000];
    stream.read_exact(&mut begun).await.unwrap();
    let gone =
        |page: &Page| page.sum("warmgate_client_aborts_total", &[("phase", "streaming")]) == 1.0;
    gateway.until_metrics(gone).await;
    engine.wait_until(|state| state.open == 0).await;
    gateway.assert_settled().await;
    drop(stream);
}
