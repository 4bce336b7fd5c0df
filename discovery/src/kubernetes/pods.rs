//! What a pod says about the model server in it, by its spec, status, labels and annotations.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod as ClusterPod};
use kube::ResourceExt;
use warmgate_routing::endpoint::{Engine, Role};

/// Role of an endpoint in disaggregated serving, as llm-d labels it
/// (llm-d-router, `pkg/plugins/filter/by_role.go`).
const ROLE_LABEL: &str = "llm-d.ai/role";
/// Engine of an endpoint, as llm-d labels it.
const ENGINE_LABEL: &str = "llm-d.ai/engine-type";
/// Ports with a running rank of data parallelism, with commas between; the second is its old name.
const ACTIVE_PORTS: [&str; 2] = [
    "llm-d.ai/active-ports",
    "inference.networking.k8s.io/active-ports",
];
/// Where the version of the weights may stand, the first one counts.
const VERSION_LABELS: [&str; 3] = ["model-version", "app.kubernetes.io/version", "version"];
/// The pod's zone; set by the API server since Kubernetes 1.35.
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Most labels of a pod that are kept.
const LABELS_MAX: usize = 64;

/// What is kept of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodFacts {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) role: Role,
    /// None: not labelled, or with a name that is not known; found out from its metrics.
    pub(crate) engine: Option<Engine>,
    pub(crate) model_version: Option<String>,
    /// None: all.
    pub(crate) active_ports: Option<Vec<u16>>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) is_ready: bool,
    /// It has been told to go away.
    pub(crate) is_terminating: bool,
    /// Its containers have ended for good.
    pub(crate) is_finished: bool,
    pub(crate) node: Option<String>,
    pub(crate) zone: Option<String>,
    /// What is wrong with its labels.
    pub(crate) complaint: Option<String>,
    containers: Vec<Container>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Container {
    ports: Vec<u16>,
    restarts: u32,
}

