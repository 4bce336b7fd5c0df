//! The command line of the load tester; every word of it is a file in `cli/`.

mod cli;

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    cli::run(cli::Cli::parse())
}
