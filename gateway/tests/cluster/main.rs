//! The real process `warmgate` in a Kubernetes cluster that is real but for its nodes: an API
//! server, etcd, controllers; pods are simulated engines at pods' addresses.
//!
//! `cargo xtask cluster` builds what this needs and runs it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "what surrounds a test fails with it, and says what the processes said"
)]

mod chart;
mod control_plane;
mod engines;
#[path = "../process/gateway_process/mod.rs"]
#[allow(dead_code, reason = "shared with tests that need no cluster")]
mod gateway_process;
#[path = "../process/http_client.rs"]
#[allow(dead_code, reason = "shared with tests that need no cluster")]
mod http_client;
mod in_cluster;
mod load;
mod nodes;
mod pods;
mod relay;
mod slices;
mod table;
mod usage;
mod witness;

mod addresses;
mod churn;
mod draining;
mod harness;
mod http_route;
mod inference_pool;
mod labels;
mod outage;
mod permissions;
mod replacement;
mod rollout;
