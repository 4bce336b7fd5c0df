//! Where a pool's endpoints come from, as the admin API shows it: in the words of the configuration.

use serde_json::{Value, json};
use warmgate_discovery::{KubernetesSource, Members, PortRef};

use crate::config::{EndpointSource, UpstreamUrl};

/// One key, that of the configuration; relative paths have been resolved.
pub(super) fn shown(endpoints: &EndpointSource) -> Value {
    match endpoints {
        EndpointSource::Upstreams(urls) => {
            let urls = urls.iter().map(UpstreamUrl::to_string);
            json!({"upstreams": urls.collect::<Vec<_>>()})
        }
        EndpointSource::File(path) => json!({"file": path}),
        EndpointSource::Dns { name, port, tls } => {
            json!({"dns": {"name": name, "port": port, "tls": tls}})
        }
        EndpointSource::Kubernetes(source) => json!({"kubernetes": of_cluster(source)}),
    }
}

fn of_cluster(source: &KubernetesSource) -> Value {
    let (key, members) = match &source.members {
        Members::Services(names) => ("services", json!(names)),
        Members::Labelled(labels) => ("selector", json!(labels)),
        Members::InferencePool(name) => ("inferencePool", json!(name)),
    };
    let port = source.port.as_ref().map(|port| match port {
        PortRef::Number(number) => json!(number),
        PortRef::Name(name) => json!(name),
    });
    json!({
        key: members,
        "namespaces": source.namespaces,
        "port": port,
        "kubeconfig": source.access.kubeconfig,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, Source};

    #[test]
    fn a_source_is_shown_in_the_words_of_the_configuration() {
        let of_cluster = |key: &str, members: Value| {
            json!({"kubernetes": {
                key: members, "namespaces": ["llm"], "port": null, "kubeconfig": null,
            }})
        };
        for (typed, expected) in [
            (
                "upstreams: ['http://h:1']",
                json!({"upstreams": ["http://h:1"]}),
            ),
            (
                "dns: {name: h, port: 1}",
                json!({"dns": {"name": "h", "port": 1, "tls": false}}),
            ),
            (
                "kubernetes: {service: a, namespace: llm}",
                of_cluster("services", json!(["a"])),
            ),
            (
                "kubernetes: {selector: {app: a}, namespace: llm}",
                of_cluster("selector", json!({"app": "a"})),
            ),
            (
                "kubernetes: {inferencePool: a, namespace: llm}",
                of_cluster("inferencePool", json!("a")),
            ),
        ] {
            let source = Source {
                file: None,
                overrides: Overrides::default(),
            };
            let text = format!("pools: [{{name: main, {typed}}}]\n");
            let config = source.parse(text.as_bytes()).unwrap();
            assert_eq!(shown(&config.pools[0].endpoints), expected, "{typed}");
        }
    }
}
