//! With exactly the chart's account and Roles, the gateway finds endpoints and routes to them.

use serde_json::{Value, json};

use super::{NAMESPACE, configuration, plane, release};
use crate::control_plane::{ControlPlane, object};
use crate::engines::{PORT, engine_at, pod_address};
use crate::gateway_process::{GatewayProcess, Start};
use crate::http_client;
use crate::pods::{Pod, Told};
use crate::slices::{Endpoint, Slice, service};

/// Makes what concerns rights of a release for real, and starts its gateway under its account.
async fn start(plane: &ControlPlane, set: &[&str]) -> GatewayProcess {
    let objects = release(None, set);
    for object in &objects {
        let kind = object["kind"].as_str().unwrap();
        if ["ServiceAccount", "Role", "RoleBinding"].contains(&kind) {
            plane.api().apply(object).await.unwrap();
        }
    }
    let kubeconfig = plane.kubeconfig_of(NAMESPACE, "warmgate").await;
    let kubeconfig = kubeconfig.display().to_string();
    Start::with_config(&configuration(&objects))
        .arguments(&["--kubeconfig", &kubeconfig])
        .run()
        .await
}

/// The rules of the release's Role, to compare what one has and another has not.
fn resources(set: &[&str]) -> Vec<Value> {
    let objects = release(None, set);
    let roles = objects.iter().filter(|object| object["kind"] == "Role");
    let rules = roles.flat_map(|role| role["rules"].as_array().unwrap().clone());
    rules.map(|rule| rule["resources"][0].clone()).collect()
}

#[tokio::test]
async fn with_exactly_its_role_the_gateway_routes() {
    let plane = plane().await;
    let namespace = plane.api().namespace("rights").await;
    let engine = engine_at(pod_address(40, 0)).await;
    let told = Told {
        labels: &[("llm-d.ai/role", "decode")],
        annotations: &[],
    };
    let address = engine.addr().ip();
    let pod = Pod::start(plane.api(), &namespace, "engine", address, &told).await;
    service(plane.api(), &namespace, "model").await;
    let slice = Slice::new(&namespace, "model", 0, vec![Endpoint::of(&pod)]);
    slice.apply(plane.api()).await;
    let pools = format!(
        "pools=[{{\"name\": \"main\", \"namespace\": \"{namespace}\", \"service\": \"model\"}}]"
    );
    for (set, role) in [
        (vec![&*pools], "decode"),
        // Without pods, their labels are not known, and nothing else is missed.
        (vec![&*pools, "rbac={\"pods\": false}"], "both"),
    ] {
        let gateway = start(plane, &set).await;
        let endpoints = gateway.endpoints().await;
        assert_eq!(endpoints.len(), 1, "{endpoints:#?}");
        assert_eq!(endpoints[0]["address"], engine.addr().to_string());
        assert_eq!(endpoints[0]["role"], role, "{set:?}");
        let answer = http_client::ask(gateway.listen).await;
        assert!(answer.status.is_success(), "{set:?}: {}", answer.text());
    }
}

#[tokio::test]
async fn with_its_role_for_an_inference_pool_the_gateway_routes_and_says_so() {
    let plane = plane().await;
    let namespace = plane.api().namespace("pool-rights").await;
    let engine = engine_at(pod_address(40, 1)).await;
    let told = Told {
        labels: &[("app", "model")],
        annotations: &[],
    };
    let address = engine.addr().ip();
    Pod::start(plane.api(), &namespace, "engine", address, &told).await;
    let version = "inference.networking.k8s.io/v1";
    let mut pool = object(version, "InferencePool", &namespace, "model");
    pool["spec"] = json!({
        "selector": {"matchLabels": {"app": "model"}},
        "targetPorts": [{"number": PORT}],
    });
    plane.api().apply(&pool).await.unwrap();
    let pools = format!(
        "pools=[{{\"name\": \"main\", \"namespace\": \"{namespace}\", \"inferencePool\": \"model\"}}]"
    );
    let gateway = start(plane, &[&pools, "rbac={\"pods\": false}"]).await;
    let answer = http_client::ask(gateway.listen).await;
    assert_eq!(answer.endpoint(), engine.addr().to_string());
    let path = format!("/apis/{version}/namespaces/{namespace}/inferencepools");
    let parents = |items: &[Value]| items[0]["status"]["parents"].clone();
    let items = plane
        .api()
        .until_list(&path, |items| !parents(items)[0].is_null())
        .await;
    let parent = &parents(&items)[0]["parentRef"];
    assert_eq!(
        (&parent["kind"], &parent["name"]),
        (&json!("Service"), &json!("warmgate"))
    );
}

#[tokio::test]
async fn the_account_may_do_nothing_else() {
    let plane = plane().await;
    for object in release(None, &[]) {
        let kind = object["kind"].as_str().unwrap();
        if ["ServiceAccount", "Role", "RoleBinding"].contains(&kind) {
            plane.api().apply(&object).await.unwrap();
        }
    }
    let kubeconfig = plane.kubeconfig_of(NAMESPACE, "warmgate").await;
    for (question, may) in [
        (vec!["list", "endpointslices"], true),
        (vec!["watch", "pods"], true),
        (vec!["list", "services"], true),
        (vec!["list", "pods", "--namespace", "kube-system"], false),
        (vec!["list", "endpointslices", "--all-namespaces"], false),
        (vec!["get", "secrets"], false),
        (vec!["list", "configmaps"], false),
        (vec!["delete", "pods"], false),
        (vec!["create", "pods"], false),
        (vec!["update", "services"], false),
        (
            vec!["list", "inferencepools.inference.networking.k8s.io"],
            false,
        ),
        (vec!["list", "nodes"], false),
    ] {
        let mut ask = vec!["auth", "can-i"];
        ask.extend(&question);
        let said = plane.kubectl(&kubeconfig, &ask);
        assert_eq!(said.is_ok(), may, "{question:?}: {said:?}");
    }
}

#[test]
fn rules_follow_what_pools_and_values_name() {
    let slices = json!(["endpointslices", "services", "pods"]);
    let pool = json!(["inferencepools", "inferencepools/status", "pods"]);
    for (set, expected) in [
        (vec![], slices.clone()),
        (
            vec!["pools=[{\"name\": \"a\", \"inferencePool\": \"b\"}]"],
            pool.clone(),
        ),
        (
            vec![
                "pools=[{\"name\": \"a\", \"inferencePool\": \"b\"}]",
                "rbac={\"pods\": false}",
            ],
            pool,
        ),
        (
            vec!["pools=[{\"name\": \"a\", \"settings\": {\"upstreams\": [\"http://b:80\"]}}]"],
            json!([]),
        ),
        (
            vec![
                "pools=[{\"name\": \"a\", \"service\": \"a\", \"namespaces\": [\"x\", \"y\"]}]",
                "rbac={\"pods\": false}",
            ],
            json!(["endpointslices", "services", "endpointslices", "services"]),
        ),
        (vec!["rbac={\"clusterWide\": true}"], json!([])),
        (vec!["rbac={\"create\": false}"], json!([])),
    ] {
        assert_eq!(json!(resources(&set)), expected, "{set:?}");
    }
}
