//! A pool whose endpoints are those of an InferencePool.

use std::convert::Infallible;
use std::net::IpAddr;

use bytes::Bytes;
use http::{Response, Version};
use http_body_util::Full;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use warmgate_loadtest::engine::EngineHandle;

use crate::control_plane::{Api, ControlPlane, Verbs, object, shared};
use crate::engines::{PORT, engine_at, pod_address};
use crate::gateway_process::{GatewayProcess, Start};
use crate::http_client;
use crate::pods::{Pod, Told};

const POOLS: &str = "/apis/inference.networking.k8s.io/v1/namespaces";
const CONTROLLER: &str = "warmgate.io/gateway";

/// The shared control plane, which knows InferencePools from then on.
async fn plane() -> &'static ControlPlane {
    static DEFINED: OnceCell<()> = OnceCell::const_new();
    let plane = shared().await;
    DEFINED.get_or_init(|| plane.define(&["gie"])).await;
    plane
}

fn pool_path(namespace: &str) -> String {
    format!("{POOLS}/{namespace}/inferencepools/llama")
}

async fn make_pool(api: &Api, namespace: &str, labels: &Value, ports: &[u16]) {
    let version = "inference.networking.k8s.io/v1";
    let mut pool = object(version, "InferencePool", namespace, "llama");
    let ports: Vec<_> = ports
        .iter()
        .map(|number| json!({"number": number}))
        .collect();
    pool["spec"] = json!({"selector": {"matchLabels": labels}, "targetPorts": ports});
    api.apply(&pool).await.unwrap();
}

async fn start_pod(
    api: &Api,
    namespace: &str,
    name: &str,
    place: (u8, u8),
    labels: &[(&str, &str)],
) -> (EngineHandle, Pod) {
    let address = pod_address(place.0, place.1);
    let engine = engine_at(address).await;
    let told = Told {
        labels,
        annotations: &[],
    };
    let pod = Pod::start(api, namespace, name, address, &told).await;
    (engine, pod)
}

/// A gateway with one pool and a parent; with only those rights, where some are named.
async fn gateway(
    plane: &ControlPlane,
    namespace: &str,
    rights: Option<&[Verbs<'_>]>,
) -> GatewayProcess {
    let kubeconfig = match rights {
        Some(rights) => plane.account_kubeconfig(namespace, rights).await,
        None => plane.admin_kubeconfig(),
    };
    let config = json!({
        "kubernetes": {"parent": {"kind": "Service", "namespace": namespace, "name": "warmgate"}},
        "pools": [{"name": "main", "kubernetes": {"inferencePool": "llama", "namespace": namespace}}],
    });
    Start::with_config(&config.to_string())
        .without_awaiting_endpoints()
        .arguments(&["--kubeconfig", kubeconfig.to_str().unwrap()])
        .run()
        .await
}

/// Waits until those addresses and no others are known.
async fn until_addresses(gateway: &GatewayProcess, expected: &[String]) {
    let told = |row: &Value| row["address"].as_str().unwrap().to_owned();
    gateway
        .until_endpoints(|rows| rows.iter().map(told).collect::<Vec<_>>() == expected)
        .await;
}

fn address(group: u8, place: u8) -> String {
    format!("{}:{PORT}", pod_address(group, place))
}

async fn until_parents(
    api: &Api,
    namespace: &str,
    expected: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let path = format!("{POOLS}/{namespace}/inferencepools");
    let parents = |pool: &Value| {
        pool["status"]["parents"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let pools = api
        .until_list(&path, |pools| expected(&parents(&pools[0])))
        .await;
    parents(&pools[0])
}

fn is_ours(entry: &Value) -> bool {
    entry["controllerName"] == CONTROLLER
}

#[tokio::test]
async fn endpoints_follow_the_pods_and_the_selector() {
    let plane = plane().await;
    let api = plane.api();
    let namespace = api.namespace("pool").await;
    let gateway = gateway(plane, &namespace, None).await;
    let (_old_engine, old) = start_pod(api, &namespace, "a", (60, 0), &[("app", "old")]).await;
    let (new_engine, new) = start_pod(api, &namespace, "b", (60, 1), &[("app", "new")]).await;
    make_pool(api, &namespace, &json!({"app": "old"}), &[PORT]).await;
    until_addresses(&gateway, &[address(60, 0)]).await;
    let rows = gateway.endpoints().await;
    assert_eq!(rows[0]["pod_uid"], old.uid);

    make_pool(api, &namespace, &json!({"app": "new"}), &[PORT]).await;
    until_addresses(&gateway, &[address(60, 1)]).await;
    let answer = http_client::ask(gateway.listen).await;
    assert_eq!(answer.endpoint(), new_engine.addr().to_string());

    new.report(api, false, 0).await;
    gateway
        .until_endpoints(|rows| rows[0]["ready"] == false)
        .await;
    new.report(api, true, 0).await;
    gateway
        .until_endpoints(|rows| rows[0]["ready"] == true)
        .await;
    new.remove(api).await;
    until_addresses(&gateway, &[]).await;
}

#[tokio::test]
async fn each_target_port_is_an_endpoint_and_a_deleted_pool_has_none() {
    let plane = plane().await;
    let api = plane.api();
    let namespace = api.namespace("ranks").await;
    let gateway = gateway(plane, &namespace, None).await;
    let (_engine, pod) = start_pod(api, &namespace, "a", (61, 0), &[("app", "llama")]).await;
    make_pool(api, &namespace, &json!({"app": "llama"}), &[PORT, 9999]).await;
    gateway.until_endpoints(|rows| rows.len() == 2).await;
    let active = json!({"metadata": {"annotations": {"llm-d.ai/active-ports": PORT.to_string()}}});
    let path = format!("/api/v1/namespaces/{namespace}/pods/{}", pod.name);
    api.merge(&path, &active).await.unwrap();
    until_addresses(&gateway, &[address(61, 0)]).await;
    api.delete(&pool_path(&namespace)).await.unwrap();
    until_addresses(&gateway, &[]).await;
    let said = gateway.stderr();
    assert!(said.contains("does not exist"), "{said}");
}

/// A server that understands HTTP/2 without TLS, and nothing else.
async fn http2_only(address: IpAddr) {
    let listener = TcpListener::bind((address, PORT)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(async |request| {
                let request: http::Request<hyper::body::Incoming> = request;
                assert_eq!(request.version(), Version::HTTP_2);
                let path = request.uri().path().to_owned();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(
                    json!({"object": "list", "data": [{"id": "sim"}], "path": path}).to_string(),
                ))))
            });
            let server = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), answer));
        }
    });
}

