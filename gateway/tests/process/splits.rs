//! A model split over two pools, while its weights change under load.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use http::StatusCode;
use serde_json::{Value, json};
use warmgate_loadtest::engine::{EngineConfig, EngineHandle};

use crate::engines::{engine_like, fast};
use crate::gateway_process::{GatewayProcess, Page, Start};
use crate::http_client::{self, Answer, post};

const CONVERSATIONS: usize = 500;
const TURNS: usize = 20;
/// The turn in which the weights change.
const CHANGE: usize = 10;
/// Requests under way at a time.
const CONCURRENCY: usize = 16;
const MESSAGE_BYTES: usize = 100;
/// Tokens of a prompt that its engine may not have kept: a part of a block, and how a turn begins.
const COLD_TOKENS_MAX: f64 = 32.0;

const REQUESTS: &str = "warmgate_target_requests_total";

/// One engine for each version, and a gateway with these keys of the route before its targets.
struct Versions {
    stable: EngineHandle,
    canary: EngineHandle,
}

impl Versions {
    async fn start() -> Versions {
        let serving = |name: &str| EngineConfig {
            models: vec![name.to_owned()],
            ..fast()
        };
        Versions {
            stable: engine_like(serving("chat-v1")).await,
            canary: engine_like(serving("chat-v2")).await,
        }
    }

    fn config(&self, keys: &str, weights: [u32; 2]) -> String {
        let [stable, canary] = weights;
        format!(
            "pools:\n- {{name: a, upstreams: ['{}']}}\n- {{name: b, upstreams: ['{}']}}\n\
             routes:\n- model: chat\n  {keys}\n  targets:\n  \
             - {{name: stable, pool: a, model: chat-v1, weight: {stable}}}\n  \
             - {{name: canary, pool: b, model: chat-v2, weight: {canary}}}\n",
            self.stable.url(),
            self.canary.url(),
        )
    }
}

/// A conversation as a plain client sends it: nothing names it, all clients have one API key.
fn body(conversation: usize, turns: usize) -> String {
    let text = |role: &str, turn: usize| {
        let word = format!("{role}{conversation}t{turn} ");
        json!({"role": role, "content": word.repeat(MESSAGE_BYTES / word.len())})
    };
    let mut messages = vec![json!({"role": "system", "content": "you are kind"})];
    for turn in 0..turns {
        messages.push(text("user", turn));
        messages.push(text("assistant", turn));
    }
    messages.pop();
    json!({"model": "chat", "messages": messages, "max_tokens": 1}).to_string()
}

/// What one conversation has met.
#[derive(Clone, Default)]
struct Met {
    targets: Vec<String>,
    prompt_tokens: f64,
    /// Turns after the first for which the engine had all but the news.
    warm: usize,
}

async fn ask(gateway: &GatewayProcess, headers: &[(&str, &str)], body: String) -> Answer {
    let headers = [headers, &[("authorization", "Bearer EMPTY")]].concat();
    let request = post("/v1/chat/completions", &headers, body);
    let answer = http_client::send(gateway.listen, request).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer
}

/// One turn of every conversation.
async fn turn(gateway: &GatewayProcess, turn: usize, met: Vec<Met>) -> Vec<Met> {
    let one = |(number, mut met): (usize, Met)| async move {
        let answer = ask(gateway, &[], body(number, turn + 1)).await;
        let json = answer.json();
        assert_eq!(json["model"], "chat");
        let usage = &json["usage"];
        let cached = usage["prompt_tokens_details"]["cached_tokens"].as_f64();
        met.warm +=
            usize::from(turn > 0 && cached.unwrap_or(0.0) >= met.prompt_tokens - COLD_TOKENS_MAX);
        met.prompt_tokens = usage["prompt_tokens"].as_f64().unwrap();
        met.targets
            .push(answer.header("x-warmgate-target").to_owned());
        met
    };
    futures::stream::iter(met.into_iter().enumerate())
        .map(one)
        .buffered(CONCURRENCY)
        .collect()
        .await
}

async fn weight_of_canary(gateway: &GatewayProcess) -> f64 {
    let labels = [("route", "chat"), ("target", "canary")];
    gateway
        .metrics()
        .await
        .sum("warmgate_target_weight", &labels)
}

/// Five standard deviations; the keys of these conversations are the same in every run.
fn assert_share(count: usize, share: f64) {
    let conversations = CONVERSATIONS as f64;
    let error = 5.0 * (conversations * share * (1.0 - share)).sqrt();
    let distance = (count as f64 - conversations * share).abs();
    assert!(distance <= error, "{count} where the share is {share}");
}

