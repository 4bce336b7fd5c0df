//! Where requests go, as clients and engines see it.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};
use warmgate_loadtest::engine::{EngineConfig, EngineHandle};

use crate::engines::{engine, engine_like, engines, fast};
use crate::gateway_process::{GatewayProcess, Start};
use crate::http_client::{self, Answer, chat, post};

/// Every policy that `--policy` takes.
const POLICIES: [&str; 8] = [
    "cost",
    "random",
    "round_robin",
    "least_request",
    "power_of_two",
    "prefix_affinity",
    "consistent_hash",
    "session",
];
const TURNS: usize = 4;
/// Bytes of one message; some thousand tokens, as agents send.
const MESSAGE_BYTES: usize = 8_000;

/// A message like no other.
fn message(conversation: usize, turn: usize) -> Value {
    let word = format!("c{conversation}t{turn} ");
    let text = word.repeat(MESSAGE_BYTES / word.len());
    json!({"role": "user", "content": text})
}

fn conversation(number: usize, turns: usize) -> Value {
    let messages: Vec<_> = (0..turns).map(|turn| message(number, turn)).collect();
    json!({"model": "sim", "messages": messages, "max_tokens": 1})
}

async fn ask(gateway: &GatewayProcess, headers: &[(&str, &str)], body: &Value) -> Answer {
    let request = post("/v1/chat/completions", headers, body.to_string());
    let answer = http_client::send(gateway.listen, request).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer
}

/// Turns after the first whose prompt the engine had, but for the new message, in its cache.
async fn warm_turns(gateway: &GatewayProcess, conversations: usize) -> usize {
    let mut warm = 0;
    let mut before = vec![0.0; conversations];
    for turn in 1..=TURNS {
        for (number, before) in before.iter_mut().enumerate() {
            let answer = ask(gateway, &[], &conversation(number, turn)).await.json();
            let usage = &answer["usage"];
            let cached = usage["prompt_tokens_details"]["cached_tokens"].as_f64();
            warm += usize::from(turn > 1 && cached.unwrap_or(0.0) > 0.9 * *before);
            *before = usage["prompt_tokens"].as_f64().unwrap();
        }
    }
    warm
}

#[tokio::test]
async fn a_conversation_stays_where_it_is_warm() {
    // Odd, so that turns in order do not meet the same engine by chance.
    const CONVERSATIONS: usize = 9;
    let all: [EngineHandle; 4] = engines().await;
    let gateway = Start::in_front_of(&all).run().await;
    let warm = warm_turns(&gateway, CONVERSATIONS).await;
    assert_eq!(warm, CONVERSATIONS * (TURNS - 1));
    let met = all
        .iter()
        .filter(|engine| engine.state().received_total > 0);
    assert!(met.count() >= 3, "conversations are spread");

    let all: [EngineHandle; 4] = engines().await;
    let blind = Start::in_front_of(&all).arguments(&["--policy", "round_robin"]);
    let warm = warm_turns(&blind.run().await, CONVERSATIONS).await;
    assert!(warm < CONVERSATIONS, "{warm} by chance alone");
}

fn rows(answer: &Answer) -> Vec<Value> {
    let decision: Value = serde_json::from_str(answer.header("x-warmgate-decision")).unwrap();
    decision["rows"].as_array().unwrap().clone()
}

fn explained(engines: &[EngineHandle], is_allowed: bool) -> Start {
    let urls: Vec<_> = engines.iter().map(EngineHandle::url).collect();
    Start::with_config(&format!(
        "explain: {is_allowed}\npools: [{{name: main, upstreams: {urls:?}}}]\n"
    ))
}

