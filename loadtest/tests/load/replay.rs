//! What is sent and what is measured.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use warmgate_loadtest::engine::{EngineConfig, EngineHandle, Fault, serve};
use warmgate_loadtest::replay::{
    Load, PromptApi, ReplayError, ReplayOptions, Run, SyntheticOptions, run, run_until,
};
use warmgate_loadtest::trace::{TraceOptions, read_trace};

async fn engine(speed: f64) -> EngineHandle {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let config = EngineConfig {
        speed,
        ..EngineConfig::default()
    };
    serve(config, listener).expect("a valid configuration")
}

const FAST: f64 = 1e6;
/// No answer ends by itself within a test.
const FROZEN: f64 = 1e-6;

fn conversations(text: &str) -> Load {
    let options: SyntheticOptions = text.parse().expect("a valid description");
    Load::synthetic(&options)
}

fn trace(lines: &[&str]) -> Load {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(lines.join("\n").as_bytes())
        .expect("room for a few lines");
    let trace = read_trace(file.path(), &TraceOptions::default()).expect("a valid trace");
    Load::recorded("test", trace)
}

async fn play(engine: &EngineHandle, load: Load) -> Run {
    run(load, ReplayOptions::new(&engine.url()), |_| {})
        .await
        .expect("a run")
}

fn fault(value: Value) -> Fault {
    serde_json::from_value(value).expect("a fault")
}

