//! What the gateway does with the rights of its account, and without some of them.

use http::StatusCode;
use serde_json::Value;

use crate::control_plane::{Verbs, shared};
use crate::engines::{engine_at, pod_address};
use crate::gateway_process::GatewayProcess;
use crate::http_client;
use crate::in_cluster::gateway_of;
use crate::pods::{Pod, Told};
use crate::slices::{Endpoint, Slice, service};

const READ: &[&str] = &["get", "list", "watch"];
const SLICES: Verbs<'static> = Verbs {
    group: "discovery.k8s.io",
    resources: &["endpointslices"],
    verbs: READ,
};

/// A gateway that has these rights in the namespace of a Service with one pod, labelled as a
/// decoder.
async fn gateway_with(rights: &[Verbs<'_>], group: u8) -> (GatewayProcess, Vec<Value>) {
    let plane = shared().await;
    let api = plane.api();
    let namespace = api.namespace("rights").await;
    service(api, &namespace, "model").await;
    let address = pod_address(group, 0);
    let engine = engine_at(address).await;
    let told = Told {
        labels: &[("app.kubernetes.io/version", "7b-v2")],
        annotations: &[],
    };
    let pod = Pod::start(api, &namespace, "pod", address, &told).await;
    let slice = Slice::new(&namespace, "model", 0, vec![Endpoint::of(&pod)]);
    slice.apply(api).await;
    let kubeconfig = plane.account_kubeconfig(&namespace, rights).await;
    let gateway = gateway_of(&kubeconfig, &namespace, "model", 1).await;
    let rows = gateway.endpoints().await;
    let answer = http_client::ask(gateway.listen).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.endpoint(), engine.addr().to_string());
    let ready = http_client::get(gateway.admin, "/ready").await.unwrap();
    assert_eq!(ready.status, StatusCode::OK);
    (gateway, rows)
}

fn version(rows: &[Value]) -> &Value {
    &rows[0]["model_version"]
}

#[tokio::test]
async fn rights_to_read_three_kinds_are_enough() {
    let others = Verbs {
        group: "",
        resources: &["services", "pods"],
        verbs: READ,
    };
    let (gateway, rows) = gateway_with(&[SLICES, others], 40).await;
    assert_eq!(version(&rows), "7b-v2");
    let said = gateway.stderr();
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
}

#[tokio::test]
async fn without_a_right_to_pods_it_routes_and_says_what_is_missing() {
    let services = Verbs {
        group: "",
        resources: &["services"],
        verbs: READ,
    };
    let (gateway, rows) = gateway_with(&[SLICES, services], 41).await;
    assert!(version(&rows).is_null(), "{rows:#?}");
    let said = gateway.stderr();
    assert!(said.contains("WARN") && said.contains("Pods"), "{said}");
}

#[tokio::test]
async fn slices_alone_are_enough_to_route() {
    let (gateway, _) = gateway_with(&[SLICES], 42).await;
    let said = gateway.stderr();
    assert!(said.contains("Services") && said.contains("Pods"), "{said}");
}
