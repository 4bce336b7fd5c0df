//! Every configuration in `deploy/examples` is good, and means what its comments say.

use std::path::Path;

use warmgate::config::{Config, EndpointSource, Overrides, Source};
use warmgate_discovery::Members;

fn load(name: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/examples")
        .join(name);
    let source = Source {
        file: Some(path),
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
