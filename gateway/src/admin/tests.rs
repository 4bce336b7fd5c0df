//! Every path over the application itself, without a socket.

use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use warmgate_routing::endpoint::{Engine, Serving};
use warmgate_routing::health::Failure;
use warmgate_routing::pod::{Conditions, Pod};
use warmgate_routing::report::{EngineReport, ServedModel};
use warmgate_routing::{EndpointEvent, EndpointKey, EndpointSpec, Policy, RouterSettings, Tokens};

use super::*;

/// Repeats what it was asked.
struct Echo;

impl Explain for Echo {
    fn explain(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<Value, GatewayError> {
        if path != "/v1/completions" {
            return Err(GatewayError::NoSuchPath);
        }
        let session = headers
            .get("x-session-id")
            .map(|value| value.to_str().unwrap());
        Ok(json!({"session": session, "body": std::str::from_utf8(body).unwrap()}))
    }

    fn routes(&self) -> Value {
        json!([{"name": "chat"}])
    }

    fn reset_target(&self, route: &str, target: &str) -> Option<bool> {
        (route == "org/chat").then_some(target == "canary")
    }
}

fn state(pools: Vec<(String, Arc<Router>)>) -> AdminState {
    AdminState {
        pools: Arc::new(ArcSwap::from_pointee(pools)),
        metrics: Arc::default(),
        is_draining: Arc::default(),
        config: Arc::new(ArcSwap::from_pointee(json!({"listen": "0.0.0.0:8080"}))),
        explain: Arc::new(Echo),
    }
}

fn pool(name: &str, authorities: &[&str]) -> (String, Arc<Router>) {
    let router = Router::new(RouterSettings::default(), Policy::default());
    for authority in authorities {
        let spec = EndpointSpec::at(authority, ([127, 0, 0, 1], 8000).into(), false);
        router.apply(EndpointEvent::Apply(spec));
    }
    (name.to_owned(), Arc::new(router))
}

fn key(authority: &str) -> EndpointKey {
    EndpointKey(format!("http://{authority}").into())
}

fn answer_probe(router: &Router, authority: &str) {
    let report = EngineReport::empty(Engine::Vllm);
    router.observe(&key(authority), report, Instant::now());
}

async fn send(state: &AdminState, method: Method, path: &str, body: &str) -> (Response, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let answer = app(state.clone()).oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    (Response::from_parts(head, Body::from(body)), json)
}

async fn get(state: &AdminState, path: &str) -> (StatusCode, Value) {
    let (answer, json) = send(state, Method::GET, path, "").await;
    (answer.status(), json)
}

#[tokio::test]
async fn healthy_while_it_lives() {
    let state = state(Vec::new());
    state.is_draining.store(true, Ordering::Release);
    let (status, json) = get(&state, "/health").await;
    assert_eq!((status, &json["status"]), (StatusCode::OK, &json!("ok")));
}

#[tokio::test]
async fn ready_while_an_endpoint_answers() {
    const OK: StatusCode = StatusCode::OK;
    const NO: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
    let check = async |state: &AdminState, status, degraded, reasons: &[&str]| {
        let (found, json) = get(state, "/ready").await;
        assert_eq!(found, status, "{json}");
        assert_eq!(json["ready"], found == OK, "{json}");
        assert_eq!(json["degraded"], degraded, "{json}");
        assert_eq!(json["reasons"], json!(reasons));
    };
    check(&state(Vec::new()), NO, false, &["no pool is configured"]).await;
    let main = pool("main", &["a:1", "b:2"]);
    let other = pool("other", &[]);
    let router = Arc::clone(&main.1);
    let state = state(vec![main, other]);
    let empty = "pool `other` has no endpoint";
    let silent = "none of the 2 endpoints of pool `main` answers";
    check(&state, NO, false, &[silent, empty]).await;
    answer_probe(&router, "a:1");
    check(&state, OK, true, &[empty]).await;
    state.is_draining.store(true, Ordering::Release);
    check(&state, NO, false, &["the gateway is draining", empty]).await;
    state.is_draining.store(false, Ordering::Release);
    for endpoint in router.pool().all().iter() {
        endpoint
            .health
            .note_failure(Failure::Connect, Instant::now());
    }
    check(&state, NO, false, &[silent, empty]).await;
    answer_probe(&router, "b:2");
    check(&state, OK, true, &[empty]).await;
    let gone = EndpointSpec {
        serving: Serving::Terminating,
        ..EndpointSpec::at("b:2", ([127, 0, 0, 1], 8000).into(), false)
    };
    router.apply(EndpointEvent::Apply(gone));
    check(&state, NO, false, &[silent, empty]).await;
}

#[tokio::test]
async fn shows_what_is_known_of_each_endpoint() {
    let main = pool("main", &["a:1"]);
    let router = Arc::clone(&main.1);
    let state = state(vec![main]);
    let (_, json) = get(&state, "/endpoints").await;
    assert_eq!(
        (&json[0]["models"], &json[0]["scraped"]),
        (&Value::Null, &Value::Null)
    );
    let model = ServedModel {
        name: "llama".to_owned(),
        parent: None,
        max_model_len: None,
    };
    router.observe_models(&key("a:1"), vec![model]);
    let report = EngineReport {
        running: Some(3),
        waiting: Some(1),
        capacity: Some(Tokens(64_000)),
        ..EngineReport::empty(Engine::Vllm)
    };
    // Others' load counts once two readings show it.
    for reading in [report.clone(), report] {
        router.observe(&key("a:1"), reading, Instant::now());
    }
    let (status, mut json) = get(&state, "/endpoints").await;
    assert_eq!(status, StatusCode::OK);
    let age = json[0]["scraped"]["age_s"].take();
    assert!(age.as_f64().is_some_and(|age| age >= 0.0), "{age}");
    assert_eq!(
        json,
        json!([{
            "address": "a:1", "key": "http://a:1", "pool": "main", "engine": "vllm",
            "role": "both", "models": ["llama"], "labels": {}, "state": "ready",
            "ready": true, "serving": true, "terminating": false, "pod": null, "pod_uid": null,
            "namespace": null, "restarts": null, "node": null, "zone": null, "for_zones": [],
            "model_version": null, "source_stale_s": 0.0, "health": "healthy", "usable": true, "inflight": 0, "queued_prefill_tokens": 0,
            "decoding": 0, "prompt_tokens": 0, "foreign_running": 3, "foreign_waiting": 1,
            "scraped": {
                "age_s": null, "stale": false, "running": 3, "waiting": 1, "kv_usage": null,
                "capacity_tokens": 64_000, "prefix_query_tokens": null, "prefix_hit_tokens": null,
            },
            "known_cached_tokens": 0, "recent_work_tokens": 0,
            "cache": {
                "device_tokens": 64_000, "all_tokens": 128_000, "feedback": "unknown",
                "lost": 0, "lost_at": null,
            },
        }])
    );
    let (_, json) = get(&state, "/pools").await;
    assert_eq!(json[0]["policy"]["name"], "cost");
    assert_eq!(
        (&json[0]["usable"], &json[0]["models"]),
        (&json!(1), &json!(["llama"]))
    );
}

#[tokio::test]
async fn a_target_that_a_guard_watches_is_reset_by_its_names() {
    let state = state(Vec::new());
    let reset = async |path: &str| {
        let path = format!("/routes/{path}/reset");
        let (answer, json) = send(&state, Method::POST, &path, "").await;
        (answer.status(), json)
    };
    let (status, json) = reset("org%2Fchat/targets/canary").await;
    assert_eq!(status, StatusCode::OK);
    let expected = json!({"route": "org/chat", "target": "canary", "reset": true});
    assert_eq!(json, expected);
    let (_, json) = reset("org%2Fchat/targets/fine").await;
    assert_eq!(json["reset"], false);
    let (status, json) = reset("other/targets/canary").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(json["error"]["code"], "guard_not_found");
}

#[tokio::test]
async fn a_source_out_of_touch_is_degraded_and_stays_ready() {
    let main = pool("main", &["a:1"]);
    let router = Arc::clone(&main.1);
    let state = state(vec![main]);
    let touch = state.metrics.pool("main").begin_source();
    touch.lose(Instant::now().checked_sub(Duration::from_secs(7)).unwrap());
    let (status, json) = get(&state, "/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "nobody answers");
    assert_eq!(json["degraded"], false);

    answer_probe(&router, "a:1");
    let (status, json) = get(&state, "/ready").await;
    let stale_s = json["pools"][0]["source_stale_s"].as_u64().unwrap();
    assert_eq!((status, &json["degraded"]), (StatusCode::OK, &json!(true)));
    let reason = format!("the source of pool `main` has been out of touch for {stale_s} s");
    let said = json["reasons"][0].as_str().unwrap();
    assert!(said.starts_with(&reason), "{json}");
    let (_, json) = get(&state, "/endpoints").await;
    assert!(json[0]["source_stale_s"].as_f64() > Some(0.0), "{json}");

    touch.regain(Instant::now());
    let (status, json) = get(&state, "/ready").await;
    assert_eq!((status, &json["degraded"]), (StatusCode::OK, &json!(false)));
    assert_eq!(json["reasons"], json!([]));
    let (_, json) = get(&state, "/endpoints").await;
    assert_eq!(json[0]["source_stale_s"], 0.0);
}

#[tokio::test]
async fn shows_the_pod_behind_an_endpoint() {
    let main = pool("main", &[]);
    let router = Arc::clone(&main.1);
    let at = |authority| EndpointSpec::at(authority, ([10, 0, 0, 1], 8000).into(), false);
    let pod = Pod {
        namespace: "llm".to_owned(),
        name: "vllm-0".to_owned(),
        uid: "c0ffee".to_owned(),
        conditions: Conditions {
            ready: false,
            serving: true,
            terminating: true,
        },
        restarts: Some(2),
        node: Some("gpu-1".to_owned()),
        zone: Some("a".to_owned()),
        for_zones: vec!["a".to_owned()],
        model_version: Some("v2".to_owned()),
    };
    router.apply(EndpointEvent::Apply(EndpointSpec {
        serving: Serving::Terminating,
        pod: Some(Arc::new(pod)),
        ..at("a:1")
    }));
    let blip = EndpointSpec {
        serving: Serving::NotReady,
        pod: Some(Arc::default()),
        ..at("b:1")
    };
    router.apply(EndpointEvent::Apply(blip));
    let listed = EndpointSpec {
        serving: Serving::Terminating,
        ..at("c:1")
    };
    router.apply(EndpointEvent::Apply(listed));
    let (_, json) = get(&state(vec![main]), "/endpoints").await;
    let row = |authority: &str| {
        let mut rows = json.as_array().unwrap().iter();
        rows.find(|row| row["address"] == authority)
            .unwrap()
            .clone()
    };
    for (authority, key, value) in [
        ("a:1", "pod", json!("vllm-0")),
        ("a:1", "pod_uid", json!("c0ffee")),
        ("a:1", "namespace", json!("llm")),
        ("a:1", "state", json!("terminating")),
        ("a:1", "ready", json!(false)),
        ("a:1", "serving", json!(true)),
        ("a:1", "terminating", json!(true)),
        ("a:1", "restarts", json!(2)),
        ("a:1", "node", json!("gpu-1")),
        ("a:1", "zone", json!("a")),
        ("a:1", "for_zones", json!(["a"])),
        ("a:1", "model_version", json!("v2")),
        ("b:1", "pod_uid", Value::Null),
        ("b:1", "state", json!("not_ready")),
        ("b:1", "serving", json!(false)),
        ("c:1", "pod", Value::Null),
        ("c:1", "ready", json!(false)),
        ("c:1", "serving", json!(true)),
        ("c:1", "terminating", json!(true)),
    ] {
        assert_eq!(row(authority)[key], value, "{authority} {key}");
    }
}

#[tokio::test]
async fn metrics_are_a_page_for_prometheus() {
    let main = pool("main", &["a:1"]);
    answer_probe(&main.1, "a:1");
    let (answer, _) = send(&state(vec![main]), Method::GET, "/metrics", "").await;
    assert_eq!(
        answer.headers()[header::CONTENT_TYPE],
        "text/plain; version=0.0.4"
    );
    let page = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains("\nwarmgate_ready 1\n"), "{page}");
    assert!(page.contains(r#"warmgate_inflight_requests{endpoint="a:1",pool="main"} 0"#));
}

#[tokio::test]
async fn shows_the_configuration() {
    let (status, json) = get(&state(Vec::new()), "/config").await;
    assert_eq!(
        (status, json),
        (StatusCode::OK, json!({"listen": "0.0.0.0:8080"}))
    );
}

#[tokio::test]
async fn explains_the_body_byte_for_byte() {
    let state = state(Vec::new());
    let ask = r#"{"path":"/v1/completions","headers":{"X-Session-Id":"s"},"body":{"a" : 1.0}}"#;
    let (answer, json) = send(&state, Method::POST, "/explain", ask).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(json, json!({"session": "s", "body": r#"{"a" : 1.0}"#}));
}

#[tokio::test]
async fn explains_why_it_cannot_explain() {
    let state = state(Vec::new());
    for (ask, status, code) in [
        (r#"{"path":"/nowhere","body":{}}"#, 404, "path_not_found"),
        (r#"{"path":"/v1/completions"}"#, 400, "bad_request"),
        (r#"{"path":"p","body":{},"secret":1}"#, 400, "bad_request"),
        (
            r#"{"path":"p","headers":"secret","body":{}}"#,
            400,
            "bad_request",
        ),
        (
            r#"{"path":"p","headers":{"a b":"secret"},"body":{}}"#,
            400,
            "bad_request",
        ),
        ("secret", 400, "bad_request"),
    ] {
        let (answer, json) = send(&state, Method::POST, "/explain", ask).await;
        assert_eq!(answer.status().as_u16(), status, "{ask}: {json}");
        assert_eq!(json["error"]["code"], code, "{ask}");
        assert!(!json.to_string().contains("secret"), "{json}");
    }
}

#[tokio::test]
async fn takes_descriptions_as_large_as_the_limit_and_no_larger() {
    let state = state(Vec::new());
    let frame = r#"{"path":"/nowhere","body":""}"#.len();
    for (length, status) in [
        (EXPLAIN_BODY_BYTES_MAX, 404),
        (EXPLAIN_BODY_BYTES_MAX + 1, 413),
    ] {
        let prompt = "x".repeat(length - frame);
        let ask = format!(r#"{{"path":"/nowhere","body":"{prompt}"}}"#);
        let (answer, json) = send(&state, Method::POST, "/explain", &ask).await;
        assert_eq!(answer.status().as_u16(), status, "{json}");
    }
}

#[tokio::test]
async fn what_is_no_route_is_an_error_in_json() {
    let state = state(Vec::new());
    for (method, path, status, code) in [
        (Method::GET, "/", 404, "path_not_found"),
        (Method::GET, "/endpoints/1", 404, "path_not_found"),
        (Method::POST, "/health", 405, "wrong_method"),
        (Method::GET, "/explain", 405, "wrong_method"),
    ] {
        let (answer, json) = send(&state, method, path, "").await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert_eq!(json["error"]["code"], code, "{path}");
        assert_eq!(answer.headers().contains_key(header::ALLOW), status == 405);
    }
}

#[tokio::test]
async fn every_row_of_the_table_answers() {
    let state = state(Vec::new());
    for route in routes::ROUTES {
        let method = route.method.parse().unwrap();
        let (answer, _) = send(&state, method, route.path, "").await;
        let status = answer.status().as_u16();
        assert!(route.statuses.contains(&status), "{}: {status}", route.path);
    }
}

#[test]
fn the_committed_reference_is_current() {
    let committed = include_str!("../../../docs/admin.md");
    assert!(committed == reference(), "run `cargo xtask generate`");
}
