//! What has begun on a pod ends there, whatever becomes of the pod meanwhile.

use serde_json::Value;
use warmgate_loadtest::engine::EngineHandle;

use crate::control_plane::{Api, shared};
use crate::engines::{engine_like, pod_address, slow};
use crate::gateway_process::GatewayProcess;
use crate::http_client::{self, Opened, chat};
use crate::in_cluster::gateway_of;
use crate::slices::{Endpoint, Slice, TERMINATING, service};

/// Takes the slow engine some seconds.
const LONG_ANSWER_TOKENS: u32 = 60;
const LATER_REQUESTS: usize = 6;

struct Scene {
    api: Api,
    gateway: GatewayProcess,
    engines: [EngineHandle; 2],
    slice: Slice,
    /// A long answer that has begun.
    stream: Opened,
    /// Place of the pod that it comes from.
    busy: usize,
}

async fn scene(group: u8) -> Scene {
    let plane = shared().await;
    let api = *plane.api();
    let namespace = api.namespace("draining").await;
    service(&api, &namespace, "model").await;
    let engines = [
        engine_like(slow(), pod_address(group, 0)).await,
        engine_like(slow(), pod_address(group, 1)).await,
    ];
    let endpoint = |engine: &EngineHandle| {
        let ip = engine.addr().ip();
        Endpoint::of_named(ip, &format!("pod-{group}"), &format!("uid-{ip}"))
    };
    let slice = Slice::new(
        &namespace,
        "model",
        0,
        engines.iter().map(endpoint).collect(),
    );
    slice.apply(&api).await;
    let gateway = gateway_of(&plane.admin_kubeconfig(), &namespace, "model", 2).await;
    let answer = http_client::open(gateway.listen, chat("hello", LONG_ANSWER_TOKENS, true)).await;
    let mut stream = answer.unwrap();
    stream.next().await.unwrap().unwrap();
    let is_busy = |engine: &EngineHandle| engine.state().open > 0;
    let busy = engines.iter().position(is_busy).unwrap();
    Scene {
        api,
        gateway,
        engines,
        slice,
        stream,
        busy,
    }
}

impl Scene {
    /// Sends requests that must not go where the stream comes from, then reads it to its end.
    async fn end_well(self) {
        let address = self.engines[self.busy].addr().to_string();
        for _ in 0..LATER_REQUESTS {
            // The same prompt: the cache of the other one would be the better choice.
            let answer = http_client::send(self.gateway.listen, chat("hello", 1, false)).await;
            let answer = answer.unwrap();
            assert!(answer.status.is_success(), "{}", answer.text());
            assert_ne!(answer.endpoint(), address);
        }
        let state = self.engines[self.busy].state();
        assert_eq!(
            (state.received_total, state.finished_total),
            (1, 0),
            "still at it"
        );
        let rest = self.stream.finish().await;
        assert!(rest.is_complete && rest.text().ends_with("data: [DONE]\n\n"));
    }

    async fn until_rows(&self, expected: impl Fn(&[Value]) -> bool) {
        self.slice.apply(&self.api).await;
        self.gateway.until_endpoints(expected).await;
    }
}

#[tokio::test]
async fn a_stream_outlives_the_readiness_of_its_pod() {
    let mut scene = scene(70).await;
    scene.slice.endpoints[scene.busy].conditions = TERMINATING;
    let is_told = |row: &Value| row["terminating"] == true && row["state"] == "terminating";
    scene.until_rows(|rows| rows.iter().any(is_told)).await;
    scene.end_well().await;
}

#[tokio::test]
async fn a_stream_outlives_the_entry_of_its_pod() {
    let mut scene = scene(71).await;
    scene.slice.endpoints.remove(scene.busy);
    scene.until_rows(|rows| rows.len() == 1).await;
    scene.end_well().await;
}
