//! The gateway: sockets, Pingora, configuration, admin API and telemetry around the routing core.
//!
//! | room | what |
//! |---|---|
//! | [`proxy`] | the way of a request, from its header to its last byte |
//! | [`stream`] | listening to answers as they pass |
//! | [`config`] | what operators write, and what it means |
//! | [`admin`] | what operators ask |
//! | [`telemetry`] | metrics, access log, events |
//! | [`error`] | why the gateway answers by itself |
//! | [`route_command`] | what a configuration would do, with no gateway running |
//! | [`app`] | wires the rooms together |

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;
pub mod error;
pub mod proxy;
pub mod reference;
pub mod route_command;
pub mod stream;
pub mod telemetry;
