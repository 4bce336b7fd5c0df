//! Whether the gateway knows what the API server knows.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::control_plane::Api;
use crate::gateway_process::GatewayProcess;
use crate::slices::slices_path;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Rows of a difference that are shown.
const ROWS_SHOWN: usize = 6;

/// One endpoint, as either side tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub address: String,
    /// UID of its pod.
    pub pod: String,
    /// Ready, serving, terminating.
    pub conditions: [bool; 3],
}

/// What the slices of a namespace say.
pub async fn of_api(api: &Api, namespace: &str) -> BTreeSet<Row> {
    let list = api.get(&slices_path(namespace)).await.unwrap();
    let slices = list["items"].as_array().unwrap();
    slices.iter().flat_map(rows_of_slice).collect()
}

fn rows_of_slice(slice: &Value) -> Vec<Row> {
    let port = &slice["ports"][0]["port"];
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    let row = |endpoint: &Value| {
        let address = text(&endpoint["addresses"][0]);
        let address = match slice["addressType"] == "IPv6" {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        };
        Row {
            address,
            pod: text(&endpoint["targetRef"]["uid"]),
            conditions: conditions(&endpoint["conditions"]),
        }
    };
    endpoints.map(row).collect()
}

/// What the gateway says.
pub async fn of_gateway(gateway: &GatewayProcess) -> BTreeSet<Row> {
    let rows = gateway.endpoints().await;
    let row = |row: &Value| Row {
        address: text(&row["address"]),
        pod: text(&row["pod_uid"]),
        conditions: conditions(row),
    };
    rows.iter().map(row).collect()
}

fn conditions(said: &Value) -> [bool; 3] {
    ["ready", "serving", "terminating"].map(|name| said[name] == true)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Waits until both say the same, and returns how long that was from `since`.
///
/// Fails where it takes longer than `limit`.
pub async fn until_equal(
    gateway: &GatewayProcess,
    truth: &BTreeSet<Row>,
    since: Instant,
    limit: Duration,
) -> Duration {
    loop {
        let asked_after = since.elapsed();
        let known = of_gateway(gateway).await;
        if known == *truth {
            // It knew when it was asked; what the answer took is not its delay.
            return asked_after;
        }
        assert!(asked_after < limit, "{}", difference(&known, truth));
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

fn difference(known: &BTreeSet<Row>, truth: &BTreeSet<Row>) -> String {
    let few = |rows: Vec<&Row>| -> (usize, Vec<Row>) {
        (
            rows.len(),
            rows.into_iter().take(ROWS_SHOWN).cloned().collect(),
        )
    };
    let (surplus, missing) = (
        few(known.difference(truth).collect()),
        few(truth.difference(known).collect()),
    );
    format!("the gateway has in error {surplus:#?} and lacks {missing:#?}")
}
