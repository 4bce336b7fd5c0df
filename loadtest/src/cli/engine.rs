//! `warmgate-loadtest engine`: one simulated engine as a process.

use std::net::SocketAddr;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use warmgate_loadtest::engine::{EngineConfig, Scheduling, TierFill, serve};

use super::{Failure, runtime};

#[derive(Debug, Args)]
pub(super) struct EngineArgs {
    /// Address to listen on; port 0 takes a free one, which is logged.
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Served model name; may be repeated, the first is the main one.
    #[arg(long, value_name = "NAME", required = true)]
    model: Vec<String>,
    /// KV cache size in tokens.
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().capacity_tokens)]
    capacity_tokens: u64,
    /// Tokens in one cache block.
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().block_tokens)]
    block_tokens: u64,
    /// Tokens computed in one step at most.
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().max_batched_tokens)]
    max_batched_tokens: u64,
    /// Requests running at once at most.
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().max_seqs)]
    max_seqs: usize,
    /// Longest prompt plus answer in tokens.
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().max_model_tokens)]
    max_model_tokens: u64,
    /// Most prompt tokens of one request in one step; 0 for no limit but the step's.
    #[arg(long, value_name = "N", default_value_t = 0)]
    long_prefill_token_threshold: u64,
    /// Order of waiting requests; `priority` reads the body's field of that name, lower first,
    /// and preempts nobody.
    #[arg(long, value_enum, default_value_t)]
    scheduling_policy: Scheduling,
    /// KV cache in host memory, in tokens; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 0)]
    host_tier_tokens: u64,
    /// Tokens a second copied from host memory to the device; the default is 25 GB/s at 164 kB a
    /// token.
    #[arg(long, value_name = "N", default_value_t = EngineConfig::default().host_tier_tokens_per_s)]
    host_tier_bandwidth_tokens_s: f64,
    /// When blocks enter host memory.
    #[arg(long, value_enum, default_value_t)]
    host_tier_fill: TierFill,
    /// How many times faster than a 70B-class model on four H100; `inf` for no delay.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    speed: f64,
    /// Answer at once with a small fixed body, to measure what stands in front.
    #[arg(long)]
    instant: bool,
    /// Share of inference requests answered with 503, 0 to 1.
    #[arg(long, value_name = "RATIO", default_value_t = 0.0)]
    fail_rate: f64,
    /// Worker threads.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
}

pub(super) fn run(args: EngineArgs) -> Result<(), Failure> {
    let listen = args.listen;
    let runtime = runtime(args.threads.into())?;
    let config = config(args);
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .map_err(|error| {
                format!("cannot listen on {listen}: {error}; choose another --listen")
            })?;
        // Before anyone learns the address, or an early signal would kill instead of stop.
        let stop = StopSignals::listen()?;
        let engine = serve(config, listener)?;
        tracing::info!(address = %engine.addr(), "engine listens");
        stop.received().await;
        tracing::info!("stopping");
        engine.shutdown().await;
        Ok(())
    })
}

fn config(args: EngineArgs) -> EngineConfig {
    EngineConfig {
        models: args.model,
        capacity_tokens: args.capacity_tokens,
        block_tokens: args.block_tokens,
        max_batched_tokens: args.max_batched_tokens,
        max_seqs: args.max_seqs,
        max_model_tokens: args.max_model_tokens,
        long_prefill_tokens: args.long_prefill_token_threshold,
        scheduling: args.scheduling_policy,
        host_tier_tokens: args.host_tier_tokens,
        host_tier_tokens_per_s: args.host_tier_bandwidth_tokens_s,
        host_tier_fill: args.host_tier_fill,
        speed: args.speed,
        instant: args.instant,
        fail_ratio: args.fail_rate,
    }
}

/// SIGINT and SIGTERM.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn received(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: EngineArgs,
    }

    fn parse(flags: &str) -> Result<EngineConfig, clap::Error> {
        let line = format!("engine --listen 127.0.0.1:0 --model sim {flags}");
        Ok(config(Line::try_parse_from(line.split_whitespace())?.args))
    }

    #[test]
    fn no_flags_are_the_defaults() {
        assert_eq!(parse("").unwrap(), EngineConfig::default());
    }

    #[test]
    fn the_tier_and_the_scheduler_have_flags() {
        let flags = "--host-tier-tokens 4096 --host-tier-bandwidth-tokens-s 5e4 \
            --host-tier-fill on-eviction --long-prefill-token-threshold 512 \
            --scheduling-policy priority";
        let expected = EngineConfig {
            host_tier_tokens: 4096,
            host_tier_tokens_per_s: 50_000.0,
            host_tier_fill: TierFill::OnEviction,
            long_prefill_tokens: 512,
            scheduling: Scheduling::Priority,
            ..EngineConfig::default()
        };
        assert_eq!(parse(flags).unwrap(), expected);
        assert_eq!(
            parse("--host-tier-fill write-through --scheduling-policy fcfs").unwrap(),
            EngineConfig::default()
        );
        assert!(parse("--host-tier-fill sometimes").is_err());
        assert!(parse("--scheduling-policy lifo").is_err());
    }
}
