//! Where `cargo xtask cluster` has put things, and whether it is what runs this.

use std::net::TcpListener;
use std::path::PathBuf;

/// Set by `cargo xtask cluster`.
const INSTALLATION: &str = "WARMGATE_CLUSTER";
const DATA: &str = "WARMGATE_CLUSTER_DATA";
/// Any address of pods can be listened on in the network that it makes.
const ANY_PODS_ADDRESS: &str = "10.244.255.254:0";

/// Folder with `bin/` and `crds/`.
pub fn installation() -> PathBuf {
    let folder = folder(INSTALLATION);
    if let Err(error) = TcpListener::bind(ANY_PODS_ADDRESS) {
        panic!(
            "{ANY_PODS_ADDRESS} is not ours ({error}): run these tests by `cargo xtask cluster`"
        );
    }
    folder
}

/// Folder for what a control plane keeps, removed at the end.
pub fn data() -> PathBuf {
    folder(DATA)
}

fn folder(variable: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || panic!("{variable} is not set: run these tests by `cargo xtask cluster`"),
        PathBuf::from,
    )
}
