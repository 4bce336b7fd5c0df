//! A rolling update of the engines by the controllers that do it in a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Value, json};

use crate::control_plane::{Api, ControlPlane, object};
use crate::engines::PORT;
use crate::gateway_process::{GatewayProcess, PATIENCE};
use crate::in_cluster::gateway_of;
use crate::load::Load;
use crate::nodes::Node;
use crate::table::{of_api, until_equal};

const NAMESPACE: &str = "default";
const NODE: &str = "node";
const ZONE: &str = "zone-a";
const REPLICAS: usize = 3;
const GROUP: u8 = 60;
const CLIENTS: usize = 4;
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/default/deployments/model";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn deploy(api: &Api) {
    let labels = json!({"app": "model"});
    let mut deployment = object("apps/v1", "Deployment", NAMESPACE, "model");
    deployment["spec"] = json!({
        "replicas": REPLICAS,
        "selector": {"matchLabels": labels},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": template("v1"),
    });
    api.apply(&deployment).await.unwrap();
    let mut service = object("v1", "Service", NAMESPACE, "model");
    service["spec"] = json!({
        "selector": labels,
        "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
    });
    api.apply(&service).await.unwrap();
}

fn template(version: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "model", "app.kubernetes.io/version": version}},
        "spec": {
            "nodeName": NODE,
            "terminationGracePeriodSeconds": 60,
            "containers": [{
                "name": "engine",
                "image": format!("example.com/engine:{version}"),
                "ports": [{"name": "http", "containerPort": PORT}],
            }],
        },
    })
}

/// UIDs of the pods of a version, once there are so many and no others.
async fn until_only(api: &Api, version: &str, count: usize) -> BTreeSet<String> {
    let is_of = |pod: &Value| pod["metadata"]["labels"]["app.kubernetes.io/version"] == version;
    let pods = api
        .until_list(PODS, |pods| pods.len() == count && pods.iter().all(is_of))
        .await;
    let uid = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap().to_owned();
    pods.iter().map(uid).collect()
}

/// Tokens that each pod is believed to have cached, by UID.
async fn known_tokens(gateway: &GatewayProcess) -> BTreeMap<String, u64> {
    let rows = gateway.endpoints().await;
    let known = |row: &Value| {
        let uid = row["pod_uid"].as_str().unwrap().to_owned();
        (uid, row["known_cached_tokens"].as_u64().unwrap())
    };
    rows.iter().map(known).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_loses_no_request_and_leaves_other_caches_alone() {
    let plane = ControlPlane::start_with_controllers("rollout").await;
    let api = plane.api();
    let node = Node::join(*api, NODE, ZONE, NAMESPACE, GROUP).await;
    deploy(api).await;
    let old = until_only(api, "v1", REPLICAS).await;
    let kubeconfig = plane.admin_kubeconfig();
    let gateway = gateway_of(&kubeconfig, NAMESPACE, "model", REPLICAS).await;
    let load = Load::start(gateway.listen, CLIENTS);
    load.until_answered(50).await;

    let update = json!({"spec": {"template": template("v2")}});
    api.merge(DEPLOYMENT, &update).await.unwrap();
    let new = until_only(api, "v2", REPLICAS).await;
    assert!(new.is_disjoint(&old));
    let truth = of_api(api, NAMESPACE).await;
    until_equal(&gateway, &truth, Instant::now(), PATIENCE).await;
    load.until_answered(50).await;
    let rows = gateway.endpoints().await;
    for row in &rows {
        assert_eq!(
            (&row["model_version"], &row["zone"]),
            (&json!("v2"), &json!(ZONE))
        );
    }
    for uid in &new {
        assert!(node.received()[uid] > 0, "{uid} has no traffic");
    }

    // One goes away: what the others hold is as it was.
    load.stop().await.assert_sound();
    gateway.assert_settled().await;
    let before = known_tokens(&gateway).await;
    let fewer = json!({"spec": {"replicas": REPLICAS - 1}});
    api.merge(DEPLOYMENT, &fewer).await.unwrap();
    let staying = until_only(api, "v2", REPLICAS - 1).await;
    gateway
        .until_endpoints(|rows| rows.len() == REPLICAS - 1)
        .await;
    let after = known_tokens(&gateway).await;
    for uid in &staying {
        assert!(
            after[uid] > 0 && after[uid] == before[uid],
            "{uid}: {before:?} {after:?}"
        );
    }
}
