//! The way of a load from a trace or a description to records and a report, against
//! simulated engines over real sockets.

mod replay;
mod report;
