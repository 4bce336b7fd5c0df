//! Ports by name and number, and addresses of both families.

use std::net::IpAddr;

use serde_json::Value;

use crate::control_plane::{ControlPlane, shared};
use crate::engines::{PORT, engine_at, pod_address};
use crate::gateway_process::GatewayProcess;
use crate::http_client;
use crate::in_cluster::gateway_of;
use crate::slices::{Endpoint, Slice, service};

async fn published(plane: &ControlPlane, namespace: &str, addresses: &[IpAddr]) {
    service(plane.api(), namespace, "model").await;
    for (number, address) in addresses.iter().enumerate() {
        // Of one pod, as in a cluster of two families.
        let endpoint = Endpoint::of_named(*address, "pod", "uid-of-pod");
        let slice = Slice::new(namespace, "model", number, vec![endpoint]);
        slice.apply(plane.api()).await;
    }
}

async fn assert_answers(gateway: &GatewayProcess, address: &str) {
    let answer = http_client::ask(gateway.listen).await;
    assert!(answer.status.is_success(), "{}", answer.text());
    assert_eq!(answer.endpoint(), address);
    let rows = gateway.endpoints().await;
    let addresses: Vec<&Value> = rows.iter().map(|row| &row["address"]).collect();
    assert_eq!(addresses, [address]);
}

#[tokio::test]
async fn a_pod_with_an_address_of_one_family_is_reached_there() {
    let plane = shared().await;
    let v6: IpAddr = "fd00:244::2".parse().unwrap();
    let _engine = engine_at(v6).await;
    let namespace = plane.api().namespace("v6").await;
    published(plane, &namespace, &[v6]).await;
    let gateway = gateway_of(&plane.admin_kubeconfig(), &namespace, "model", 1).await;
    assert_answers(&gateway, &format!("[{v6}]:{PORT}")).await;
}

#[tokio::test]
async fn a_pod_with_addresses_of_both_families_is_one_endpoint() {
    let plane = shared().await;
    let (v4, v6) = (pod_address(75, 0), "fd00:244::3".parse().unwrap());
    let _engines = [engine_at(v4).await, engine_at(v6).await];
    let namespace = plane.api().namespace("both").await;
    published(plane, &namespace, &[v6, v4]).await;
    let gateway = gateway_of(&plane.admin_kubeconfig(), &namespace, "model", 1).await;
    assert_answers(&gateway, &format!("{v4}:{PORT}")).await;
}

#[tokio::test]
async fn a_port_is_found_by_its_name_and_by_either_number() {
    let plane = shared().await;
    let address = pod_address(76, 0);
    let _engine = engine_at(address).await;
    let namespace = plane.api().namespace("ports").await;
    published(plane, &namespace, &[address]).await;
    let admin = plane.admin_kubeconfig();
    // Of the Service, of the pod.
    for port in ["http", "80", "8000"] {
        let gateway = gateway_of(&admin, &namespace, &format!("model:{port}"), 1).await;
        assert_answers(&gateway, &format!("{address}:{PORT}")).await;
    }
}
