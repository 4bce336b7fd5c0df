//! The honest mirror of Warmgate: engines that need no GPU, traffic that looks like real
//! traffic, and reports that show what routing did to it.
//!
//! - [`engine`]: a simulated vLLM server, in this process or as `warmgate-loadtest engine`.
//! - [`trace`]: recorded traffic, read from files.
//! - [`replay`]: sends recorded or synthetic traffic and measures every answer.
//! - [`simulate`]: routing policies against engines in virtual time, no sockets.
//! - [`compare`]: real gateways, one after the other, in front of simulated engines.
//! - [`report`]: runs side by side, as numbers, a table and one HTML page.

pub mod compare;
pub mod engine;
mod free_address;
pub mod replay;
pub mod report;
pub mod simulate;
pub mod trace;

pub use free_address::free_address;
