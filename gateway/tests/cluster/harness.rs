//! What the other tests stand on: the control plane is a real one, and addresses are ours.

use serde_json::{Value, json};

use crate::control_plane::{ControlPlane, Verbs, object, shared};
use crate::engines::{PORT, engine_at, pod_address};
use crate::http_client;
use crate::pods::{Pod, Told};
use crate::slices::{Endpoint, Slice, service, slices_path};

async fn names_of_slices(plane: &ControlPlane, namespace: &str) -> Vec<Value> {
    let list = plane.api().get(&slices_path(namespace)).await.unwrap();
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["metadata"]["name"].clone())
        .collect()
}

#[tokio::test]
async fn the_control_plane_takes_five_hundred_endpoints_and_no_loopback() {
    let plane = shared().await;
    let namespace = plane.api().namespace("many").await;
    service(plane.api(), &namespace, "model").await;
    for number in 0..10 {
        let endpoints = (0..50).map(|place| {
            let name = format!("pod-{number}-{place}");
            Endpoint::of_named(pod_address(number, place), &name, &name)
        });
        let slice = Slice::new(&namespace, "model", number.into(), endpoints.collect());
        slice.apply(plane.api()).await;
    }
    assert_eq!(names_of_slices(plane, &namespace).await.len(), 10);

    let loopback = Endpoint::of_named([127, 0, 0, 1].into(), "pod", "pod");
    let refused = Slice::new(&namespace, "model", 10, vec![loopback]).to_json();
    let refusal = plane.api().apply(&refused).await.unwrap_err();
    assert_eq!(refusal.code, 422, "{}", refusal.message);
    assert!(refusal.message.contains("loopback"), "{}", refusal.message);
}

#[tokio::test]
async fn an_unknown_field_is_refused() {
    let plane = shared().await;
    let namespace = plane.api().namespace("strict").await;
    let mut slice = Slice::new(&namespace, "model", 0, vec![]).to_json();
    slice["endpoinds"] = json!([]);
    let refusal = plane.api().apply(&slice).await.unwrap_err();
    assert!(refusal.message.contains("endpoinds"), "{}", refusal.message);
}

#[tokio::test]
async fn what_was_written_outlives_the_servers() {
    let mut plane = ControlPlane::start("restarted").await;
    let namespace = plane.api().namespace("kept").await;
    let (api, told) = (plane.api(), Told::default());
    let pod = Pod::start(api, &namespace, "pod", pod_address(21, 0), &told).await;
    let slice = Slice::new(&namespace, "model", 0, vec![Endpoint::of(&pod)]);
    slice.apply(api).await;
    plane.kill_api_server();
    plane.kill_etcd();
    assert!(plane.api().get("/readyz").await.is_err());
    plane.start_etcd();
    plane.start_api_server().await;
    assert_eq!(names_of_slices(&plane, &namespace).await, ["model-0"]);
}

#[tokio::test]
async fn a_pod_that_takes_anothers_name_is_another() {
    let plane = shared().await;
    let namespace = plane.api().namespace("pods").await;
    let told = Told {
        labels: &[("app", "model")],
        annotations: &[],
    };
    let mut uids = vec![];
    for _ in 0..2 {
        let pod = Pod::start(plane.api(), &namespace, "pod", pod_address(21, 1), &told).await;
        pod.report(plane.api(), true, 3).await;
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=app%3Dmodel");
        let seen = plane.api().get(&path).await.unwrap();
        let status = &seen["items"][0]["status"];
        assert_eq!(status["podIP"], "10.244.21.2");
        assert_eq!(status["containerStatuses"][0]["restartCount"], 3);
        pod.remove(plane.api()).await;
        uids.push(pod.uid);
    }
    assert_ne!(uids[0], uids[1]);
}

#[tokio::test]
async fn what_other_projects_define_is_known() {
    // One of its own: definitions are known to a whole cluster, and cost the API server memory.
    let plane = ControlPlane::start("definitions").await;
    plane.define(&crate::chart::PROJECTS).await;
    let pools = "/apis/inference.networking.k8s.io/v1/inferencepools";
    plane.api().until_list(pools, <[Value]>::is_empty).await;
}

#[tokio::test]
async fn engines_stand_at_pods_addresses_of_both_families() {
    let v6 = "fd00:244::1".parse().unwrap();
    for address in [pod_address(20, 0), pod_address(20, 1), v6] {
        let engine = engine_at(address).await;
        assert_eq!((engine.addr().ip(), engine.addr().port()), (address, PORT));
        let answer = http_client::ask(engine.addr()).await;
        assert!(answer.status.is_success());
    }
}

#[tokio::test]
async fn an_account_may_do_what_it_was_given_and_nothing_else() {
    let plane = shared().await;
    let namespace = plane.api().namespace("account").await;
    let rights = [Verbs {
        group: "discovery.k8s.io",
        resources: &["endpointslices"],
        verbs: &["list"],
    }];
    let kubeconfig = plane.account_kubeconfig(&namespace, &rights).await;
    for (kind, allowed) in [
        ("endpointslices", true),
        ("pods", false),
        ("secrets", false),
    ] {
        let said = plane.kubectl(&kubeconfig, &["get", kind, "--namespace", &namespace]);
        assert_eq!(said.is_ok(), allowed, "{kind}: {said:?}");
        if let Err(said) = said {
            assert!(said.contains("forbidden"), "{kind}: {said}");
        }
    }
}

#[tokio::test]
async fn controllers_make_pods_and_slices_of_a_deployment() {
    let plane = ControlPlane::start_with_controllers("controlled").await;
    let api = plane.api();
    let labels = json!({"app": "model"});
    let mut deployment = object("apps/v1", "Deployment", "default", "model");
    deployment["spec"] = json!({
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "engine", "image": "example.com/engine:1"}]},
        },
    });
    api.apply(&deployment).await.unwrap();
    let pods = api
        .until_list("/api/v1/namespaces/default/pods", |items| items.len() == 2)
        .await;
    assert_eq!(pods[0]["metadata"]["labels"]["app"], "model");
}
