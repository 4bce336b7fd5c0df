//! Where the traffic of a simulation comes from: a recorded trace, or a shape that is made up.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use warmgate_loadtest::simulate::synthetic::Shape;
use warmgate_loadtest::simulate::workload::Workload;
use warmgate_loadtest::trace::{Trace, TraceOptions, read_trace};

use super::super::Failure;
use super::quantity;

/// Span of made-up traffic unless told otherwise.
const SPAN_S_DEFAULT: u64 = 1_800;
/// Longest: a day.
const SPAN_S_MAX: u64 = 86_400;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("traffic").required(true).args(["trace", "synthetic"])))]
pub(super) struct SourceArgs {
    /// Trace file, one JSON object a line, plain or gzip.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Made-up traffic instead, another for each seed.
    #[arg(long, value_enum, value_name = "SHAPE")]
    synthetic: Option<ShapeName>,
    /// Conversations of made-up traffic, with `chat` requests: when absent 20,000 requests of
    /// `chat`, 100 conversations of `agents`, 40 of `bursts`.
    #[arg(long, value_name = "N", requires = "synthetic", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    conversations: Option<u64>,
    /// Seconds of made-up traffic.
    #[arg(long, value_name = "SECONDS", requires = "synthetic", default_value_t = SPAN_S_DEFAULT, value_parser = clap::value_parser!(u64).range(1..=SPAN_S_MAX))]
    span_s: u64,
    /// Take at most this many requests of the trace.
    #[arg(long, value_name = "N", requires = "trace")]
    max_requests: Option<usize>,
    /// Leave out requests of the trace with longer prompts.
    #[arg(long, value_name = "N", requires = "trace", value_parser = quantity::tokens)]
    max_input_tokens: Option<u64>,
    /// Cut answers of the trace to so many tokens.
    #[arg(long, value_name = "N", requires = "trace", value_parser = quantity::tokens)]
    max_output_tokens: Option<u64>,
    /// Tokens of a block, of engines and of prompts: 512 when absent, where the trace's blocks
    /// divide it. vLLM's are shorter and cost time to simulate.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096))]
    block_tokens: Option<u64>,
}

/// Kinds of made-up traffic.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ShapeName {
    /// Applications with long system messages and short conversations, by the clock.
    Chat,
    /// Agents with growing contexts, turn after turn.
    Agents,
    /// Agents that now and then start many cold calls side by side.
    Bursts,
}

impl ShapeName {
    fn shape(self) -> Shape {
        match self {
            ShapeName::Chat => Shape::Chat,
            ShapeName::Agents => Shape::Agents,
            ShapeName::Bursts => Shape::Bursts,
        }
    }

    /// Enough to keep some dozen endpoints busy, and for the seed to matter little.
    fn conversations(self) -> u64 {
        match self {
            ShapeName::Chat => 20_000,
            ShapeName::Agents => 100,
            ShapeName::Bursts => 40,
        }
    }
}

impl SourceArgs {
    /// What it is called in results.
    pub(super) fn name(&self) -> String {
        match (&self.trace, self.synthetic) {
            (Some(path), _) => {
                let name = path.file_name().unwrap_or_default();
                name.to_string_lossy().into_owned()
            }
            (None, Some(name)) => format!("synthetic {}", name.shape().name()),
            (None, None) => String::new(),
        }
    }

    /// The traffic of each seed.
    pub(super) fn workloads(&self, seeds: &[u64]) -> Result<Vec<Workload>, Failure> {
        let workload = |trace: &Trace| Workload::new(trace, self.block_tokens);
        let workloads = match (&self.trace, self.synthetic) {
            (Some(path), _) => {
                let recorded = workload(&self.read(path)?)?;
                vec![recorded; seeds.len()]
            }
            (None, Some(name)) => {
                let conversations = self.conversations.unwrap_or(name.conversations());
                let span = Duration::from_secs(self.span_s);
                let made = |&seed| workload(&name.shape().trace(conversations, span, seed));
                seeds.iter().map(made).collect::<Result<_, _>>()?
            }
            (None, None) => return Err("--trace or --synthetic is needed".into()),
        };
        if workloads.iter().any(|workload| workload.turns.is_empty()) {
            return Err("there is no request to simulate".into());
        }
        Ok(workloads)
    }

    fn read(&self, path: &std::path::Path) -> Result<Trace, Failure> {
        let options = TraceOptions {
            block_tokens: None,
            max_requests: self.max_requests,
            max_input_tokens: self.max_input_tokens,
            max_output_tokens: self.max_output_tokens,
        };
        let trace = read_trace(path, &options)?;
        if trace.too_long > 0 {
            tracing::info!(
                left_out = trace.too_long,
                "requests with longer prompts than --max-input-tokens"
            );
        }
        Ok(trace)
    }
}
