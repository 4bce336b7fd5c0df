//! An API server that is away for a while, and other objects when it is back.

use std::time::{Duration, Instant};

use http::StatusCode;

use crate::control_plane::ControlPlane;
use crate::engines::{engine_at, pod_address};
use crate::gateway_process::{GatewayProcess, PATIENCE};
use crate::http_client;
use crate::in_cluster::gateway_of;
use crate::load::Load;
use crate::pods::{Pod, Told};
use crate::relay::Relay;
use crate::slices::{Endpoint, Slice, service, slices_path};
use crate::table::{of_api, of_gateway, until_equal};

/// Seconds without an API server; the environment may ask for more.
const OUTAGE_S: (&str, u64) = ("WARMGATE_CLUSTER_OUTAGE_S", 30);
/// From the return of the API server until the table is right.
const RIGHT_WITHIN: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const CLIENTS: usize = 4;
const GROUP: u8 = 50;
const STALENESS: &str = "warmgate_source_stale_seconds";

async fn staleness(gateway: &GatewayProcess) -> f64 {
    gateway.metrics().await.sum(STALENESS, &[])
}

/// Fails unless the gateway is ready; whether it says that something is amiss.
async fn is_degraded(gateway: &GatewayProcess) -> bool {
    let ready = http_client::get(gateway.admin, "/ready").await.unwrap();
    assert_eq!(ready.status, StatusCode::OK, "{}", ready.text());
    ready.json()["degraded"].as_bool().unwrap()
}

fn outage() -> Duration {
    let asked = std::env::var(OUTAGE_S.0).ok();
    Duration::from_secs(asked.map_or(OUTAGE_S.1, |text| text.parse().unwrap()))
}

/// Waits out the outage, and looks at the gateway meanwhile.
async fn sit_out(gateway: &GatewayProcess, limit: Duration) {
    let begin = Instant::now();
    let mut was_degraded = false;
    let mut last = staleness(gateway).await;
    let mut rises = 0;
    while begin.elapsed() < limit {
        tokio::time::sleep(LOOK_INTERVAL).await;
        was_degraded |= is_degraded(gateway).await;
        let now = staleness(gateway).await;
        rises += u32::from(now > last);
        last = now;
    }
    let metrics = gateway.metrics().await;
    assert!(was_degraded, "an API server that is away is said");
    assert!(
        rises > 0 && last > 0.0,
        "{rises} rises up to {last}\n{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_costs_no_request_and_what_changed_is_known_soon_after() {
    let mut plane = ControlPlane::start("outage").await;
    let api = *plane.api();
    let namespace = api.namespace("outage").await;
    service(&api, &namespace, "model").await;
    let (mut engines, mut pods) = (vec![], vec![]);
    for number in 0..8 {
        let address = pod_address(GROUP, number);
        engines.push(engine_at(address).await);
        let name = format!("pod-{number}");
        pods.push(Pod::start(&api, &namespace, &name, address, &Told::default()).await);
    }
    let slice = |number: usize, pods: &[Pod]| {
        let endpoints = pods.iter().map(Endpoint::of).collect();
        Slice::new(&namespace, "model", number, endpoints)
    };
    // The last two come later.
    for (number, pods) in pods[..6].chunks(2).enumerate() {
        slice(number, pods).apply(&api).await;
    }
    let mut way = Relay::start(plane.server()).await;
    let kubeconfig = plane.admin_kubeconfig_through(way.address);
    let gateway = gateway_of(&kubeconfig, &namespace, "model", 6).await;
    assert!(!is_degraded(&gateway).await);
    let before = of_gateway(&gateway).await;
    let load = Load::start(gateway.listen, CLIENTS);
    load.until_answered(50).await;

    plane.kill_api_server();
    way.cut().await;
    sit_out(&gateway, outage()).await;
    assert_eq!(
        of_gateway(&gateway).await,
        before,
        "last known endpoints stay"
    );

    plane.start_api_server().await;
    // A slice is gone, one has lost an endpoint, one is new; the gateway has seen nothing of it.
    api.delete(&format!("{}/model-0", slices_path(&namespace)))
        .await
        .unwrap();
    slice(1, &pods[2..3]).apply(&api).await;
    slice(3, &pods[6..]).apply(&api).await;
    for pod in [&pods[0], &pods[1], &pods[3]] {
        pod.remove(&api).await;
    }
    assert_eq!(of_gateway(&gateway).await, before);
    let truth = of_api(&api, &namespace).await;
    assert_eq!(truth.len(), 5);
    let back = Instant::now();
    way.mend().await;
    let took = until_equal(&gateway, &truth, back, RIGHT_WITHIN).await;
    println!(
        "outage: {:?} without an API server, right {took:?} after its return",
        outage()
    );

    let deadline = Instant::now() + PATIENCE;
    while is_degraded(&gateway).await {
        assert!(Instant::now() < deadline, "{}", gateway.stderr());
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    // Nobody needs the deleted ones any more.
    for engine in [3, 1, 0] {
        engines.remove(engine).shutdown().await;
    }
    load.until_answered(50).await;
    load.stop().await.assert_sound();
    for engine in &engines {
        assert!(engine.state().received_total > 0, "{}", engine.addr());
    }
}
