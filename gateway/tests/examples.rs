//! Every configuration in `deploy/examples` is good, and means what its comments say.

#![allow(clippy::unwrap_used, reason = "what surrounds a test fails with it")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use http::HeaderName;
use serde_json::{Value, json};
use warmgate::config::{Config, EndpointSource, Overrides, Source};
use warmgate::route_command::{ExplainArgs, explain};
use warmgate_discovery::Members;
use warmgate_routing::Tokens;
use warmgate_routing::guard::GuardSettings;

fn path(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples");
    folder.join(name)
}

fn load(name: &str) -> Config {
    let source = Source {
        file: Some(path(name)),
        overrides: Overrides::default(),
    };
    source.load().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn minimal() {
    let config = load("minimal.yaml");
    let [pool] = config.pools.as_slice() else {
        panic!("one pool")
    };
    assert!(matches!(&pool.endpoints, EndpointSource::Upstreams(urls) if urls.len() == 2));
    assert_eq!(config.routes.target("any model").unwrap().pool, pool.name);
}

#[test]
fn two_models() {
    let config = load("two-models.yaml");
    assert_eq!(config.routes.target("llama-3.1-70b").unwrap().pool, "chat");
    let coder = config.routes.target("coder").unwrap();
    assert_eq!(coder.pool, "code");
    assert_eq!(
        coder.model.as_deref(),
        Some("Qwen/Qwen3-Coder-30B-A3B-Instruct")
    );
    assert!(config.routes.target("unknown").is_none());
}

#[test]
fn headless_service() {
    let config = load("headless-service.yaml");
    let EndpointSource::Dns { name, port, .. } = &config.pools[0].endpoints else {
        panic!("found by DNS")
    };
    assert_eq!(
        (name.as_str(), *port),
        ("vllm.models.svc.cluster.local", 8000)
    );
    assert_eq!(config.admin.to_string(), "0.0.0.0:9090");
}

#[test]
fn kubernetes_service() {
    let config = load("kubernetes-service.yaml");
    let members = config.pools.iter().map(|pool| match &pool.endpoints {
        EndpointSource::Kubernetes(source) => (&source.members, source.namespaces.len()),
        other => panic!("{other:?}"),
    });
    let found: Vec<_> = members.collect();
    assert!(matches!(found[0], (Members::Services(names), 1) if names == &["vllm"]));
    assert!(matches!(found[1], (Members::Labelled(labels), 2) if labels.len() == 1));
}

#[test]
fn endpoints_file() {
    let config = load("endpoints-file.yaml");
    let EndpointSource::File(path) = &config.pools[0].endpoints else {
        panic!("found in a file")
    };
    assert!(path.ends_with("endpoints.yaml"));
    let text = std::fs::read_to_string(path).unwrap();
    let listed = warmgate_discovery::source::parse_endpoints_file(&text).unwrap();
    assert_eq!(listed.len(), 2);
}

#[test]
fn baseline() {
    let config = load("round-robin.yaml");
    assert_eq!(config.pools[0].policy.name(), "round_robin");
}

/// What `warmgate route explain` says of a chat completion with these headers.
fn explained(name: &str, model: &str, user: &str, headers: &[(&'static str, &str)]) -> Value {
    let mut request = tempfile::NamedTempFile::new().unwrap();
    let messages = json!([{"role": "user", "content": "hi"}]);
    let body = json!({"model": model, "user": user, "messages": messages});
    request.write_all(body.to_string().as_bytes()).unwrap();
    let header = |(name, value): &(&'static str, &str)| {
        (HeaderName::from_static(name), value.parse().unwrap())
    };
    explain(&ExplainArgs {
        config: path(name),
        path: "/v1/chat/completions".to_owned(),
        headers: headers.iter().map(header).collect(),
        request: request.path().to_owned(),
    })
    .unwrap_or_else(|error| json!(error.to_string()))
}

#[test]
fn canary() {
    let name = "canary.yaml";
    let target =
        |user: usize| explained(name, "chat", &format!("user {user}"), &[])["target"].clone();
    let on_canary = (0..300).filter(|user| target(*user) == "canary").count();
    // Users are the same in every run; a tenth of 300, give or take four standard deviations.
    assert!((10..=50).contains(&on_canary), "{on_canary}");
    let forced = explained(name, "chat", "user 0", &[("x-warmgate-target", "canary")]);
    assert_eq!(forced["target"], "canary");
    assert_eq!(forced["reason"], "forced");
    assert_eq!(forced["served_model"], "meta-llama/Llama-3.3-8B-Instruct");
}

#[test]
fn guard() {
    let name = "guard.yaml";
    let config = load(name);
    assert!(
        config
            .guard_state
            .is_some_and(|path| path.ends_with("guards.json"))
    );
    let route = config.routes.of("chat").next().unwrap();
    let rules = route.guard.as_ref().unwrap();
    // Its numbers are the defaults, written out.
    assert_eq!(rules.settings, GuardSettings::default());
    let weights: Vec<u32> = rules.steps.iter().map(|step| step.weight).collect();
    assert_eq!(weights, [1, 5, 25, 50, 100]);
    let first = explained(name, "chat", "user 0", &[]);
    let targets = &first["route"]["targets"];
    assert_eq!(
        (&targets[0]["weight"], &targets[1]["weight"]),
        (&json!(99), &json!(1)),
        "the first step"
    );
}

#[test]
fn a_b_by_header_and_by_api_key() {
    let name = "ab-header.yaml";
    let gold = explained(name, "chat", "", &[("x-tier", "gold")]);
    assert_eq!(
        (&gold["route"]["name"], &gold["pool"]),
        (&json!("chat-gold"), &json!("large"))
    );
    let of_key = |key: usize| {
        let key = format!("Bearer {key}");
        explained(name, "chat", "", &[("authorization", &key)])
    };
    assert_eq!(of_key(1)["reason"], "api_key");
    let on_a = (0..100).filter(|key| of_key(*key)["target"] == "a").count();
    assert!((30..=70).contains(&on_a), "{on_a}");
}

#[test]
fn alias() {
    let name = "alias.yaml";
    for model in ["gpt-4o-mini", "chat", "Qwen/Qwen3-8B"] {
        let shown = explained(name, model, "", &[]);
        assert_eq!(shown["served_model"], "Qwen/Qwen3-8B", "{shown}");
    }
    let unknown = explained(name, "gpt-9", "", &[]);
    let said = unknown.as_str().unwrap();
    assert!(
        said.starts_with("404 ") && said.contains("use one of: Qwen/Qwen3-8B, chat, gpt-4o-mini")
    );
}

#[test]
fn mirror() {
    let config = load("mirror.yaml");
    let route = config.routes.of("chat").next().unwrap();
    let mirror = route.mirror.as_ref().unwrap();
    assert_eq!(mirror.target.pool, "next");
    assert_eq!(mirror.share.percent(), 5.0);
    assert_eq!(config.forward.mirrored_requests, 32);
}

#[test]
fn failover() {
    let config = load("failover.yaml");
    let route = config.routes.of("chat").next().unwrap();
    let [own, rented] = route.targets.as_slice() else {
        panic!("two targets")
    };
    let fallback = own.fallback.as_ref().unwrap();
    assert_eq!(fallback.target, rented.name);
    assert_eq!(fallback.saturated, Some(Tokens(200_000)));
    assert_eq!((rented.weight, rented.is_implied), (0, false));
}

#[test]
fn every_example_is_tested() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples");
    let here = include_str!("examples.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".yaml") {
            assert!(here.contains(&name), "{name} is in no test");
        }
    }
}
