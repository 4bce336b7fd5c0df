//! What a cluster says of a pod is shown with its endpoint, and kept up to date.

use serde_json::{Value, json};

use crate::control_plane::shared;
use crate::engines::{engine_at, pod_address};
use crate::in_cluster::gateway_of;
use crate::pods::{Pod, Told};
use crate::slices::{Endpoint, Slice, service};

const GROUP: u8 = 80;

#[tokio::test]
async fn roles_versions_and_zones_are_those_of_pods_and_slices() {
    let plane = shared().await;
    let api = plane.api();
    let namespace = api.namespace("labels").await;
    service(api, &namespace, "model").await;
    let (mut engines, mut endpoints) = (vec![], vec![]);
    for (number, role) in [(0, "prefill"), (1, "decode")] {
        let address = pod_address(GROUP, number);
        engines.push(engine_at(address).await);
        let told = Told {
            labels: &[
                ("llm-d.ai/role", role),
                ("llm-d.ai/engine-type", "vllm"),
                ("app.kubernetes.io/version", "7b-v2"),
            ],
            annotations: &[],
        };
        let pod = Pod::start(api, &namespace, role, address, &told).await;
        let mut endpoint = Endpoint::of(&pod);
        endpoint.zone = Some("zone-a".to_owned());
        endpoint.hints = vec!["zone-a".to_owned(), "zone-b".to_owned()];
        endpoints.push(endpoint);
    }
    let uids: Vec<_> = endpoints
        .iter()
        .map(|one| one.pod.clone().unwrap().1)
        .collect();
    Slice::new(&namespace, "model", 0, endpoints)
        .apply(api)
        .await;
    let gateway = gateway_of(&plane.admin_kubeconfig(), &namespace, "model", 2).await;
    let rows = gateway.endpoints().await;
    for (role, uid) in [("prefill", &uids[0]), ("decode", &uids[1])] {
        let row = rows.iter().find(|row| row["pod"] == role).unwrap();
        for (key, value) in [
            ("role", json!(role)),
            ("pod_uid", json!(uid)),
            ("namespace", json!(namespace)),
            ("node", json!("node")),
            ("zone", json!("zone-a")),
            ("for_zones", json!(["zone-a", "zone-b"])),
            ("model_version", json!("7b-v2")),
            ("restarts", json!(0)),
            ("engine", json!("vllm")),
        ] {
            assert_eq!(row[key], value, "{key}: {row:#}");
        }
    }

    let relabelled = json!({"metadata": {"labels": {"app.kubernetes.io/version": "7b-v3"}}});
    let path = format!("/api/v1/namespaces/{namespace}/pods/decode");
    api.merge(&path, &relabelled).await.unwrap();
    let is_new = |row: &Value| row["pod"] == "decode" && row["model_version"] == "7b-v3";
    gateway
        .until_endpoints(|rows| rows.iter().any(is_new))
        .await;
}
