//! Everything about the simulated engine that needs more than one of its files.

mod apis;
mod faults;
mod host_tier;
mod http_client;
mod lookahead;
mod model;
mod pages;
mod scheduling;
mod start;
mod tier_face;
