//! What is written about pools of a cluster, and what it means.

use std::path::{Path, PathBuf};

use warmgate_discovery::{ClusterAccess, KubernetesSource, Members, Parent, ParentKind, PortRef};

use super::*;

/// A kubeconfig that names a cluster where nobody listens.
const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: 'http://127.0.0.1:1'}}]
contexts: [{name: here, context: {cluster: here, user: me, namespace: llm}}]
users: [{name: me, user: {}}]
";

fn of_cluster(text: &str) -> String {
    format!("pools: [{{name: main, kubernetes: {text}}}]\n")
}

fn source(config: &Config) -> &KubernetesSource {
    match &config.pools[0].endpoints {
        EndpointSource::Kubernetes(source) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_way_to_name_endpoints_arrives() {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let named = |name: &str| Some(PortRef::Name(name.to_owned()));
    let labels = [("app".to_owned(), "vllm".to_owned())];
    for (text, members, namespaces, port) in [
        (
            "{service: vllm}",
            Members::Services(names(&["vllm"])),
            names(&[]),
            None,
        ),
        (
            "{service: vllm, namespace: llm, port: 8000}",
            Members::Services(names(&["vllm"])),
            names(&["llm"]),
            Some(PortRef::Number(8000)),
        ),
        (
            "{services: [a, b], namespaces: [x, y], port: '8000'}",
            Members::Services(names(&["a", "b"])),
            names(&["x", "y"]),
            Some(PortRef::Number(8000)),
        ),
        (
            "{selector: {app: vllm}, namespace: llm, port: http}",
            Members::Labelled(labels.into()),
            names(&["llm"]),
            named("http"),
        ),
        (
            "{inferencePool: vllm.v1, namespace: llm}",
            Members::InferencePool("vllm.v1".to_owned()),
            names(&["llm"]),
            None,
        ),
    ] {
        let expected = KubernetesSource {
            access: ClusterAccess::default(),
            namespaces,
            members,
            port,
            parent: None,
        };
        assert_eq!(
            source(&parse(&of_cluster(text)).unwrap()),
            &expected,
            "{text}"
        );
    }
}

#[test]
fn lists_are_good_at_their_limit_and_not_past_it() {
    let names = |count: usize| {
        (0..count)
            .map(|n| format!("n{n}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let labels = |count: usize| {
        let labels = (0..count).map(|n| format!("k{n}: v"));
        labels.collect::<Vec<_>>().join(", ")
    };
    let services = |count| of_cluster(&format!("{{services: [{}]}}", names(count)));
    let namespaces = |count| of_cluster(&format!("{{service: a, namespaces: [{}]}}", names(count)));
    let selector = |count| of_cluster(&format!("{{selector: {{{}}}}}", labels(count)));
    type Text<'a> = &'a dyn Fn(usize) -> String;
    let cases: [(&str, usize, Text<'_>); 3] = [
        ("kubernetes.services", limit::SERVICES_MAX, &services),
        ("kubernetes.namespaces", limit::NAMESPACES_MAX, &namespaces),
        ("kubernetes.selector", limit::LABELS_MAX, &selector),
    ];
    for (key, most, text) in cases {
        assert!(parse(&text(most)).is_ok(), "{key} at the limit");
        let refusal = refusal(&text(most + 1));
        assert!(refusal.contains(key), "{refusal}");
    }
}

fn kubeconfig(config: &Config) -> Option<&Path> {
    source(config).access.kubeconfig.as_deref()
}

#[test]
fn the_kubeconfig_of_the_flag_wins_over_that_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("of-file"), KUBECONFIG).unwrap();
    std::fs::write(path("of-flag"), KUBECONFIG).unwrap();
    let text = format!(
        "kubernetes: {{kubeconfig: of-file}}\n{}",
        of_cluster("{service: a}")
    );
    std::fs::write(path("warmgate.yaml"), text).unwrap();
    let load = |kubeconfig: Option<PathBuf>| {
        let overrides = Overrides {
            kubeconfig,
            ..Overrides::default()
        };
        let file = Some(path("warmgate.yaml"));
        Source { file, overrides }.load()
    };
    assert_eq!(kubeconfig(&load(None).unwrap()), Some(&*path("of-file")));
    let flag = path("of-flag");
    assert_eq!(kubeconfig(&load(Some(flag.clone())).unwrap()), Some(&*flag));
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_found_before_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let text = format!(
        "kubernetes: {{kubeconfig: {}}}\n{}",
        path.display(),
        of_cluster("{service: A}")
    );
    let absent = refusal(&text);
    assert!(
        absent.contains("kubernetes.kubeconfig: the kubeconfig cannot be used"),
        "{absent}"
    );
    assert!(absent.contains("pools[0].kubernetes.service"), "{absent}");
    std::fs::write(&path, "clusters: 3").unwrap();
    let broken = refusal(&text);
    assert!(
        broken.contains("kubernetes.kubeconfig: the kubeconfig cannot be used"),
        "{broken}"
    );
}

#[test]
fn a_service_on_the_command_line_stands_in_for_the_pools() {
    let overrides = Overrides {
        service: Some("llm/vllm:http".parse().unwrap()),
        ..Overrides::default()
    };
    let source_of = Source {
        file: None,
        overrides,
    };
    let config = source_of.parse(POOL.as_bytes()).unwrap();
    assert_eq!(config.pools[0].name, COMMAND_LINE_POOL);
    assert_eq!(config.routes.target("any").unwrap().pool, COMMAND_LINE_POOL);
    let found = source(&config);
    assert_eq!(found.namespaces, ["llm"]);
    assert_eq!(found.members, Members::Services(vec!["vllm".to_owned()]));
    assert_eq!(found.port, Some(PortRef::Name("http".to_owned())));
}

#[test]
fn what_stands_for_the_gateway_is_known_to_its_pools() {
    let text = |parent: &str| {
        let pool = of_cluster("{inferencePool: llama}");
        format!("kubernetes: {{parent: {parent}}}\n{pool}")
    };
    for (kind, expected) in [
        ("Service", ParentKind::Service),
        ("Gateway", ParentKind::Gateway),
    ] {
        let parsed = parse(&text(&format!("{{kind: {kind}, namespace: ai, name: w}}"))).unwrap();
        let parent = Parent {
            kind: expected,
            namespace: "ai".to_owned(),
            name: "w".to_owned(),
        };
        assert_eq!(source(&parsed).parent, Some(parent));
    }
    for (parent, key) in [
        ("{kind: Pod, namespace: ai, name: w}", "Pod"),
        (
            "{kind: Service, namespace: A, name: w}",
            "kubernetes.parent.namespace",
        ),
        (
            "{kind: Service, namespace: ai, name: ''}",
            "kubernetes.parent.name",
        ),
        ("{kind: Service, name: w}", "namespace"),
    ] {
        let refusal = refusal(&text(parent));
        assert!(refusal.contains(key), "{refusal}");
    }
}
