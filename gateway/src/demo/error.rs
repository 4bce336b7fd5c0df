//! Why the demonstration ended early, and what to do about it.

use std::net::SocketAddr;
use std::process::ExitStatus;

use thiserror::Error;
use warmgate_loadtest::engine::ServeError;
use warmgate_loadtest::replay::ReplayError;

/// Why the demonstration ended early, or was not convincing.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address} ({flag}): {source}; choose another with {flag} HOST:PORT, port 0 takes any"
    )]
    Address {
        /// The flag that sets it.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A simulated engine did not start.
    #[error("cannot start a simulated engine: {0}")]
    Engine(#[from] ServeError),
    /// The gateway's process could not be started.
    #[error("cannot start a gateway as a process of its own: {0}")]
    Spawn(std::io::Error),
    /// The gateway ended by itself; where it had a reason, it has said so.
    #[error("the gateway ended by itself ({0}); its own message, if any, is above")]
    GatewayEnded(ExitStatus),
    /// The gateway did not become ready in time.
    #[error("the gateway was not ready after {limit_s} s; is the machine overloaded")]
    NotReady {
        /// How long it was given.
        limit_s: u64,
    },
    /// The load could not be sent at all.
    #[error("cannot send the load: {0}")]
    Load(#[from] ReplayError),
    /// The system refuses threads, sockets or signals.
    #[error("cannot start: {0}")]
    System(std::io::Error),
    /// Told to stop before the comparison was done.
    #[error("interrupted before the comparison was done")]
    Interrupted,
    /// Requests failed: the numbers compare nothing.
    #[error("{failed} of {requests} requests failed, so the runs cannot be compared")]
    Failed {
        /// Failed, or never sent because an earlier turn failed.
        failed: usize,
        /// All.
        requests: usize,
    },
    /// The default policy was not better than the baseline.
    #[error(
        "warmgate found {warm:.3} of the prompt tokens in caches, {policy} {baseline:.3}: it should have found more"
    )]
    NotBetter {
        /// Hit ratio of the default policy, 0..=1.
        warm: f64,
        /// Name of the baseline.
        policy: &'static str,
        /// Its hit ratio, 0..=1.
        baseline: f64,
    },
}
