//! Why: the honest mirror of Warmgate: engines that need no GPU, traffic that looks like real
//! traffic, and reports that show what routing did to it.
//!
//! - [`engine`]: a simulated vLLM server, in this process or as `warmgate-loadtest engine`.

#![warn(missing_docs)]

pub mod engine;
