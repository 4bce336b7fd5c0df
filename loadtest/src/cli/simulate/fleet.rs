//! Which engines are simulated, and what befalls them.

use std::time::Duration;

use clap::Args;
use warmgate_loadtest::engine::{EngineConfig, ModelConfig, Scheduling, TierFill};
use warmgate_loadtest::simulate::grid::Cell;
use warmgate_loadtest::simulate::scenario::{DEFAULT_SCRAPE, Fault, Scenario};
use warmgate_loadtest::simulate::workload::Workload;

use super::super::Failure;
use super::quantity;

#[derive(Debug, Args)]
pub(super) struct FleetArgs {
    /// Simulated engines; with --compare a list with commas.
    #[arg(long, value_name = "N", required = true, value_delimiter = ',', value_parser = quantity::endpoints)]
    endpoints: Vec<usize>,
    /// Device KV cache of each engine in tokens, as in 500000, 500k or 1M; with --compare a list.
    #[arg(long, value_name = "N", required = true, value_delimiter = ',', value_parser = quantity::tokens)]
    capacity_tokens: Vec<u64>,
    /// KV cache of each engine in host memory in tokens, 0 for none; with --compare a list.
    #[arg(long, value_name = "N", default_value = "0", value_delimiter = ',', value_parser = quantity::tokens)]
    host_tier_tokens: Vec<u64>,
    /// When blocks enter host memory.
    #[arg(long, value_enum, default_value_t)]
    host_tier_fill: TierFill,
    /// Tokens a second copied from host memory to the device; the default is 25 GB/s at 164 kB a
    /// token.
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().host_tier_tokens_per_s, value_parser = quantity::above_zero)]
    host_tier_bandwidth_tokens_s: f64,
    /// Tokens that an engine computes in one step at most.
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().max_batched_tokens, value_parser = clap::value_parser!(u64).range(1..))]
    max_batched_tokens: u64,
    /// Requests that an engine runs at once at most.
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().max_seqs as u64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_seqs: u64,
    /// Most prompt tokens of one request in one step; 0 for no limit but the step's.
    #[arg(long, value_name = "N", default_value_t = 0)]
    long_prefill_token_threshold: u64,
    /// How many times faster engines are than a 70B-class model on four H100.
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = quantity::above_zero)]
    engine_speed: f64,
    /// Gateway replicas; each request goes through one of them, by chance.
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    replicas: u64,
    /// Replicas tell each other what they decide, and it takes so long; nothing when absent.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=3_600_000))]
    exchange_ms: Option<u64>,
    /// Interval of reading each engine's metrics.
    #[arg(long, value_name = "MS", default_value_t = DEFAULT_SCRAPE.as_millis() as u64, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    scrape_ms: u64,
    /// Share of metrics readings, and of what replicas tell each other, that gets lost.
    #[arg(long, value_name = "RATIO", default_value_t = 0.0, value_parser = quantity::ratio)]
    loss: f64,
    /// Answers do not say how much of their prompt was cached, as those of vLLM without
    /// --enable-prompt-tokens-details.
    #[arg(long)]
    no_cached_tokens: bool,
    /// Something bad, as in restart@60s:2:10s (after 60 s, endpoint 2 dies with its cache and is
    /// back 10 s later) or blip@60s:0:5s (it is only not ready); may be repeated.
    #[arg(long, value_name = "KIND@WHEN:ENDPOINT:LASTS", value_parser = quantity::fault)]
    fault: Vec<Fault>,
}

