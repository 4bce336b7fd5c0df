//! An API server that is away for a while, and other objects when it is back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use http::StatusCode;
use warmgate_loadtest::engine::EngineHandle;

use crate::control_plane::{ControlPlane, shared};
use crate::gateway_process::{GatewayProcess, PATIENCE, Start};
use crate::http_client;
use crate::in_cluster::{gateway_of, start_pods};
use crate::load::Load;
use crate::pods::Pod;
use crate::relay::Relay;
use crate::slices::{Endpoint, Slice, service, slices_path};
use crate::table::{Row, of_api, of_gateway, until_equal};

/// Seconds without an API server; the environment may ask for more.
const OUTAGE_S: (&str, u64) = ("WARMGATE_CLUSTER_OUTAGE_S", 30);
/// From the return of the API server until the table is right.
const RIGHT_WITHIN: Duration = Duration::from_secs(10);
/// The longest that a watch may say nothing, and some time to notice.
const FOUND_OUT_WITHIN: Duration = Duration::from_secs(50);
/// Times that staleness is seen to rise.
const RISES_MIN: u32 = 3;
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

async fn until_well(gateway: &GatewayProcess) {
    let deadline = Instant::now() + PATIENCE;
    while is_degraded(gateway).await {
        assert!(Instant::now() < deadline, "{}", gateway.stderr());
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn outage() -> Duration {
    let asked = std::env::var(OUTAGE_S.0).ok();
    Duration::from_secs(asked.map_or(OUTAGE_S.1, |text| text.parse().unwrap()))
}

/// A control plane, pods with their engines, a gateway that reaches the API server by a way that
/// can be cut, and clients.
struct Scene {
    plane: ControlPlane,
    namespace: String,
    engines: Vec<EngineHandle>,
    pods: Vec<Pod>,
    way: Relay,
    gateway: GatewayProcess,
    /// What the gateway knew while all was well.
    before: BTreeSet<Row>,
    load: Load,
}

/// Eight pods, of which six are in three slices.
async fn scene(name: &str, group: u8) -> Scene {
    let plane = ControlPlane::start(name).await;
    let api = plane.api();
    let namespace = api.namespace(name).await;
    service(api, &namespace, "model").await;
    let (engines, pods) = start_pods(api, &namespace, group, 8).await;
    for (number, pods) in pods[..6].chunks(2).enumerate() {
        slice(number, pods).apply(api).await;
    }
    let way = Relay::start(plane.server()).await;
    let kubeconfig = plane.admin_kubeconfig_through(way.address);
    let gateway = gateway_of(&kubeconfig, &namespace, "model", 6).await;
    assert!(!is_degraded(&gateway).await);
    let load = Load::start(gateway.listen, CLIENTS);
    load.until_answered(50).await;
    Scene {
        before: of_gateway(&gateway).await,
        plane,
        namespace,
        engines,
        pods,
        way,
        gateway,
        load,
    }
}

fn slice(number: usize, pods: &[Pod]) -> Slice {
    let endpoints = pods.iter().map(Endpoint::of).collect();
    Slice::new(&pods[0].namespace, "model", number, endpoints)
}

impl Scene {
    /// A slice is gone, one has lost an endpoint, one is new; the gateway sees nothing of it.
    async fn change_unseen(&self) -> BTreeSet<Row> {
        let (api, pods) = (self.plane.api(), &self.pods);
        let first = format!("{}/model-0", slices_path(&self.namespace));
        api.delete(&first).await.unwrap();
        slice(1, &pods[2..3]).apply(api).await;
        slice(3, &pods[6..]).apply(api).await;
        for pod in [&pods[0], &pods[1], &pods[3]] {
            pod.remove(api).await;
        }
        assert_eq!(of_gateway(&self.gateway).await, self.before);
        let truth = of_api(api, &self.namespace).await;
        assert_eq!(truth.len(), 5);
        truth
    }

    /// Waits until the gateway says that all is well, ends the engines of deleted pods, and fails
    /// where a request has failed at any time or an engine has never got one.
    async fn end_well(mut self) {
        until_well(&self.gateway).await;
        for engine in [3, 1, 0] {
            self.engines.remove(engine).shutdown().await;
        }
        self.load.until_answered(50).await;
        self.load.stop().await.assert_sound();
        for engine in &self.engines {
            assert!(engine.state().received_total > 0, "{}", engine.addr());
        }
        let stale = staleness(&self.gateway).await;
        assert_eq!(stale, 0.0);
    }
}

/// Waits out the outage, and looks at the gateway meanwhile.
async fn sit_out(gateway: &GatewayProcess, limit: Duration) {
    let begin = Instant::now();
    let (mut last, mut rises) = (0.0, 0);
    while begin.elapsed() < limit || rises < RISES_MIN {
        assert!(
            begin.elapsed() < limit + PATIENCE,
            "staleness does not rise above {last}"
        );
        tokio::time::sleep(LOOK_INTERVAL).await;
        let now = staleness(gateway).await;
        rises += u32::from(now > last);
        last = now;
        // Whoever says how stale it is says that this is not well.
        assert!(is_degraded(gateway).await || now == 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_costs_no_request_and_what_changed_is_known_soon_after() {
    let mut scene = scene("outage", GROUP).await;
    scene.plane.kill_api_server();
    scene.way.cut().await;
    sit_out(&scene.gateway, outage()).await;
    assert_eq!(of_gateway(&scene.gateway).await, scene.before);

    scene.plane.start_api_server().await;
    let truth = scene.change_unseen().await;
    let back = Instant::now();
    scene.way.mend().await;
    let took = until_equal(&scene.gateway, &truth, back, RIGHT_WITHIN).await;
    let outage = outage();
    println!("outage: {outage:?} without an API server, right {took:?} after its return");
    scene.end_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_says_nothing_is_found_out() {
    let mut scene = scene("silence", GROUP + 1).await;
    scene.way.silence();
    let silent = Instant::now();
    let truth = scene.change_unseen().await;
    while !is_degraded(&scene.gateway).await {
        let age = silent.elapsed();
        assert!(age < FOUND_OUT_WITHIN, "not found out in {age:?}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let found_out = silent.elapsed();
    assert_eq!(of_gateway(&scene.gateway).await, scene.before);
    let back = Instant::now();
    scene.way.mend().await;
    let took = until_equal(&scene.gateway, &truth, back, RIGHT_WITHIN).await;
    println!("silence: found out after {found_out:?}, right {took:?} after its end");
    scene.end_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_restored_from_a_backup_is_followed_back() {
    let mut scene = scene("restored", GROUP + 2).await;
    let plane = &mut scene.plane;
    plane.kill_api_server();
    plane.kill_etcd();
    plane.save_data();
    plane.start_etcd();
    plane.start_api_server().await;
    // What is written now will never have been.
    let (api, pods) = (*plane.api(), &scene.pods);
    slice(0, &pods[..1]).apply(&api).await;
    slice(3, &pods[6..]).apply(&api).await;
    let truth = of_api(&api, &scene.namespace).await;
    until_equal(&scene.gateway, &truth, Instant::now(), PATIENCE).await;
    assert_ne!(truth, scene.before);

    let plane = &mut scene.plane;
    plane.kill_api_server();
    plane.kill_etcd();
    plane.restore_data();
    plane.start_etcd();
    plane.start_api_server().await;
    let back = Instant::now();
    let truth = of_api(&api, &scene.namespace).await;
    assert_eq!(truth, scene.before);
    until_equal(&scene.gateway, &truth, back, RIGHT_WITHIN).await;
    scene.load.stop().await.assert_sound();
}

#[tokio::test]
async fn a_gateway_that_is_there_before_its_api_server_waits_for_it() {
    let plane = shared().await;
    let namespace = plane.api().namespace("early").await;
    let mut way = Relay::start(plane.server()).await;
    way.cut().await;
    let kubeconfig = plane.admin_kubeconfig_through(way.address);
    let gateway = Start::default()
        .arguments(&["--service", &format!("{namespace}/model")])
        .arguments(&["--kubeconfig", kubeconfig.to_str().unwrap()])
        .run()
        .await;
    let ready = http_client::get(gateway.admin, "/ready").await.unwrap();
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    way.mend().await;
    // Neither is the Service there yet.
    service(plane.api(), &namespace, "model").await;
    let (_engines, pods) = start_pods(plane.api(), &namespace, GROUP + 3, 1).await;
    slice(0, &pods).apply(plane.api()).await;
    gateway
        .until_endpoints(|rows| rows.iter().any(|row| row["usable"] == true))
        .await;
    assert_eq!(
        http_client::ask(gateway.listen).await.status,
        StatusCode::OK
    );
    until_well(&gateway).await;
}