#[tokio::test]
async fn every_turn_after_the_first_hits_all_before_it() {
    let engine = engine(FAST).await;
    let load = conversations("sessions=3,turns=4,shared=400,user=50,output=20,think_ms=0,rate=1e6");
    let run = play(&engine, load).await;
    assert_eq!(run.records.len(), 12);
    for session in 0..3 {
        let mut before = 0;
        let turns: Vec<_> = run
            .records
            .iter()
            .filter(|record| record.session == session)
            .collect();
        assert_eq!(
            turns.iter().map(|record| record.turn).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
        for record in turns {
            assert_eq!((record.status, &record.error), (Some(200), &None));
            assert_eq!(record.output_tokens, 20);
            let cached = record.cached_tokens.unwrap();
            assert!(
                cached >= before / 16 * 16,
                "{cached} of {before} tokens before"
            );
            // The last token of an answer is never fed back, so its KV does not exist.
            before = record.prompt_tokens.unwrap() + record.output_tokens - 1;
            assert!(record.ttft_ms.unwrap() <= record.e2e_ms);
            assert!(record.tpot_ms.unwrap() >= 0.0);
        }
    }
    let summary = run.summary();
    assert_eq!(
        (summary.requests, summary.failed, summary.skipped),
        (12, 0, 0)
    );
    assert!(summary.hit_ratio.unwrap() > 0.5);
    assert_eq!(
        engine.state().prefix_hits_tokens_total,
        summary.cached_tokens
    );
}

#[tokio::test]
async fn recorded_blocks_become_text_with_the_same_prefixes() {
    let engine = engine(FAST).await;
    let load = trace(&[
        r#"{"timestamp":0,"input_length":64,"output_length":3,"hash_ids":[1,2,3,4]}"#,
        r#"{"timestamp":5,"input_length":56,"output_length":2,"hash_ids":[1,2,9]}"#,
    ]);
    // One after the other, or the second could be sent before the first is computed.
    let mut records = Vec::new();
    for session in load.sessions {
        let single = Load {
            description: String::new(),
            sessions: vec![session],
        };
        records.extend(play(&engine, single).await.records);
    }
    assert_eq!(records[0].prompt_tokens, Some(64));
    assert_eq!(records[0].output_tokens, 3);
    assert_eq!(records[1].prompt_tokens, Some(56));
    assert_eq!(
        records[1].cached_tokens,
        Some(32),
        "two blocks of 16 are shared"
    );
}

#[tokio::test]
async fn options_reach_the_server() {
    let engine = engine(FAST).await;
    let line =
        r#"{"timestamp":0,"session_id":7,"input_length":20,"output_length":2,"hash_ids":[1,2]}"#;
    let options = ReplayOptions {
        model: Some("sim".to_owned()),
        prompt_api: PromptApi::Chat,
        stream: false,
        ignore_eos: true,
        session_header: Some("x-session-id".parse().unwrap()),
        ..ReplayOptions::new(&engine.url())
    };
    let run = run(trace(&[line]), options, |_| {}).await.unwrap();
    let record = &run.records[0];
    assert_eq!(
        (&record.error, record.ttft_ms, record.session),
        (&None, None, 7)
    );
    let sent = engine.last_request().unwrap();
    assert_eq!(sent.path, "/v1/chat/completions");
    assert_eq!(sent.headers["x-session-id"], "7");
    let body: Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(
        (&body["stream"], &body["ignore_eos"]),
        (&json!(false), &json!(true))
    );
}

#[tokio::test]
async fn failures_are_records_and_end_their_conversation() {
    for (plan, status, word) in [
        (
            json!({"kind": "status", "code": 503}),
            Some(503),
            "status 503",
        ),
        (json!({"kind": "reset"}), None, "send"),
        (
            json!({"kind": "mid_stream_error", "after_tokens": 1}),
            Some(200),
            "error in the response",
        ),
        (
            json!({"kind": "mid_stream_reset", "after_tokens": 1}),
            Some(200),
            "stream cut",
        ),
    ] {
        let engine = engine(FAST).await;
        engine.inject(fault(plan)).unwrap();
        let load = conversations("sessions=1,turns=3,shared=10,user=10,output=4,think_ms=0");
        let run = play(&engine, load).await;
        assert_eq!(run.records.len(), 1, "{word}");
        assert_eq!(run.records[0].status, status, "{word}");
        let error = run.records[0].error.as_deref().unwrap();
        assert!(error.contains(word), "{error}");
        let summary = run.summary();
        assert_eq!((summary.failed, summary.skipped), (1, 2), "{word}");
        assert!(summary.ttft_ms.is_none(), "failures have no latency");
    }
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_allowed() {
    let engine = engine(FROZEN).await;
    let load = conversations("sessions=6,turns=1,rate=1e6");
    let options = ReplayOptions {
        concurrency_max: 2,
        ..ReplayOptions::new(&engine.url())
    };
    let running = tokio::spawn(run(load, options, |_| {}));
    engine.wait_until(|state| state.open == 2).await;
    assert_eq!(engine.state().received_total, 2);
    engine.shutdown().await;
    let run = running.await.unwrap().unwrap();
    assert_eq!(run.summary().failed, 6);
}

#[tokio::test]
async fn an_answer_that_never_comes_is_a_timeout() {
    let engine = engine(FROZEN).await;
    let options = ReplayOptions {
        request_timeout: std::time::Duration::from_millis(1),
        ..ReplayOptions::new(&engine.url())
    };
    let run = run(conversations("sessions=1,turns=1"), options, |_| {})
        .await
        .unwrap();
    assert!(run.records[0].error.as_deref().unwrap().contains("timeout"));
}

#[tokio::test]
async fn progress_is_told_after_every_request() {
    let engine = engine(FAST).await;
    engine
        .inject(fault(json!({"kind": "status", "code": 500})))
        .unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let load = conversations("sessions=3,turns=2,think_ms=0,rate=1e6,shared=10,user=5,output=2");
    let planned = load.requests();
    run(load, ReplayOptions::new(&engine.url()), move |progress| {
        assert_eq!(progress.planned, planned);
        assert!(progress.done + progress.skipped <= planned);
        counted.fetch_add(1, Ordering::SeqCst);
    })
    .await
    .unwrap();
    assert_eq!(
        calls.load(Ordering::SeqCst),
        5 + 1,
        "five requests and one skip"
    );
}

#[tokio::test]
async fn a_run_that_makes_no_sense_does_not_start() {
    let load = || conversations("sessions=1,turns=1");
    for target in ["localhost:1", "https://x", "http://", ""] {
        let error = run(load(), ReplayOptions::new(target), |_| {})
            .await
            .unwrap_err();
        assert!(
            matches!(error, ReplayError::Target { .. }),
            "{target}: {error}"
        );
    }
    let good = ReplayOptions::new("http://127.0.0.1:9");
    for options in [
        ReplayOptions {
            time_scale: 0.0,
            ..good.clone()
        },
        ReplayOptions {
            time_scale: f64::NAN,
            ..good.clone()
        },
        ReplayOptions {
            concurrency_max: 0,
            ..good.clone()
        },
    ] {
        let error = run(load(), options, |_| {}).await.unwrap_err();
        assert!(matches!(error, ReplayError::OutOfRange), "{error}");
    }
    let engine = engine(FAST).await;
    let url = engine.url();
    engine.shutdown().await;
    let error = run(load(), ReplayOptions::new(&url), |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, ReplayError::Models { .. }), "{error}");
}

#[tokio::test]
async fn a_run_that_is_stopped_keeps_what_it_measured() {
    let engine = engine(FROZEN).await;
    engine
        .inject(fault(json!({"kind": "status", "code": 500})))
        .unwrap();
    let load = conversations("sessions=2,turns=3,rate=1e6");
    let options = ReplayOptions {
        // One after the other, so that the first fails and the second hangs.
        concurrency_max: 1,
        ..ReplayOptions::new(&engine.url())
    };
    let stop = async {
        engine.wait_until(|state| state.running == 1).await;
    };
    let run = run_until(load, options, |_| {}, stop).await.unwrap();
    assert_eq!((run.records.len(), run.meta.skipped), (1, 5));
    engine.wait_until(|state| state.aborted_total == 1).await;
}
