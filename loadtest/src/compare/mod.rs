//! Real gateways side by side: each is started as processes of its own, in front of the same
//! number of fresh simulated engines, and gets the same load at the same times.
//!
//! The simulation in virtual time compares policies; this compares programs, with their parsers,
//! buffers, health checks and processors. A gateway is any command line that forwards HTTP, so the
//! comparison needs nobody's cooperation:
//!
//! ```
//! use warmgate_loadtest::compare::Gateway;
//! let named: Gateway = "ours=warmgate serve --listen={listen} --upstream={upstream}".parse()?;
//! assert_eq!(named.name(), "ours");
//! let error = "router --listen {listen}".parse::<Gateway>().unwrap_err();
//! assert!(error.to_string().contains("{upstreams}"));
//! # Ok::<(), warmgate_loadtest::compare::GatewayError>(())
//! ```
//!
//! One after the other, each gateway: engines start, the gateway starts, it answers, it is left
//! alone for a moment so that it can find its endpoints, the load is sent, everything stops. What
//! the engines counted is the measure of hits and balance, since no gateway can be wrong about
//! that; processor time is the kernel's account of the gateway's process group.
//!
//! With a time scale of X, arrivals are X times as dense and engines X times as fast, and times are
//! reported in the trace's time: multiplied by X. What a gateway itself adds is multiplied with
//! them, and so is the noise of the machine.

mod account;
mod ask;
mod error;
mod fleet;
mod gateway;
mod outcome;
mod placeholder;
mod process;
mod round;
mod table;

pub use error::CompareError;
pub use fleet::{ENDPOINTS_MAX, EngineFlags};
pub use gateway::{Gateway, GatewayError};
pub use outcome::{EndpointOutcome, Outcome};
pub use placeholder::PlaceholderError;
pub use round::{Round, measure};
pub use table::table;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Any free port of this machine, for those of its processes.
const ANY_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
