//! The gateway: sockets, Pingora, configuration, admin API and telemetry around the routing core.
//!
//! One request is a straight line; [`proxy`] reads as that line.

pub mod admin;
pub mod config;
pub mod error;
pub mod telemetry;
