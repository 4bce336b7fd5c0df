//! InferencePool of the Gateway API's inference extension: from the object and its pods to
//! endpoints. Pure.
//!
//! A pool's members are the pods of its namespace that carry its labels. Each of its target ports on
//! each of them is an endpoint: a rank of data parallelism. Which endpoint a request goes to is
//! decided here, so that `endpointPickerRef` is not asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use kube::{CustomResource, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use warmgate_routing::endpoint::{EndpointKey, EndpointSpec};
use warmgate_routing::pod::{Conditions, Pod};

use super::parents::Verdict;
use super::pods::PodFacts;
use super::slices::serving;
use crate::source::SourceError;

/// `appProtocol` of plain HTTP/1.1, which is the default.
const HTTP: &str = "http";
/// `appProtocol` of HTTP/2 without TLS.
const H2C: &str = "kubernetes.io/h2c";

/// What a pool says, as far as it is read.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, Serialize)]
#[kube(
    group = "inference.networking.k8s.io",
    version = "v1",
    kind = "InferencePool",
    namespaced,
    schema = "disabled",
    status = "InferencePoolStatus"
)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct InferencePoolSpec {
    selector: Selector,
    target_ports: Vec<TargetPort>,
    app_protocol: Option<String>,
    endpoint_picker_ref: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct TargetPort {
    number: u16,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct InferencePoolStatus {
    pub(crate) parents: Vec<Value>,
}

/// What is kept of a pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PoolFacts {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) generation: Option<i64>,
    /// Labels that a pod must have, all of them.
    pub(crate) labels: BTreeMap<String, String>,
    ports: Vec<u16>,
    protocol: String,
    has_picker: bool,
    /// `status.parents`.
    pub(crate) parents: Vec<Value>,
}

impl PoolFacts {
    /// Reads a pool.
    pub(crate) fn read(pool: InferencePool) -> PoolFacts {
        let ports = pool.spec.target_ports.iter();
        PoolFacts {
            namespace: pool.namespace().unwrap_or_default(),
            name: pool.name_any(),
            generation: pool.metadata.generation,
            ports: ports.map(|port| port.number).collect(),
            protocol: pool.spec.app_protocol.unwrap_or_else(|| HTTP.to_owned()),
            has_picker: pool.spec.endpoint_picker_ref.is_some(),
            labels: pool.spec.selector.match_labels,
            parents: pool.status.unwrap_or_default().parents,
        }
    }

    /// As a selector of labels.
    pub(crate) fn selector(&self) -> String {
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        labels.join(",")
    }

    /// For people.
    pub(crate) fn title(&self) -> String {
        format!("InferencePool {}/{}", self.namespace, self.name)
    }

    /// What keeps the pool from being used.
    pub(crate) fn refusal(&self) -> Option<String> {
        if self.labels.is_empty() {
            return Some("its selector is empty: write `matchLabels`".to_owned());
        }
        if self.ports.is_empty() {
            return Some("it has no `targetPorts`: write at least one".to_owned());
        }
        if ![HTTP, H2C].contains(&self.protocol.as_str()) {
            let protocol = &self.protocol;
            return Some(format!(
                "its appProtocol `{protocol}` is not supported: write `{HTTP}` or `{H2C}`"
            ));
        }
        None
    }

    /// What is said of it in its status.
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        let accepted = match self.refusal() {
            Some(why) => Verdict::fails("Accepted", "NotSupportedByParent", why),
            None => Verdict::holds("Accepted", "Accepted"),
        };
        let mut resolved = Verdict::holds("ResolvedRefs", "ResolvedRefs");
        if self.has_picker {
            resolved.message = "endpoints are picked by this gateway, \
                                endpointPickerRef is not asked"
                .to_owned();
        }
        vec![accepted, resolved]
    }
}

