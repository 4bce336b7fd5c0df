//! Everything about the simulated engine that needs more than one of its files.

mod apis;
mod faults;
mod http_client;
mod model;
mod pages;
mod scheduling;
mod start;
