//! What is believed of an engine's cache when its pod blips, is replaced, or starts anew.

use http::StatusCode;
use serde_json::Value;
use warmgate_loadtest::engine::EngineHandle;

use crate::control_plane::{ControlPlane, shared};
use crate::engines::engine_at;
use crate::gateway_process::GatewayProcess;
use crate::http_client::{self, Answer, chat};
use crate::in_cluster::{gateway_of, start_pods};
use crate::pods::{Pod, Told};
use crate::slices::{Endpoint, Slice, UNREADY, service};

/// Some 1,500 tokens.
const PROMPT_BYTES: usize = 6_000;

/// Two pods of a Service, one of which has answered a long prompt.
struct Scene {
    plane: &'static ControlPlane,
    gateway: GatewayProcess,
    engines: Vec<EngineHandle>,
    pods: Vec<Pod>,
    slice: Slice,
    /// Place of the pod that has answered.
    warm: usize,
}

/// The first of the addresses of a test; each has its own group.
async fn scene(group: u8) -> Scene {
    let plane = shared().await;
    let api = plane.api();
    let namespace = api.namespace("replacement").await;
    service(api, &namespace, "model").await;
    let (engines, pods) = start_pods(api, &namespace, group, 2).await;
    let endpoints = pods.iter().map(Endpoint::of).collect();
    let slice = Slice::new(&namespace, "model", 0, endpoints);
    slice.apply(api).await;
    let gateway = gateway_of(&plane.admin_kubeconfig(), &namespace, "model", 2).await;
    let mut scene = Scene {
        plane,
        gateway,
        engines,
        pods,
        slice,
        warm: 0,
    };
    let answer = scene.ask().await;
    let at = |pod: &Pod| answer.endpoint().starts_with(&format!("{}:", pod.address));
    scene.warm = scene.pods.iter().position(at).unwrap();
    scene.gateway.assert_settled().await;
    assert!(scene.known_tokens().await > 0);
    scene
}

impl Scene {
    /// The long prompt, always the same.
    async fn ask(&self) -> Answer {
        let word = "remember this ";
        let request = chat(&word.repeat(PROMPT_BYTES / word.len()), 1, false);
        let answer = http_client::send(self.gateway.listen, request).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer
    }

    /// Tokens of that answer's prompt that the engine found in its cache.
    fn cached(answer: &Answer) -> u64 {
        let details = &answer.json()["usage"]["prompt_tokens_details"];
        details["cached_tokens"].as_u64().unwrap_or(0)
    }

    async fn until_warm_row(&self, expected: impl Fn(&Value) -> bool) {
        let address = self.warm_address();
        self.gateway
            .until_endpoints(|rows| {
                rows.iter()
                    .any(|row| row["address"] == address && expected(row))
            })
            .await;
    }

    async fn known_tokens(&self) -> u64 {
        let rows = self.gateway.endpoints().await;
        let row = rows
            .iter()
            .find(|row| row["address"] == self.warm_address());
        row.unwrap()["known_cached_tokens"].as_u64().unwrap()
    }

    fn warm_address(&self) -> String {
        self.engines[self.warm].addr().to_string()
    }

    async fn apply(&self) {
        self.slice.apply(self.plane.api()).await;
    }
}

#[tokio::test]
async fn a_pod_that_was_not_ready_for_a_moment_is_as_warm_as_before() {
    let mut scene = scene(30).await;
    let known = scene.known_tokens().await;
    let ready = scene.slice.endpoints[scene.warm].conditions;
    scene.slice.endpoints[scene.warm].conditions = UNREADY;
    scene.apply().await;
    scene
        .until_warm_row(|row| row["state"] == "not_ready")
        .await;
    assert_eq!(scene.known_tokens().await, known);

    scene.slice.endpoints[scene.warm].conditions = ready;
    scene.apply().await;
    scene.until_warm_row(|row| row["usable"] == true).await;
    assert_eq!(scene.known_tokens().await, known);
    let answer = scene.ask().await;
    assert_eq!(answer.endpoint(), scene.warm_address());
    assert!(Scene::cached(&answer) > 0, "{}", answer.text());
}

#[tokio::test]
async fn a_pod_that_is_missing_from_one_slice_while_it_moves_to_another_stays_warm() {
    let mut scene = scene(31).await;
    let known = scene.known_tokens().await;
    let moving = scene.slice.endpoints.remove(scene.warm);
    let other = Slice::new(&scene.slice.namespace, "model", 1, vec![moving]);
    // As the controller does: it is in both for a moment, not in none.
    other.apply(scene.plane.api()).await;
    scene.apply().await;
    let rows = |rows: &[Value]| rows.len() == 2;
    scene.gateway.until_endpoints(rows).await;
    assert_eq!(scene.known_tokens().await, known);
    assert_eq!(scene.ask().await.endpoint(), scene.warm_address());
}

#[tokio::test]
async fn another_pod_at_the_same_address_is_cold() {
    let mut scene = scene(32).await;
    let (api, warm) = (scene.plane.api(), scene.warm);
    let old = scene.pods[warm].clone();
    let address = old.address;
    old.remove(api).await;
    scene.engines.remove(warm).shutdown().await;
    scene.engines.insert(warm, engine_at(address).await);
    let new = Pod::start(api, &old.namespace, &old.name, address, &Told::default()).await;
    assert_ne!(new.uid, old.uid);
    scene.slice.endpoints[warm] = Endpoint::of(&new);
    scene.apply().await;
    let is_new = |row: &Value| row["pod_uid"] == new.uid;
    scene.until_warm_row(is_new).await;
    assert_eq!(scene.known_tokens().await, 0);
    assert_eq!(scene.gateway.endpoints().await.len(), 2);
    let answer = scene.ask().await;
    assert_eq!(Scene::cached(&answer), 0, "{}", answer.text());
}

#[tokio::test]
async fn a_container_that_was_restarted_in_its_pod_is_cold() {
    let scene = scene(33).await;
    let (api, pod) = (scene.plane.api(), &scene.pods[scene.warm]);
    pod.report(api, true, 1).await;
    scene
        .until_warm_row(|row| row["known_cached_tokens"] == 0)
        .await;
    let uid = &pod.uid;
    let is_same = |row: &Value| row["pod_uid"] == *uid;
    scene.until_warm_row(is_same).await;
}