/// The endpoints of a pool that nothing speaks against, by their key, and what its pods say that
/// cannot be used. `pods` are those that its selector selects.
pub(crate) fn endpoints(
    pool: &PoolFacts,
    pods: &[Arc<PodFacts>],
) -> (Vec<EndpointSpec>, Vec<SourceError>) {
    let mut found = BTreeMap::new();
    let mut problems = Vec::new();
    for pod in pods.iter().filter(|pod| !pod.is_finished) {
        if let Some(complaint) = &pod.complaint {
            problems.push(SourceError::Unusable {
                what: format!("Pod {}/{}", pod.namespace, pod.name),
                reason: complaint.clone(),
            });
        }
        let ports = pool.ports.iter().filter(|port| pod.is_active(**port));
        let specs = ports.filter_map(|port| spec(pool, pod, *port));
        found.extend(specs.map(|spec| (spec.key.clone(), spec)));
    }
    (found.into_values().collect(), problems)
}

/// None where the pod has no address yet. Of several addresses the first is the pod's own choice.
fn spec(pool: &PoolFacts, facts: &PodFacts, port: u16) -> Option<EndpointSpec> {
    let address = SocketAddr::new(*facts.addresses.first()?, port);
    let conditions = Conditions {
        ready: facts.is_ready && !facts.is_terminating,
        serving: facts.is_ready,
        terminating: facts.is_terminating,
    };
    let pod = Pod {
        namespace: facts.namespace.clone(),
        name: facts.name.clone(),
        uid: facts.uid.clone(),
        conditions,
        restarts: Some(facts.restarts(port)),
        node: facts.node.clone(),
        zone: facts.zone.clone(),
        for_zones: Vec::new(),
        model_version: facts.model_version.clone(),
    };
    Some(EndpointSpec {
        key: EndpointKey(format!("{}:{port}", facts.uid).into()),
        engine: facts.engine,
        role: facts.role,
        serving: serving(conditions),
        labels: facts.labels.clone(),
        pod: Some(Arc::new(pod)),
        h2c: pool.protocol == H2C,
        ..EndpointSpec::at(&address.to_string(), address, false)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use warmgate_routing::endpoint::{Engine, Role, Serving};

    use super::*;

    fn pool(spec: Value) -> PoolFacts {
        let object = json!({
            "apiVersion": "inference.networking.k8s.io/v1", "kind": "InferencePool",
            "metadata": {"name": "llama", "namespace": "ai", "generation": 3}, "spec": spec,
        });
        PoolFacts::read(serde_json::from_value(object).unwrap())
    }

    fn plain() -> PoolFacts {
        pool(json!({
            "selector": {"matchLabels": {"app": "llama"}},
            "targetPorts": [{"number": 8000}],
            "endpointPickerRef": {"name": "picker", "port": {"number": 9002}},
        }))
    }

    fn pod(number: usize, change: impl FnOnce(&mut Value)) -> Arc<PodFacts> {
        let mut pod = json!({
            "metadata": {"namespace": "ai", "name": format!("pod-{number}"), "uid": format!("uid-{number}"), "labels": {"app": "llama"}},
            "spec": {"containers": []},
            "status": {
                "phase": "Running", "podIP": format!("10.244.0.{number}"),
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        change(&mut pod);
        Arc::new(PodFacts::read(serde_json::from_value(pod).unwrap()))
    }

    /// As `key address serving`.
    fn told(pool: &PoolFacts, pods: &[Arc<PodFacts>]) -> Vec<String> {
        let (specs, _) = endpoints(pool, pods);
        let line =
            |spec: &EndpointSpec| format!("{} {} {:?}", spec.key, spec.authority, spec.serving);
        specs.iter().map(line).collect()
    }

    #[test]
    fn who_is_in_the_pool_and_how_it_is() {
        let ready = "uid-1:8000 10.244.0.1:8000 Ready";
        let not_ready = "uid-1:8000 10.244.0.1:8000 NotReady";
        let terminating = "uid-1:8000 10.244.0.1:8000 Terminating";
        type Case<'a> = (fn(&mut Value), Option<&'a str>);
        let cases: [Case<'_>; 7] = [
            (|_| {}, Some(ready)),
            (|pod| pod["status"]["phase"] = json!("Failed"), None),
            (|pod| pod["status"]["phase"] = json!("Succeeded"), None),
            (|pod| pod["status"]["podIP"] = Value::Null, None),
            (
                |pod| pod["status"]["conditions"][0]["status"] = json!("False"),
                Some(not_ready),
            ),
            (
                |pod| pod["status"]["conditions"] = json!([]),
                Some(not_ready),
            ),
            (
                |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
                Some(terminating),
            ),
        ];
        for (place, (change, expected)) in cases.into_iter().enumerate() {
            let told = told(&plain(), &[pod(1, change)]);
            assert_eq!(told.first().map(String::as_str), expected, "case {place}");
        }
    }

    #[test]
    fn each_active_port_of_a_pod_is_an_endpoint() {
        let ports: Vec<_> = (8000..8008)
            .map(|number| json!({"number": number}))
            .collect();
        let pool =
            pool(json!({"selector": {"matchLabels": {"app": "llama"}}, "targetPorts": ports}));
        assert_eq!(told(&pool, &[pod(1, |_| {}), pod(2, |_| {})]).len(), 16);
        for name in [
            "llm-d.ai/active-ports",
            "inference.networking.k8s.io/active-ports",
        ] {
            let active = pod(1, |pod| {
                pod["metadata"]["annotations"] = json!({name: "8001,8007,9"})
            });
            let expected = [
                "uid-1:8001 10.244.0.1:8001 Ready",
                "uid-1:8007 10.244.0.1:8007 Ready",
            ];
            assert_eq!(told(&pool, &[active]), expected);
        }
    }

    #[test]
    fn an_address_of_ipv6_stands_in_brackets() {
        let pod = pod(1, |pod| pod["status"]["podIP"] = json!("fd00:244::1"));
        assert_eq!(
            told(&plain(), &[pod]),
            ["uid-1:8000 [fd00:244::1]:8000 Ready"]
        );
    }

    #[test]
    fn what_a_pod_says_of_itself_is_told() {
        let pod = pod(1, |pod| {
            pod["metadata"]["labels"] = json!({
                "app": "llama", "llm-d.ai/role": "prefill", "llm-d.ai/engine-type": "sglang",
                "model-version": "v2",
            });
        });
        let (specs, problems) = endpoints(&plain(), &[pod]);
        assert!(problems.is_empty() && !specs[0].h2c);
        assert_eq!(
            (specs[0].role, specs[0].engine),
            (Role::Prefill, Some(Engine::Sglang))
        );
        let pod = specs[0].pod.as_ref().unwrap();
        assert_eq!(pod.model_version.as_deref(), Some("v2"));
        assert_eq!(pod.restarts, Some(0));
        assert_eq!(specs[0].serving, Serving::Ready);
    }

    #[test]
    fn a_pool_of_http_2_says_so_of_its_endpoints() {
        let mut pool = plain();
        pool.protocol = H2C.to_owned();
        assert!(endpoints(&pool, &[pod(1, |_| {})]).0[0].h2c);
    }

    #[test]
    fn a_pool_that_cannot_be_used_is_refused_with_a_reason() {
        let ports = json!([{"number": 8000}]);
        let labels = json!({"matchLabels": {"app": "llama"}});
        for (spec, says) in [
            (
                json!({"selector": {"matchLabels": {}}, "targetPorts": ports}),
                "matchLabels",
            ),
            (
                json!({"selector": labels, "targetPorts": []}),
                "targetPorts",
            ),
            (
                json!({"selector": labels, "targetPorts": ports, "appProtocol": "grpc"}),
                "`grpc`",
            ),
        ] {
            let pool = pool(spec);
            assert!(pool.refusal().unwrap().contains(says));
            let accepted = &pool.verdicts()[0];
            assert!(!accepted.holds && accepted.message.contains(says));
        }
        assert_eq!(plain().refusal(), None);
    }

    #[test]
    fn a_pool_with_a_picker_is_accepted_and_told_that_it_is_not_asked() {
        let [accepted, resolved] = plain().verdicts().try_into().unwrap();
        assert!(accepted.holds && resolved.holds);
        assert!(resolved.message.contains("not asked"));
    }

    #[test]
    fn an_odd_role_is_said() {
        let odd = pod(1, |pod| {
            pod["metadata"]["labels"] = json!({"llm-d.ai/role": "chef"})
        });
        let (specs, problems) = endpoints(&plain(), &[odd]);
        assert_eq!((specs.len(), problems.len()), (1, 1));
    }
}
