//! Sends traffic at the times it would come by itself and writes down what each request saw.
//!
//! A [`Load`] is a list of sessions, each with its time of arrival. A recorded request is a
//! session of one turn; a synthetic conversation sends its next turn when the answer to the last
//! is complete and the user has thought. Sessions arrive in open loop: a slow server does not slow
//! them down, up to a limit on requests in flight. Times count from the moment a request was due,
//! not from when it could be sent, so that a queue in the load tester itself cannot hide the
//! server's slowness (coordinated omission).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use warmgate_loadtest::engine::{EngineConfig, serve};
//! use warmgate_loadtest::replay::{Load, ReplayOptions, SyntheticOptions, run};
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let engine = serve(EngineConfig { speed: 1e6, ..EngineConfig::default() }, listener)?;
//! let synthetic: SyntheticOptions = "sessions=2,turns=2,think_ms=0,rate=1000".parse()?;
//! let run = run(Load::synthetic(&synthetic), ReplayOptions::new(&engine.url()), |_| {}).await?;
//! assert_eq!(run.summary().requests, 4);
//! # Ok(()) }
//! ```

mod body;
mod client;
mod drive;
mod load;
mod options;
mod record;
mod stream;
mod synthetic;

pub use drive::{Progress, run, run_until};
pub use load::{Conversation, Load, Script, Session, Turn};
pub use options::{
    CONCURRENCY_DEFAULT, ENDPOINT_HEADER, PromptApi, REQUEST_TIMEOUT_DEFAULT, ReplayError,
    ReplayOptions,
};
pub use record::{Record, Run, RunMeta, StoreError};
pub use stream::EVENT_BYTES_MAX;
pub use synthetic::{SyntheticError, SyntheticOptions};
