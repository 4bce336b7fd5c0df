//! The one toolbox of this repository: what people and CI run by the same words.
//!
//! Each command is one file here with an `Args` and a `run`, and one line in [`Tool`].
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to its user"
)]

mod clients;
mod cluster;
mod compare;
mod cpu;
mod feedback;
mod generate;
mod leash;
mod process;
mod real_engine;
mod tidy;
mod vllm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Warmgate's toolbox")]
struct Cli {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    /// Check the laws of the house that neither rustc nor clippy can
    Tidy(tidy::Args),
    /// Measure this gateway beside other routers and proxies, in front of simulated engines
    Compare(compare::Args),
    /// Measure CPU for each request against a bare Pingora
    Cpu(cpu::Args),
    /// Hold conversations on two real vLLM servers: do later turns find their cache?
    Vllm(real_engine::Args),
    /// Measure on real vLLM servers how far predictions of their cache are off, learning and not
    Feedback(real_engine::Args),
    /// Compare what Python clients get through the gateway and directly from a real vLLM
    Clients(real_engine::Args),
    /// Test against a real Kubernetes API server, which is built once
    Cluster(cluster::Args),
    /// Write the documents that are generated from the code
    Generate(generate::Args),
}

/// Why a tool failed, ready to be shown.
type Failure = String;

fn main() -> ExitCode {
    let root = workspace_root();
    let outcome = match Cli::parse().tool {
        Tool::Tidy(args) => tidy::run(&root, &args),
        Tool::Compare(args) => compare::run(&root, &args),
        Tool::Cpu(args) => cpu::run(&root, &args),
        Tool::Vllm(args) => vllm::run(&root, &args),
        Tool::Feedback(args) => feedback::run(&root, &args),
        Tool::Clients(args) => clients::run(&root, &args),
        Tool::Cluster(args) => cluster::run(&root, &args),
        Tool::Generate(args) => generate::run(&root, &args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("invariant: xtask is a folder of the workspace")
        .to_owned()
}
