//! What is written, how much of it, and what happens when the writer cannot keep up.

use std::time::Instant;

use http::Method;
use serde_json::Value;
use warmgate_routing::Tokens;
use warmgate_routing::request::Api;

use super::queue::Lost;
use super::*;
use crate::error::GatewayError;
use crate::telemetry::metrics::{AbortPhase, Outcome};

fn entry<'a>(outcome: &'a Outcome<'a>) -> Entry<'a> {
    Entry {
        at: std::time::UNIX_EPOCH + Duration::from_millis(1_700_000_000_007),
        request_id: "req-1",
        client: None,
        method: &Method::POST,
        path: "/v1/chat/completions?key=secret",
        pool: None,
        route: None,
        target: None,
        endpoint: None,
        attempts: 1,
        is_stream: true,
        has_session: false,
        outcome,
    }
}

fn json(entry: &Entry<'_>) -> Value {
    serde_json::to_value(Line::from(entry)).unwrap()
}

fn dropped(metrics: &Metrics) -> String {
    let page = metrics.render(&[], Instant::now());
    let name = "warmgate_access_log_dropped_total ";
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().to_owned()
}

#[test]
fn a_line_has_what_is_known_and_no_query() {
    let outcome = Outcome {
        api: Some(Api::ChatCompletions),
        model: "llama",
        status: 200,
        body_bytes: Some(2_048),
        duration: Duration::from_micros(1_500_250),
        time_to_first_token: Some(Duration::from_micros(120_500)),
        estimated_prompt_tokens: Some(Tokens(500)),
        matched_tokens: Some(Tokens(448)),
        prompt_tokens: Some(Tokens(510)),
        cached_tokens: Some(Tokens(496)),
        completion_tokens: Some(Tokens(20)),
        ..Outcome::default()
    };
    let (pool, endpoint) = (Arc::from("main"), Arc::from("10.0.0.1:8000"));
    let (route, target) = (Arc::from("chat"), Arc::from("canary"));
    let full = Entry {
        pool: Some(&pool),
        route: Some(&route),
        target: Some(&target),
        endpoint: Some(&endpoint),
        client: Some([192, 0, 2, 7].into()),
        ..entry(&outcome)
    };
    insta::assert_snapshot!(serde_json::to_string(&Line::from(&full)).unwrap(), @r#"{"ts":"2023-11-14T22:13:20.007Z","request_id":"req-1","client":"192.0.2.7","method":"POST","path":"/v1/chat/completions","api":"chat_completions","model":"llama","pool":"main","route":"chat","target":"canary","endpoint":"10.0.0.1:8000","status":200,"finish":"complete","attempts":1,"stream":true,"session":false,"body_bytes":2048,"estimated_prompt_tokens":500,"matched_tokens":448,"prompt_tokens":510,"cached_tokens":496,"completion_tokens":20,"ttft_ms":120.5,"duration_ms":1500.25}"#);
    let empty = Outcome::default();
    insta::assert_snapshot!(serde_json::to_string(&Line::from(&entry(&empty))).unwrap(), @r#"{"ts":"2023-11-14T22:13:20.007Z","request_id":"req-1","method":"POST","path":"/v1/chat/completions","model":"","finish":"complete","attempts":1,"stream":true,"session":false,"duration_ms":0.0}"#);
}

#[test]
fn says_how_a_request_ended() {
    let error = GatewayError::NoEndpoint;
    let (aborted, nothing) = (Some(AbortPhase::Streaming), Outcome::default());
    let refused = Outcome {
        error: Some(&error),
        ..nothing
    };
    for (finish, outcome) in [
        ("complete", nothing),
        ("refused", refused),
        (
            "endpoint_failed",
            Outcome {
                is_stream_error: true,
                ..nothing
            },
        ),
        (
            "client_gone",
            Outcome {
                aborted,
                is_stream_error: true,
                ..refused
            },
        ),
    ] {
        assert_eq!(json(&entry(&outcome))["finish"], finish);
    }
    assert_eq!(json(&entry(&refused))["error"], "no_endpoint");
}

#[test]
fn logs_as_much_of_a_name_as_the_limit_and_no_more() {
    for (field, limit) in [
        ("request_id", REQUEST_ID_BYTES_MAX),
        ("path", PATH_BYTES_MAX),
        ("model", MODEL_BYTES_MAX),
    ] {
        for length in [limit, limit + 1] {
            let long = "x".repeat(length);
            let outcome = Outcome {
                model: &long,
                ..Outcome::default()
            };
            let entry = Entry {
                request_id: &long,
                path: &long,
                ..entry(&outcome)
            };
            assert_eq!(
                json(&entry)[field].as_str().unwrap().len(),
                limit,
                "{field}"
            );
        }
    }
}

#[test]
fn a_client_cannot_forge_a_line() {
    let outcome = Outcome {
        model: "a\n{\"status\":200}\u{1b}[2J",
        ..Outcome::default()
    };
    let line = serde_json::to_string(&Line::from(&entry(&outcome))).unwrap();
    assert!(!line.contains(|char: char| char.is_control()), "{line}");
}

#[test]
fn holds_as_many_lines_as_the_limit_and_no_more() {
    let (outcome, lines_max) = (Outcome::default(), 4);
    let line = || Line::from(&entry(&outcome));
    let queue = Queue::new(lines_max, Duration::ZERO);
    for _ in 0..lines_max {
        assert_eq!(queue.push(line()), Ok(()));
    }
    assert_eq!(queue.push(line()), Err(Lost));
    assert_eq!(queue.take().unwrap().len(), lines_max);
    assert_eq!(queue.push(line()), Ok(()));
    queue.close();
    assert_eq!(queue.push(line()), Err(Lost));
    assert_eq!(queue.take().unwrap().len(), 1);
    assert!(queue.take().is_none());
}

#[test]
fn writes_what_is_left_when_closed_and_counts_what_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let metrics = Arc::new(Metrics::new());
    for round in 1..=2 {
        let log = AccessLog::open(&Destination::File(path.clone()), Arc::clone(&metrics)).unwrap();
        let outcome = Outcome::default();
        for _ in 0..3 {
            log.note(&entry(&outcome));
        }
        log.close();
        log.note(&entry(&outcome));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3 * round);
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["ts"], "2023-11-14T22:13:20.007Z");
        }
        assert_eq!(dropped(&metrics), round.to_string());
    }
}

#[test]
fn counts_lines_that_cannot_be_written() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let metrics = Arc::new(Metrics::new());
    let log = AccessLog::start(Box::new(Full), Arc::clone(&metrics)).unwrap();
    for _ in 0..2 {
        log.note(&entry(&Outcome::default()));
    }
    log.close();
    assert_eq!(dropped(&metrics), "2");
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = Destination::File(folder.path().join("no/such/folder/log"));
    assert!(AccessLog::open(&nowhere, Arc::default()).is_err());
}
