//! The gateway in front of a Service.

use std::path::Path;

use crate::gateway_process::{GatewayProcess, Start};

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