#[tokio::test]
async fn a_prompt_under_another_salt_is_not_warm() {
    let all: [EngineHandle; 2] = engines().await;
    let gateway = explained(&all, true).run().await;
    let explain = [("x-warmgate-explain", "1")];
    let matched = |answer: &Answer| -> f64 {
        let of_each = rows(answer)
            .into_iter()
            .map(|row| row["matched_tokens"].as_f64());
        of_each.map(Option::unwrap).sum()
    };
    let salted = |salt: Option<&str>| {
        let mut body = conversation(0, 2);
        if let Some(salt) = salt {
            body["cache_salt"] = json!(salt);
        }
        body
    };
    for salt in [None, Some("tenant-a"), Some("tenant-b")] {
        let first = ask(&gateway, &explain, &salted(salt)).await;
        assert_eq!(matched(&first), 0.0, "{salt:?}");
        let second = ask(&gateway, &explain, &salted(salt)).await;
        assert!(matched(&second) > 1_000.0, "{salt:?}");
        assert_eq!(second.endpoint(), first.endpoint());
    }
}

#[tokio::test]
async fn a_decision_is_explained_where_that_is_asked_for_and_allowed() {
    let all: [EngineHandle; 2] = engines().await;
    let body = conversation(0, 1);
    let asked = [("x-warmgate-explain", "1")];

    let allowed = explained(&all, true).run().await;
    let answer = ask(&allowed, &asked, &body).await;
    let shown = rows(&answer);
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0]["endpoint"], answer.endpoint());
    for key in [
        "matched_tokens",
        "uncached_tokens",
        "load",
        "score",
        "reason",
    ] {
        assert!(!shown[0][key].is_null(), "{key}: {}", shown[0]);
    }
    for headers in [&[][..], &[("x-warmgate-explain", "0")]] {
        let answer = ask(&allowed, headers, &body).await;
        assert_eq!(answer.header("x-warmgate-decision"), "");
    }

    let refused = explained(&all, false).run().await;
    let answer = ask(&refused, &asked, &body).await;
    assert_eq!(answer.header("x-warmgate-decision"), "");
    // Operators may always ask, and it changes nothing: not even a prompt that nobody has sent is
    // remembered.
    let blocks = async || {
        refused
            .metrics()
            .await
            .sum("warmgate_prefix_index_blocks", &[])
    };
    let before = blocks().await;
    let never_sent = conversation(7, 1);
    let question = json!({"path": "/v1/chat/completions", "body": never_sent}).to_string();
    let request = post("/explain", &[], question);
    let answer = http_client::send(refused.admin, request).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let rows = &answer.json()["decision"]["rows"];
    assert!(rows[0]["matched_tokens"].is_u64(), "{rows}");
    assert_eq!(blocks().await, before);
}

#[tokio::test]
async fn headers_that_show_endpoints_can_be_switched_off() {
    let engine = engine().await;
    let config = format!(
        "response_headers: {{endpoint: false}}\npools: [{{name: main, upstreams: ['{}']}}]\n",
        engine.url()
    );
    let gateway = Start::with_config(&config).run().await;
    let answer = ask(&gateway, &[], &conversation(0, 1)).await;
    assert_eq!(answer.endpoint(), "");
    let answer = http_client::get(gateway.listen, "/version").await.unwrap();
    assert_eq!(answer.endpoint(), "");
}

/// Two pools with one engine each, and routes between them.
async fn two_pools(routes: &str) -> (EngineHandle, EngineHandle, GatewayProcess) {
    let serving = |name: &str| EngineConfig {
        models: vec![name.to_owned()],
        ..fast()
    };
    let (small, large) = (
        engine_like(serving("small-7b")).await,
        engine_like(serving("large-70b")).await,
    );
    let config = format!(
        "pools:\n- {{name: small, upstreams: ['{}']}}\n- {{name: large, upstreams: ['{}']}}\n\
         routes: {routes}\n",
        small.url(),
        large.url()
    );
    let gateway = Start::with_config(&config).run().await;
    (small, large, gateway)
}

