//! `warmgate-loadtest compare`: real gateways, one after the other, and a table of what came of it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use warmgate_loadtest::compare::{
    CompareError, ENDPOINTS_MAX, EngineFlags, Gateway, Outcome, Round, measure, table,
};

use super::replay::{progress_bar, show};
use super::traffic::TrafficArgs;
use super::{Failure, print, runtime};

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// Command that runs a gateway in the foreground, again for each further one.
    #[arg(long = "gateway", value_name = "[NAME=]COMMAND", required = true, long_help = GATEWAY_HELP)]
    gateways: Vec<Gateway>,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Simulated engines behind each gateway.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = endpoints)]
    endpoints: usize,
    /// KV cache of each engine in tokens.
    #[arg(long, value_name = "N")]
    capacity_tokens: Option<u64>,
    /// Host tier of each engine in tokens; none when absent.
    #[arg(long, value_name = "N")]
    host_tier_tokens: Option<u64>,
    /// Speed of each engine, before --time-scale makes it faster still.
    #[arg(long, value_name = "X")]
    speed: Option<f64>,
    /// A further flag for each engine, as in --engine-flag=--max-seqs=64; may be repeated.
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    engine_flag: Vec<String>,
    /// A gateway is ready once GET of this path succeeds.
    #[arg(long, value_name = "PATH", default_value = "/v1/models")]
    ready_path: String,
    /// Time for a gateway to become ready.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    ready_timeout_s: u64,
    /// Time left to a ready gateway to find all its endpoints.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    settle_s: f64,
    /// Time for a gateway to end in good order.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    stop_timeout_s: u64,
    /// Keep runs, logs and configuration files in this folder, one below for each gateway.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one line of JSON for each gateway in place of the table.
    #[arg(long)]
    json: bool,
}

const GATEWAY_HELP: &str = "\
Command that runs a gateway in the foreground, again for each further one. The shell runs it.

  {listen} {listen_host} {listen_port}   where it must listen
  {upstreams} {upstreams_space}          URLs of the engines, with commas or spaces between
  {upstream}                             URL of one engine: the word is repeated for each
  {upstream_address} {upstream_host} {upstream_port} {upstream_number}   likewise
  {free_port}                            a port nobody listens on, another each time
  {folder}                               a folder of its own, for whatever it writes
  {config:FILE}                          a file made from FILE, where all others may stand and
                                         the line is repeated for each engine

NAME may hold letters, digits and . _ + -; without it the program's name is taken.";

fn endpoints(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    number
        .filter(|number| (1..=ENDPOINTS_MAX).contains(number))
        .ok_or_else(|| format!("must be 1..={ENDPOINTS_MAX}"))
}

pub(super) fn run(mut args: CompareArgs) -> Result<(), Failure> {
    let gateways = with_different_names(std::mem::take(&mut args.gateways));
    // Kept until the end of the comparison, and gone then.
    let temporary = tempfile::tempdir()?;
    let round = round(&args, temporary.path())?;
    let outcomes =
        runtime(args.traffic.threads())?.block_on(take_turns(&args, &round, &gateways))?;
    if !args.json {
        print(&table(&outcomes))?;
    }
    match gateways.len() - outcomes.len() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {} gateways were not measured", gateways.len()).into()),
    }
}

/// What is the same for all gateways.
fn round(args: &CompareArgs, temporary: &std::path::Path) -> Result<Round, Failure> {
    let settle = Duration::try_from_secs_f64(args.settle_s)
        .map_err(|error| format!("--settle-s {}: {error}", args.settle_s))?;
    Ok(Round {
        engines: EngineFlags {
            program: std::env::current_exe()?,
            endpoints: args.endpoints,
            capacity_tokens: args.capacity_tokens,
            host_tier_tokens: args.host_tier_tokens,
            speed: args.speed,
            further: args.engine_flag.clone(),
        },
        load: args.traffic.load()?,
        replay: args.traffic.options(""),
        ready_path: args.ready_path.clone(),
        ready_limit: Duration::from_secs(args.ready_timeout_s),
        settle,
        stop_limit: Duration::from_secs(args.stop_timeout_s),
        folder: args.out.clone().unwrap_or_else(|| temporary.to_owned()),
    })
}

/// Measures all gateways; one that cannot be measured does not take the others with it.
async fn take_turns(
    args: &CompareArgs,
    round: &Round,
    gateways: &[Gateway],
) -> Result<Vec<Outcome>, Failure> {
    let mut outcomes = Vec::with_capacity(gateways.len());
    for gateway in gateways {
        let name = gateway.name();
        tracing::info!(gateway = name, "starting");
        let bar = progress_bar(round.load.requests());
        let shown = bar.clone();
        let progress = move |progress: &_| show(&shown, progress);
        let measured = measure(round, gateway, progress, interrupted()?).await;
        bar.finish_and_clear();
        match measured {
            Ok(outcome) => {
                warn_if_late(&outcome);
                if args.json {
                    print(&format!("{}\n", serde_json::to_string(&outcome)?))?;
                }
                outcomes.push(outcome);
            }
            Err(CompareError::Interrupted) => return Err(CompareError::Interrupted.into()),
            Err(error) => tracing::error!(gateway = name, %error, "not measured"),
        }
    }
    Ok(outcomes)
}

/// SIGINT or SIGTERM: nothing that was started may stay.
fn interrupted() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The second gateway of a name gets a number.
fn with_different_names(gateways: Vec<Gateway>) -> Vec<Gateway> {
    let mut taken = HashSet::new();
    let mut different = Vec::with_capacity(gateways.len());
    for gateway in gateways {
        let name = gateway.name().to_owned();
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone())
            .chain(numbered)
            .find(|name| !taken.contains(name))
            .expect("invariant: there is a number for every gateway");
        taken.insert(free.clone());
        different.push(gateway.named(free));
    }
    different
}

/// Latencies of a machine that cannot keep up are the machine's.
fn warn_if_late(outcome: &Outcome) {
    if outcome.late > 0 {
        tracing::warn!(
            gateway = outcome.gateway,
            late = outcome.late,
            machine_busy = outcome.machine_busy,
            "requests were sent late: lower --time-scale or give the machine more CPU"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_of_one_name_are_told_apart() {
        let gateway = |name| {
            format!("{name}=r {{listen}} {{upstreams}}")
                .parse()
                .unwrap()
        };
        let names = ["r", "r", "x", "r-2", "r"].map(gateway).to_vec();
        let different = with_different_names(names);
        let different: Vec<&str> = different.iter().map(Gateway::name).collect();
        assert_eq!(different, ["r", "r-2", "x", "r-2-2", "r-3"]);
    }
}
