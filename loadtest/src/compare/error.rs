//! Why a gateway could not be measured.

use std::process::ExitStatus;

use super::gateway::GatewayError;
use crate::replay::{ReplayError, StoreError};

/// Why there is no outcome. Requests that fail are no reason: they are counted.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The command line makes no sense. The operator's fault.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// A process could not be started or watched. The machine's fault.
    #[error("{name} cannot be started: {source}")]
    Start {
        /// Gateway or engine.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// A process ended by itself. Its fault, or that of its flags.
    #[error(
        "{name} ended by itself, {status}; a gateway must stay in the foreground. It said:\n{said}"
    )]
    Ended {
        /// Gateway or engine.
        name: String,
        /// How.
        status: ExitStatus,
        /// The end of its log.
        said: String,
    },
    /// A gateway is not ready in time. Its fault, or that of its flags.
    #[error(
        "{name} did not answer GET {url} with a success within {limit_s} s ({answer}); choose \
         another --ready-path or a longer --ready-timeout-s. It said:\n{said}"
    )]
    NotReady {
        /// The gateway.
        name: String,
        /// What was asked.
        url: String,
        /// The limit.
        limit_s: u64,
        /// What came last.
        answer: String,
        /// The end of its log.
        said: String,
    },
    /// An engine of ours does not say what it should. A defect; retrying may help.
    #[error("{name}: {reason}")]
    Engine {
        /// Which engine.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// No port is free. The machine's fault.
    #[error("no port is free for a gateway: {0}")]
    Port(std::io::Error),
    /// The kernel's account of processes is missing.
    #[error("processor time and memory are read from /proc, which Linux has: {0}")]
    Account(std::io::Error),
    /// The load could not be sent.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The run could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whoever started the comparison ended it.
    #[error("interrupted")]
    Interrupted,
}
