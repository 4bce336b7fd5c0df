//! Services and their EndpointSlices, written as controllers write them.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::control_plane::{Api, object};
use crate::engines::PORT;
use crate::pods::Pod;
use crate::witness::version;

const DISCOVERY: &str = "discovery.k8s.io/v1";

/// One endpoint of a slice.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub address: IpAddr,
    /// Name and UID of the pod behind it.
    pub pod: Option<(String, String)>,
    pub conditions: Conditions,
    pub zone: Option<String>,
    /// Zones that topology-aware routing would use it from.
    pub hints: Vec<String>,
}

/// As a slice says them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
}

/// A pod that takes requests.
pub const READY: Conditions = Conditions {
    ready: true,
    serving: true,
    terminating: false,
};

/// A pod whose readiness probe fails.
pub const UNREADY: Conditions = Conditions {
    ready: false,
    serving: false,
    terminating: false,
};

/// A pod that has been told to go away and still answers.
pub const TERMINATING: Conditions = Conditions {
    ready: false,
    serving: true,
    terminating: true,
};

impl Endpoint {
    /// A ready one.
    pub fn of(pod: &Pod) -> Endpoint {
        Endpoint::of_named(pod.address, &pod.name, &pod.uid)
    }

    /// A ready one whose pod is only named.
    pub fn of_named(address: IpAddr, name: &str, uid: &str) -> Endpoint {
        Endpoint {
            address,
            pod: Some((name.to_owned(), uid.to_owned())),
            conditions: READY,
            zone: None,
            hints: vec![],
        }
    }

    fn to_json(&self, namespace: &str) -> Value {
        let Conditions {
            ready,
            serving,
            terminating,
        } = self.conditions;
        let mut value = json!({
            "addresses": [self.address.to_string()],
            "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        });
        if let Some((name, uid)) = &self.pod {
            value["targetRef"] = json!({
                "kind": "Pod", "namespace": namespace, "name": name, "uid": uid,
            });
        }
        if let Some(zone) = &self.zone {
            value["zone"] = json!(zone);
        }
        if !self.hints.is_empty() {
            let zones: Vec<_> = self
                .hints
                .iter()
                .map(|zone| json!({"name": zone}))
                .collect();
            value["hints"] = json!({"forZones": zones});
        }
        value
    }
}

/// One slice of a Service.
#[derive(Clone, Debug)]
pub struct Slice {
    pub namespace: String,
    pub service: String,
    pub name: String,
    pub endpoints: Vec<Endpoint>,
}

impl Slice {
    /// A slice with the name `SERVICE-NUMBER`.
    pub fn new(namespace: &str, service: &str, number: usize, endpoints: Vec<Endpoint>) -> Slice {
        Slice {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            name: format!("{service}-{number}"),
            endpoints,
        }
    }

    /// The object; `managed-by` keeps a controller's hands off it.
    pub fn to_json(&self) -> Value {
        let mut slice = object(DISCOVERY, "EndpointSlice", &self.namespace, &self.name);
        slice["metadata"]["labels"] = json!({
            "kubernetes.io/service-name": self.service,
            "endpointslice.kubernetes.io/managed-by": "warmgate-tests",
        });
        let is_v6 = self
            .endpoints
            .first()
            .is_some_and(|one| one.address.is_ipv6());
        slice["addressType"] = json!(if is_v6 { "IPv6" } else { "IPv4" });
        slice["ports"] = json!([{"name": "http", "port": PORT, "protocol": "TCP"}]);
        let endpoints = self.endpoints.iter();
        slice["endpoints"] = endpoints.map(|one| one.to_json(&self.namespace)).collect();
        slice
    }

    /// Makes it, or what it now is of it.
    pub async fn apply(&self, api: &Api) {
        let done = api.apply(&self.to_json()).await;
        done.unwrap_or_else(|refusal| panic!("{}: {refusal:?}", self.name));
    }

    /// Replaces it as a whole, which costs the API server less than an apply, and returns its
    /// resource version.
    pub async fn replace(&self, api: &Api) -> u64 {
        let path = format!("{}/{}", slices_path(&self.namespace), self.name);
        let done = api.replace(&path, &self.to_json()).await;
        version(&done.unwrap_or_else(|refusal| panic!("{}: {refusal:?}", self.name)))
    }
}

/// Where the slices of a namespace are.
pub fn slices_path(namespace: &str) -> String {
    format!("/apis/{DISCOVERY}/namespaces/{namespace}/endpointslices")
}

/// A Service without a selector: its slices are the test's.
pub async fn service(api: &Api, namespace: &str, name: &str) {
    let mut service = object("v1", "Service", namespace, name);
    service["spec"] = json!({
        "clusterIP": "None",
        "ports": [{"name": "http", "port": 80, "targetPort": PORT}],
    });
    api.apply(&service).await.unwrap();
}