#[tokio::test]
async fn a_pool_of_http_2_is_spoken_to_in_it() {
    let plane = plane().await;
    let api = plane.api();
    let namespace = api.namespace("h2c").await;
    let place = pod_address(63, 0);
    http2_only(place).await;
    let labels = Told {
        labels: &[("app", "llama")],
        annotations: &[],
    };
    Pod::start(api, &namespace, "a", place, &labels).await;
    make_pool(api, &namespace, &json!({"app": "llama"}), &[PORT]).await;
    let h2c = json!({"spec": {"appProtocol": "kubernetes.io/h2c"}});
    api.merge(&pool_path(&namespace), &h2c).await.unwrap();
    let gateway = gateway(plane, &namespace, None).await;
    // Probed in HTTP/2 too, or its models were not known.
    gateway
        .until_endpoints(|rows| rows.len() == 1 && rows[0]["models"].is_array())
        .await;
    let answer = http_client::ask(gateway.listen).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    assert_eq!(answer.json()["path"], "/v1/chat/completions");
}

#[tokio::test]
async fn the_status_has_our_entry_beside_those_of_others() {
    let plane = plane().await;
    let api = plane.api();
    let namespace = api.namespace("status").await;
    make_pool(api, &namespace, &json!({"app": "llama"}), &[PORT]).await;
    let other = json!({
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"},
        "controllerName": "example.net/other",
        "conditions": [{
            "type": "Accepted", "status": "False", "reason": "Pending", "message": "wait",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    });
    let status_path = format!("{}/status", pool_path(&namespace));
    let put = async |parents: Vec<Value>| {
        let status = json!({"status": {"parents": parents}});
        api.merge(&status_path, &status).await.unwrap();
    };
    put(vec![other.clone()]).await;
    // Two replicas say the same.
    let first = gateway(plane, &namespace, None).await;
    let second = gateway(plane, &namespace, None).await;
    let both = until_parents(api, &namespace, |parents| parents.iter().any(is_ours)).await;
    assert_eq!(both.len(), 2, "{both:#?}");
    assert_eq!(both[0], other);
    let conditions = both[1]["conditions"].as_array().unwrap();
    let types: Vec<_> = conditions
        .iter()
        .map(|one| (&one["type"], &one["status"]))
        .collect();
    assert_eq!(
        types,
        [
            (&json!("Accepted"), &json!("True")),
            (&json!("ResolvedRefs"), &json!("True"))
        ]
    );

    // Edited: of the new generation, and no transition.
    make_pool(api, &namespace, &json!({"app": "qwen"}), &[PORT]).await;
    let edited = until_parents(api, &namespace, |parents| {
        let observed = &parents[1]["conditions"][0]["observedGeneration"];
        *observed == 2
    })
    .await;
    let time = |parents: &[Value]| parents[1]["conditions"][0]["lastTransitionTime"].clone();
    assert_eq!(time(&edited), time(&both));
    assert_eq!(edited[0], other);

    // Written over by somebody: it is put back, and theirs stays.
    put(vec![other.clone()]).await;
    until_parents(api, &namespace, |parents| parents.iter().any(is_ours)).await;
    for replica in [first, second] {
        let said = replica.stderr();
        assert!(!said.contains("status cannot be written"), "{said}");
    }
}

#[tokio::test]
async fn what_the_account_may_not_do_is_said() {
    const READ: &[&str] = &["get", "list", "watch"];
    let plane = plane().await;
    let api = plane.api();
    let namespace = api.namespace("rightless").await;
    make_pool(api, &namespace, &json!({"app": "llama"}), &[PORT]).await;
    let pools = Verbs {
        group: "inference.networking.k8s.io",
        resources: &["inferencepools"],
        verbs: READ,
    };
    let (_engine, _pod) = start_pod(api, &namespace, "a", (62, 0), &[("app", "llama")]).await;
    let gateway = gateway(plane, &namespace, Some(&[pools])).await;
    let said = || gateway.stderr();
    gateway
        .until(|| said().contains("the API server refuses Pods"))
        .await;
    gateway
        .until(|| said().contains("inferencepools/status"))
        .await;
}