impl FleetArgs {
    /// All combinations of sizes, in the order in which they were given.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &endpoints in &self.endpoints {
            for &capacity_tokens in &self.capacity_tokens {
                for &host_tier_tokens in &self.host_tier_tokens {
                    cells.push(Cell {
                        endpoints,
                        capacity_tokens,
                        host_tier_tokens,
                    });
                }
            }
        }
        cells
    }

    /// A fleet of that size under `workload`.
    pub(super) fn scenario(
        &self,
        cell: Cell,
        workload: &Workload,
        seed: u64,
    ) -> Result<Scenario, Failure> {
        let engine = self.engine(cell, workload.block_tokens)?;
        check_fit(&engine, workload)?;
        check_faults(&self.fault, cell.endpoints)?;
        let mut scenario = Scenario::new(cell.endpoints, engine, seed);
        scenario.replicas = self.replicas as usize;
        scenario.exchange_lag = self.exchange_ms.map(Duration::from_millis);
        scenario.scrape_every = Duration::from_millis(self.scrape_ms);
        scenario.loss_ratio = self.loss;
        scenario.tells_cached_tokens = !self.no_cached_tokens;
        scenario.faults.clone_from(&self.fault);
        Ok(scenario)
    }

    fn engine(&self, cell: Cell, block_tokens: u64) -> Result<ModelConfig, Failure> {
        let config = EngineConfig {
            block_tokens,
            capacity_tokens: cell.capacity_tokens,
            host_tier_tokens: cell.host_tier_tokens,
            host_tier_tokens_per_s: self.host_tier_bandwidth_tokens_s,
            host_tier_fill: self.host_tier_fill,
            max_batched_tokens: self.max_batched_tokens,
            max_seqs: self.max_seqs as usize,
            long_prefill_tokens: self.long_prefill_token_threshold,
            scheduling: Scheduling::Fcfs,
            speed: self.engine_speed,
            ..EngineConfig::default()
        };
        Ok(ModelConfig {
            token_events: false,
            ..config.model_config()?
        })
    }

    /// What is not as by default and not in a cell's name, for headings.
    pub(super) fn settings(&self) -> String {
        let engine = EngineConfig::default();
        let bandwidth = engine.host_tier_tokens_per_s;
        let told = [
            (self.host_tier_fill != TierFill::default())
                .then(|| "host tier filled on eviction".to_owned()),
            (self.host_tier_bandwidth_tokens_s != bandwidth).then(|| {
                format!(
                    "host tier of {} tokens/s",
                    self.host_tier_bandwidth_tokens_s
                )
            }),
            (self.max_batched_tokens != engine.max_batched_tokens)
                .then(|| format!("{} tokens a step", self.max_batched_tokens)),
            (self.max_seqs as usize != engine.max_seqs)
                .then(|| format!("{} requests at once", self.max_seqs)),
            (self.long_prefill_token_threshold > 0).then(|| {
                format!(
                    "long prefill threshold {}",
                    self.long_prefill_token_threshold
                )
            }),
            (self.engine_speed != 1.0).then(|| format!("engine speed {}", self.engine_speed)),
            (self.replicas > 1).then(|| match self.exchange_ms {
                Some(ms) => format!("{} replicas, exchange in {ms} ms", self.replicas),
                None => format!("{} replicas without exchange", self.replicas),
            }),
            (self.scrape_ms != DEFAULT_SCRAPE.as_millis() as u64)
                .then(|| format!("scrapes every {} ms", self.scrape_ms)),
            (self.loss > 0.0).then(|| format!("loss ratio {}", self.loss)),
            self.no_cached_tokens
                .then(|| "answers without cached tokens".to_owned()),
            (!self.fault.is_empty()).then(|| format!("{} faults", self.fault.len())),
        ];
        told.into_iter()
            .flatten()
            .map(|one| format!("; {one}"))
            .collect()
    }
}

/// Engines refuse what can never fit, and a refused request is nobody's merit.
fn check_fit(engine: &ModelConfig, workload: &Workload) -> Result<(), Failure> {
    let tokens = engine.capacity_blocks * engine.block_tokens;
    let blocks = |turn: &&warmgate_loadtest::simulate::workload::Turn| {
        (turn.prompt_tokens + turn.output_tokens).div_ceil(engine.block_tokens)
    };
    let too_long = |turn: &&_| blocks(turn) > engine.capacity_blocks;
    let count = workload.turns.iter().filter(too_long).count();
    let longest = workload.turns.iter().filter(too_long).max_by_key(blocks);
    match longest {
        None => Ok(()),
        Some(longest) => Err(format!(
            "{count} of {} requests do not fit into {tokens} tokens of device cache; the longest, \
             at {:.1} s, has {} prompt and {} answer tokens: raise --capacity-tokens, or leave long \
             ones out with --max-input-tokens",
            workload.turns.len(),
            longest.at.as_secs_f64(),
            longest.prompt_tokens,
            longest.output_tokens
        )
        .into()),
    }
}

fn check_faults(faults: &[Fault], endpoints: usize) -> Result<(), Failure> {
    for (number, fault) in faults.iter().enumerate() {
        let endpoint = fault.endpoint;
        if endpoint.0 >= endpoints {
            return Err(format!(
                "--fault names endpoint {}, but there are 0 to {} of them",
                endpoint.0,
                endpoints - 1
            )
            .into());
        }
        let overlaps = |other: &&Fault| {
            other.endpoint == endpoint
                && other.at <= fault.at + fault.lasts
                && fault.at <= other.at + other.lasts
        };
        if faults[..number].iter().any(|other| overlaps(&other)) {
            return Err(format!(
                "--fault: two faults of endpoint {} at the same time; make them one",
                endpoint.0
            )
            .into());
        }
    }
    Ok(())
}
