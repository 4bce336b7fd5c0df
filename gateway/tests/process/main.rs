//! The real process `warmgate` between a client and simulated engines: one binary of tests, as
//! each further one would be linked for a minute.

mod gateway_process;
mod http_client;

mod aborts;
mod bodies;
mod conformance;
mod versions;
