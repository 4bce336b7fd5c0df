//! The gateway in front of a Service, and the pods of one.

use std::path::Path;

use warmgate_loadtest::engine::EngineHandle;

use crate::control_plane::Api;
use crate::engines::{engine_at, pod_address};
use crate::gateway_process::{GatewayProcess, Start};
use crate::pods::{Pod, Told};

/// Starts pods of which nothing is told, each with its engine.
pub async fn start_pods(
    api: &Api,
    namespace: &str,
    group: u8,
    count: u8,
) -> (Vec<EngineHandle>, Vec<Pod>) {
    let (mut engines, mut pods) = (vec![], vec![]);
    for number in 0..count {
        let address = pod_address(group, number);
        engines.push(engine_at(address).await);
        let name = format!("pod-{number}");
        pods.push(Pod::start(api, namespace, &name, address, &Told::default()).await);
    }
    (engines, pods)
}

/// Starts the gateway with an administrator's or an account's kubeconfig, and waits until it has
/// heard of `count` endpoints.
pub async fn gateway_of(
    kubeconfig: &Path,
    namespace: &str,
    service: &str,
    count: usize,
) -> GatewayProcess {
    let service = format!("{namespace}/{service}");
    let gateway = Start::default()
        .arguments(&["--service", &service])
        .arguments(&["--kubeconfig", kubeconfig.to_str().unwrap()])
        .run()
        .await;
    gateway
        .until_endpoints(|rows| {
            rows.len() == count && rows.iter().all(|row| row["models"].is_array())
        })
        .await;
    gateway
}
