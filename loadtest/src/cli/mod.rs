//! Turns arguments into calls of the library and results into exit codes.
//!
//! Exit codes: 0 done, 1 the run failed, 2 the arguments make no sense.

mod compare;
mod engine;
mod replay;
mod report;
mod simulate;
mod traffic;

use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Simulated engines, load, and reports for inference gateways.
#[derive(Debug, Parser)]
#[command(name = "warmgate-loadtest", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a simulated vLLM engine.
    Engine(engine::EngineArgs),
    /// Send a trace or a synthetic load and measure the answers.
    Replay(Box<replay::ReplayArgs>),
    /// Run policies against simulated engines in virtual time.
    Simulate(Box<simulate::SimulateArgs>),
    /// Measure real gateways, one after the other, in front of simulated engines.
    Compare(Box<compare::CompareArgs>),
    /// Compare runs in a table and on one HTML page.
    Report(report::ReportArgs),
}

/// Runs one command to its end.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        // A reader of the log that goes away must not take the process with it.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .init();
    let result = match cli.command {
        Command::Engine(args) => engine::run(args),
        Command::Replay(args) => replay::run(*args),
        Command::Simulate(args) => simulate::run(*args),
        Command::Compare(args) => compare::run(*args),
        Command::Report(args) => report::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

/// What a command fails with; the message is for the operator.
type Failure = Box<dyn Error + Send + Sync>;

fn report(error: &(dyn Error + 'static)) {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        chain.push_str(": ");
        chain.push_str(&inner.to_string());
        source = inner.source();
    }
    tracing::error!(error = %chain, "command failed");
}

/// A runtime with `threads` workers.
fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
}

/// Writes an answer to standard output.
fn print(text: &str) -> std::io::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes())
}