impl PodFacts {
    /// Reads a pod.
    pub(crate) fn read(pod: ClusterPod) -> PodFacts {
        let label = |name: &str| pod.labels().get(name).map(String::as_str);
        let (role, complaint) = match role(label(ROLE_LABEL)) {
            Ok(role) => (role, None),
            Err(complaint) => (Role::Both, Some(complaint)),
        };
        let active = ACTIVE_PORTS
            .iter()
            .find_map(|name| pod.annotations().get(*name));
        let version = VERSION_LABELS.iter().find_map(|name| label(name));
        let status = pod.status.as_ref();
        let spec = pod.spec.as_ref();
        let phase = status.and_then(|status| status.phase.as_deref());
        let labels = pod.labels().iter().take(LABELS_MAX);
        PodFacts {
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            role,
            engine: label(ENGINE_LABEL).and_then(engine),
            model_version: version.map(str::to_owned),
            active_ports: active.map(|text| ports(text)),
            addresses: addresses(&pod),
            is_ready: is_ready(&pod),
            is_terminating: pod.metadata.deletion_timestamp.is_some(),
            is_finished: matches!(phase, Some("Failed" | "Succeeded")),
            node: spec.and_then(|spec| spec.node_name.clone()),
            zone: label(ZONE_LABEL).map(str::to_owned),
            complaint,
            containers: containers(&pod),
            labels: labels.map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }

    /// Restarts of the container that listens on `port`; of all together where none declares it.
    pub(crate) fn restarts(&self, port: u16) -> u32 {
        let declares = |container: &&Container| container.ports.contains(&port);
        match self.containers.iter().find(declares) {
            Some(container) => container.restarts,
            None => self.containers.iter().map(|one| one.restarts).sum(),
        }
    }

    /// Whether something is said to run at `port`.
    pub(crate) fn is_active(&self, port: u16) -> bool {
        self.active_ports
            .as_ref()
            .is_none_or(|active| active.contains(&port))
    }
}

fn role(label: Option<&str>) -> Result<Role, String> {
    match label {
        None | Some("both" | "prefill-decode" | "encode-prefill-decode") => Ok(Role::Both),
        Some("prefill" | "encode-prefill") => Ok(Role::Prefill),
        Some("decode") => Ok(Role::Decode),
        Some(other) => Err(format!(
            "its label {ROLE_LABEL} is `{other}`, so it is taken for both phases: write prefill, decode or both"
        )),
    }
}

fn engine(label: &str) -> Option<Engine> {
    Some(match label {
        "vllm" => Engine::Vllm,
        "sglang" => Engine::Sglang,
        "tgi" => Engine::Tgi,
        "triton" | "triton-tensorrt-llm" => Engine::Triton,
        "trtllm" | "trtllm-serve" | "tensorrt-llm" => Engine::TensorrtLlm,
        "llamacpp" | "llama-cpp" | "llama.cpp" => Engine::LlamaCpp,
        _ => return None,
    })
}

fn ports(text: &str) -> Vec<u16> {
    let numbers = text.split(',').map(str::trim);
    numbers.filter_map(|number| number.parse().ok()).collect()
}

fn addresses(pod: &ClusterPod) -> Vec<IpAddr> {
    let Some(status) = &pod.status else {
        return Vec::new();
    };
    let all = status.pod_ips.iter().flatten().map(|one| one.ip.as_str());
    let mut found: Vec<IpAddr> = Vec::new();
    for text in status.pod_ip.as_deref().into_iter().chain(all) {
        if let Ok(address) = text.parse()
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

fn is_ready(pod: &ClusterPod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|one| one.type_ == "Ready" && one.status == "True")
}

fn containers(pod: &ClusterPod) -> Vec<Container> {
    let statuses = pod.status.iter().flat_map(|one| &one.container_statuses);
    let statuses: Vec<&ContainerStatus> = statuses.flatten().collect();
    let restarts = |name: &str| {
        let status = statuses.iter().find(|status| status.name == name);
        status.map_or(0, |status| u32::try_from(status.restart_count).unwrap_or(0))
    };
    let declared = pod.spec.iter().flat_map(|spec| &spec.containers);
    declared
        .map(|container| Container {
            ports: container
                .ports
                .iter()
                .flatten()
                .filter_map(|port| u16::try_from(port.container_port).ok())
                .collect(),
            restarts: restarts(&container.name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(pod: serde_json::Value) -> PodFacts {
        PodFacts::read(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn reads_what_llm_d_and_kubernetes_write() {
        let facts = read(json!({
            "metadata": {
                "namespace": "ml", "name": "vllm-0", "uid": "u-1",
                "labels": {
                    "llm-d.ai/role": "decode", "llm-d.ai/engine-type": "sglang",
                    "app.kubernetes.io/version": "7b-v2", "topology.kubernetes.io/zone": "z-1",
                },
                "annotations": {"llm-d.ai/active-ports": "8000, 8002,x"},
            },
            "spec": {"nodeName": "n-1", "containers": [
                {"name": "engine", "ports": [{"containerPort": 8000}, {"containerPort": 8002}]},
                {"name": "sidecar", "ports": [{"containerPort": 15000}]},
            ]},
            "status": {
                "phase": "Running", "podIP": "10.244.0.7",
                "podIPs": [{"ip": "10.244.0.7"}, {"ip": "fd00:244::7"}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [
                    {"name": "sidecar", "restartCount": 5, "ready": true, "image": "", "imageID": ""},
                    {"name": "engine", "restartCount": 2, "ready": true, "image": "", "imageID": ""},
                ],
            },
        }));
        assert_eq!(
            (facts.role, facts.engine),
            (Role::Decode, Some(Engine::Sglang))
        );
        assert_eq!(facts.model_version.as_deref(), Some("7b-v2"));
        assert_eq!(facts.addresses.len(), 2);
        assert!(facts.is_ready && !facts.is_terminating && !facts.is_finished);
        assert_eq!((facts.restarts(8000), facts.restarts(15_000)), (2, 5));
        assert_eq!(facts.restarts(9999), 7, "nobody declares it");
        assert!(facts.is_active(8002) && !facts.is_active(8001));
        assert_eq!(facts.zone.as_deref(), Some("z-1"));
    }

    #[test]
    fn a_bare_pod_is_read_too() {
        let facts =
            read(json!({"metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"}}));
        assert!(facts.is_terminating && !facts.is_ready && facts.is_active(1));
        assert_eq!((facts.role, facts.engine), (Role::Both, None));
        assert!(facts.addresses.is_empty());
    }

    #[test]
    fn a_role_that_nobody_knows_is_said() {
        let pod = |role: &str| read(json!({"metadata": {"labels": {"llm-d.ai/role": role}}}));
        for (label, role) in [
            ("both", Role::Both),
            ("prefill-decode", Role::Both),
            ("prefill", Role::Prefill),
            ("decode", Role::Decode),
        ] {
            assert_eq!((pod(label).role, pod(label).complaint), (role, None));
        }
        let odd = pod("chef");
        assert_eq!(odd.role, Role::Both);
        assert!(odd.complaint.unwrap().contains("`chef`"));
    }

    #[test]
    fn labels_are_kept_up_to_their_limit() {
        let kept = |count: usize| {
            let labels: BTreeMap<_, _> = (0..count).map(|n| (format!("l{n}"), "v")).collect();
            read(json!({"metadata": {"labels": labels}})).labels.len()
        };
        assert_eq!(
            (kept(LABELS_MAX), kept(LABELS_MAX + 1)),
            (LABELS_MAX, LABELS_MAX)
        );
    }
}
