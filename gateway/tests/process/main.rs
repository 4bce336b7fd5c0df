//! The real process `warmgate` between a client and simulated engines: one binary of tests, as
//! each further one would be linked for a minute.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "what surrounds a test fails with it, and says what the process said"
)]

mod broken_engine;
mod engines;
mod gateway_process;
mod guards;
mod http_client;

mod aborts;
mod bodies;
mod breaking_off;
mod conformance;
mod failover;
mod fallbacks;
mod feedback;
mod kubernetes;
mod leaving;
mod lifecycle;
mod mirrors;
mod model_names;
mod routing;
mod splits;
mod versions;