#[tokio::test]
async fn weights_that_change_under_load_move_only_as_much_as_they_say() {
    let versions = Versions::start().await;
    let gateway = Start::with_config(&versions.config("sticky: true", [90, 10]))
        .run()
        .await;
    let mut met = vec![Met::default(); CONVERSATIONS];
    for number in 0..TURNS {
        if number == CHANGE {
            gateway.rewrite_config(&versions.config("sticky: true", [70, 30]));
            // Again and again, so that requests are under way while the weights change.
            while weight_of_canary(&gateway).await < 30.0 {
                met = turn(&gateway, number, met).await;
            }
        }
        met = turn(&gateway, number, met).await;
    }

    let (mut before, mut after, mut moved) = (0, 0, 0);
    for met in &met {
        let (early, rest) = met.targets.split_at(CHANGE);
        let late = &rest[rest.len() - (TURNS - CHANGE)..];
        let [first, last] = [&early[0], &late[0]];
        assert!(early.iter().all(|target| target == first));
        assert!(late.iter().all(|target| target == last));
        if first != last {
            assert_eq!((first.as_str(), last.as_str()), ("stable", "canary"));
            moved += 1;
        }
        before += usize::from(first == "canary");
        after += usize::from(last == "canary");
        // Who has not moved finds its cache, and who has moved is cold once.
        let cold = 1 + usize::from(first != last);
        assert_eq!(met.warm, met.targets.len() - cold, "{:?}", met.targets);
    }
    assert_share(before, 0.1);
    assert_share(moved, 0.2);
    assert_share(after, 0.3);

    let met: Vec<&String> = met.iter().flat_map(|met| &met.targets).collect();
    let counted = |page: &Page| page.sum(REQUESTS, &[]) == met.len() as f64;
    let page = gateway.until_metrics(counted).await;
    let on_canary = met.iter().filter(|target| *target == &"canary").count();
    let canary = [("route", "chat"), ("target", "canary")];
    assert_eq!(page.sum(REQUESTS, &canary), on_canary as f64);
    gateway.assert_settled().await;
}

#[tokio::test]
async fn testers_choose_a_target_where_they_may_and_operators_see_why() {
    let versions = Versions::start().await;
    let force = [("x-warmgate-target", "canary")];
    let config = |keys: &str| versions.config(keys, [100, 0]);
    let gateway = Start::with_config(&config("force_target: true"))
        .run()
        .await;
    let target = |answer: &Answer| answer.header("x-warmgate-target").to_owned();
    assert_eq!(target(&ask(&gateway, &[], body(0, 1)).await), "stable");
    let forced = ask(&gateway, &force, body(0, 1)).await;
    assert_eq!(target(&forced), "canary");
    assert_eq!(forced.endpoint(), versions.canary.addr().to_string());
    let sent = versions.canary.last_request().unwrap();
    assert!(!sent.headers.contains_key("x-warmgate-target"));

    let unknown = post(
        "/v1/chat/completions",
        &[("x-warmgate-target", "blue")],
        body(0, 1),
    );
    let answer = http_client::send(gateway.listen, unknown).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["error"]["code"], "target_not_found");
    assert!(answer.text().contains("use one of: stable, canary"));

    let question = json!({
        "path": "/v1/chat/completions",
        "headers": {"x-warmgate-target": "canary"},
        "body": serde_json::from_str::<Value>(&body(0, 1)).unwrap(),
    });
    let request = post("/explain", &[], question.to_string());
    let why = http_client::send(gateway.admin, request)
        .await
        .unwrap()
        .json();
    assert_eq!(
        (&why["target"], &why["target_reason"]),
        (&json!("canary"), &json!("forced")),
        "{why}"
    );
    let routes = http_client::get(gateway.admin, "/routes").await.unwrap();
    assert_eq!(routes.json()[0]["targets"][0]["share"], 1.0);

    gateway.rewrite_config(&config("force_target: false"));
    let held = |page: &Page| page.sum("warmgate_config_reloads_total", &[]) == 1.0;
    gateway.until_metrics(held).await;
    assert_eq!(target(&ask(&gateway, &force, body(0, 1)).await), "stable");
    gateway.rewrite_config(&format!(
        "response_headers: {{target: false}}\n{}",
        config("")
    ));
    let hidden = |page: &Page| page.sum("warmgate_config_reloads_total", &[]) == 2.0;
    gateway.until_metrics(hidden).await;
    assert_eq!(target(&ask(&gateway, &[], body(0, 1)).await), "");
}

#[tokio::test]
async fn a_target_without_endpoints_is_named_in_the_error() {
    let versions = Versions::start().await;
    let config = versions.config("sticky: true", [100, 0]);
    let nobody = format!("upstreams: ['{}']", versions.stable.url());
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("none.yaml");
    std::fs::write(&empty, "endpoints: []\n").unwrap();
    let text = config.replace(&nobody, &format!("file: {}", empty.display()));
    let gateway = Start::with_config(&text).run().await;
    let request = post("/v1/chat/completions", &[], body(0, 1));
    let answer = http_client::send(gateway.listen, request).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("x-warmgate-target"), "stable");
    let labels = [("route", "chat"), ("target", "stable")];
    let counted = |page: &Page| page.sum("warmgate_target_requests_total", &labels) == 1.0;
    gateway.until_metrics(counted).await;
}

#[tokio::test]
async fn what_is_not_sticky_is_drawn_for_each_request() {
    let versions = Versions::start().await;
    let config = versions.config("sticky: false", [50, 50]);
    let gateway = Start::with_config(&config).run().await;
    let mut met = BTreeSet::new();
    // A fair coin shows one side 64 times in a row once in 10^19 runs.
    for _ in 0..64 {
        let answer = ask(&gateway, &[("x-session-id", "one")], body(0, 1)).await;
        met.insert(answer.header("x-warmgate-target").to_owned());
    }
    assert_eq!(met.len(), 2);
}