#[tokio::test]
async fn a_route_changes_the_models_name_and_no_other_byte() {
    let routes = "[{model: chat, targets: [{pool: large, model: large-70b}]}, \
                   {model: \"*\", targets: [{pool: small}]}]";
    let (small, large, gateway) = two_pools(routes).await;
    let sent = concat!(
        r#"{ "seed":9007199254740993,"x":{"model":"chat"},"model" : "chat" ,"#,
        r#""prompt":"\u00e9 \"model\":\"chat\"","max_tokens":1, "bootstrap_room":1 }"#
    );
    let answer = http_client::send(gateway.listen, post("/v1/completions", &[], sent)).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.endpoint(), large.addr().to_string());
    let received = large.last_request().unwrap();
    let received = std::str::from_utf8(&received.body).unwrap();
    assert!(received.starts_with(
        r#"{ "seed":9007199254740993,"x":{"model":"chat"},"model" : "large-70b" ,"prompt":"\u00e9 \"model\":\"chat\"","max_tokens":1"#
    ), "{received}");
    assert!(!received.contains("bootstrap_room"), "{received}");

    let plain = r#"{"model":"small-7b","prompt":"p","max_tokens":1}"#;
    let answer = http_client::send(gateway.listen, post("/v1/completions", &[], plain)).await;
    assert_eq!(answer.unwrap().endpoint(), small.addr().to_string());
    assert_eq!(small.last_request().unwrap().body, plain.as_bytes());
    let list = http_client::get(gateway.listen, "/v1/models")
        .await
        .unwrap()
        .json();
    let names: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert_eq!(names, ["chat", "small-7b"]);
}

#[tokio::test]
async fn a_model_that_nobody_serves_is_refused_with_those_that_are() {
    let any = "[{model: chat, targets: [{pool: large, model: large-70b}]}, \
                {model: \"*\", targets: [{pool: small}]}]";
    let named = "[{model: chat, targets: [{pool: large, model: large-70b}]}]";
    for (routes, known) in [(any, &["chat", "small-7b"][..]), (named, &["chat"])] {
        let (small, large, gateway) = two_pools(routes).await;
        let body = r#"{"model":"gpt-9","messages":[{"role":"user","content":"p"}],"max_tokens":1}"#;
        let request = post("/v1/chat/completions", &[], body);
        let answer = http_client::send(gateway.listen, request).await.unwrap();
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "model_not_found");
        assert_eq!(error["param"], "model");
        let message = error["message"].as_str().unwrap();
        for name in known.iter().chain(&["gpt-9"]) {
            assert!(message.contains(name), "{name}: {message}");
        }
        let request = post("/v1/messages", &[], body);
        let answer = http_client::send(gateway.listen, request).await.unwrap();
        assert_eq!(answer.json()["error"]["type"], "not_found_error");
        assert_eq!(
            small.state().received_total + large.state().received_total,
            0
        );
    }
}

#[tokio::test]
async fn every_policy_can_be_chosen_and_serves() {
    let all: [EngineHandle; 3] = engines().await;
    for policy in POLICIES {
        let gateway = Start::in_front_of(&all)
            .arguments(&["--policy", policy])
            .run()
            .await;
        let pools = http_client::get(gateway.admin, "/pools")
            .await
            .unwrap()
            .json();
        assert_eq!(pools[0]["policy"]["name"], policy, "{pools}");
        let mut met = BTreeSet::new();
        let mut of_session = BTreeSet::new();
        for number in 0..12 {
            let answer = http_client::send(gateway.listen, chat(&format!("p{number}"), 1, false));
            let answer = answer.await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{policy}: {}", answer.text());
            met.insert(answer.endpoint().to_owned());
            // One request that has not quite ended fills a home at this little load.
            gateway.assert_settled().await;
            let one = [("x-session-id", "one")];
            of_session.insert(
                ask(&gateway, &one, &conversation(0, 1))
                    .await
                    .endpoint()
                    .to_owned(),
            );
            gateway.assert_settled().await;
        }
        if policy == "round_robin" {
            assert_eq!(met.len(), 3);
        }
        if ["session", "consistent_hash"].contains(&policy) {
            assert_eq!(of_session.len(), 1, "{policy}");
        }
    }
}

#[tokio::test]
async fn engines_controls_do_not_reach_engines() {
    let engine = engine().await;
    let gateway = Start::in_front_of([&engine]).run().await;
    for path in ["/reset_prefix_cache", "/flush_cache", "/sleep?level=1"] {
        let answer = http_client::send(gateway.listen, post(path, &[], "")).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.json()["error"]["code"], "engine_control");
        assert_eq!(answer.endpoint(), "");
    }
}
