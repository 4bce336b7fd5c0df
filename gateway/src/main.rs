//! The binary `warmgate`: reads the command line and does what it says.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line answers there"
)]

use std::process::ExitCode;

use warmgate::app;
use warmgate::cli::{self, Cli, Command};
use warmgate::route_command::{self, ExplainArgs, ExplainError, RouteCommand};
use warmgate::telemetry::events;

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(cli::exit_status(&error));
        }
    };
    match cli.command {
        Command::Serve(arguments) => serve(arguments),
        Command::Check { file } => {
            report(cli::check(file).map_err(|error| (error.to_string(), cli::EXIT_USAGE)))
        }
        Command::Route(RouteCommand::Explain(arguments)) => explain_route(&arguments),
        Command::Demo(arguments) => {
            report(warmgate::demo::run(&arguments).map_err(|error| (error.to_string(), 1)))
        }
        Command::Reference { document } => {
            print!("{}", warmgate::reference::print(document));
            ExitCode::SUCCESS
        }
    }
}

fn serve(arguments: cli::ServeArgs) -> ExitCode {
    let filter =
        std::env::var("WARMGATE_LOG").unwrap_or_else(|_| events::DEFAULT_FILTER.to_owned());
    if let Err(error) = events::set_up(events::EventFormat::Text, &filter) {
        return report(Err((error.to_string(), cli::EXIT_USAGE)));
    }
    if arguments.until_stdin_closes {
        std::thread::spawn(end_with_stdin);
    }
    report(app::serve(arguments.source()).map_err(|error| {
        let is_usage = matches!(error, app::StartError::Config(_));
        (
            error.to_string(),
            if is_usage { cli::EXIT_USAGE } else { 1 },
        )
    }))
}

fn explain_route(arguments: &ExplainArgs) -> ExitCode {
    let shown = route_command::explain(arguments);
    report(shown.map(|choice| println!("{choice:#}")).map_err(|error| {
        let is_refused = matches!(error, ExplainError::Refused(_));
        let status = if is_refused { 1 } else { cli::EXIT_USAGE };
        (error.to_string(), status)
    }))
}

/// Waits for the end of standard input, which comes when the parent dies, however it dies.
#[expect(clippy::exit, reason = "this is main, and nobody is left to serve")]
fn end_with_stdin() {
    // An error is an end as well.
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    std::process::exit(0);
}

fn report(outcome: Result<(), (String, u8)>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((message, status)) => {
            eprintln!("warmgate: {message}");
            ExitCode::from(status)
        }
    }
}
