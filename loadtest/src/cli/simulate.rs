//! `warmgate-loadtest simulate`: policies against engines in virtual time.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use warmgate_loadtest::engine::{HostTier, ModelConfig};
use warmgate_loadtest::simulate::capacity::{Criterion, capacity, run_at};
use warmgate_loadtest::simulate::roster::{Entrant, roster};
use warmgate_loadtest::simulate::scenario::Scenario;
use warmgate_loadtest::simulate::workload::Workload;
use warmgate_loadtest::trace::{TraceOptions, read_trace};

use super::{Failure, print};

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["load", "capacity"])))]
pub(super) struct SimulateArgs {
    /// Trace file, one JSON object a line, plain or gzip.
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// Simulated engines.
    #[arg(long, value_name = "N")]
    endpoints: usize,
    /// Device KV cache of each, in tokens.
    #[arg(long, value_name = "N")]
    capacity_tokens: u64,
    /// Host tier of each, in tokens; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 0)]
    host_tier_tokens: u64,
    /// Tokens of a block; 512 for traces whose blocks divide it, when absent.
    #[arg(long, value_name = "N")]
    block_tokens: Option<u64>,
    /// Multiple of the recorded load; may be given several times.
    #[arg(long, value_name = "X", num_args = 1..)]
    load: Vec<f64>,
    /// Search for the largest load that is carried.
    #[arg(long)]
    capacity: bool,
    /// Policies to run; the default and all peers when absent.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    policy: Vec<String>,
    /// Of everything random.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// One line of JSON for each result.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: SimulateArgs) -> Result<(), Failure> {
    let trace = read_trace(&args.trace, &TraceOptions::default())?;
    let workload = Workload::new(&trace, args.block_tokens)?;
    let scenario = scenario(&args, workload.block_tokens);
    for entrant in entrants(&args)? {
        if args.capacity {
            let of = |criterion| capacity(&scenario, &workload, &entrant.maker, criterion, 1.0);
            let goodput = of(Criterion::Goodput);
            let p90 = of(Criterion::TtftP90);
            print(&format!(
                "{}\n",
                json!({"policy": entrant.name, "default": entrant.is_default, "capacity_goodput": goodput, "capacity_ttft_p90": p90})
            ))?;
        }
        for &load in &args.load {
            let began = std::time::Instant::now();
            let outcome = run_at(&scenario, &workload, load, &entrant.maker, None);
            tracing::info!(took = ?began.elapsed(), "run");
            print(&format!(
                "{} {load} {}\n",
                entrant.name,
                serde_json::to_string(&outcome)?
            ))?;
        }
    }
    Ok(())
}

fn scenario(args: &SimulateArgs, block_tokens: u64) -> Scenario {
    let tier = HostTier {
        capacity_blocks: args.host_tier_tokens / block_tokens,
        ..HostTier::default()
    };
    let engine = ModelConfig {
        block_tokens,
        capacity_blocks: args.capacity_tokens / block_tokens,
        host_tier: (tier.capacity_blocks > 0).then_some(tier),
        token_events: false,
        ..ModelConfig::default()
    };
    Scenario::new(args.endpoints, engine, args.seed)
}

fn entrants(args: &SimulateArgs) -> Result<Vec<Entrant>, Failure> {
    let all = roster();
    if args.policy.is_empty() {
        return Ok(all);
    }
    let known: Vec<String> = all.iter().map(|entrant| entrant.name.clone()).collect();
    for name in &args.policy {
        if !known.contains(name) {
            return Err(format!("unknown policy {name}; known: {}", known.join(", ")).into());
        }
    }
    Ok(all
        .into_iter()
        .filter(|entrant| args.policy.contains(&entrant.name))
        .collect())
}
