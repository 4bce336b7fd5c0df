//! What is sent and how, for every command that sends.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::HeaderName;
use warmgate_loadtest::replay::{
    CONCURRENCY_DEFAULT, Load, PromptApi, REQUEST_TIMEOUT_DEFAULT, ReplayOptions, SyntheticOptions,
};
use warmgate_loadtest::trace::{TraceOptions, read_trace};

use super::Failure;

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("load").required(true).args(["trace", "synthetic"])))]
pub(super) struct TrafficArgs {
    /// Trace file, one JSON object a line, plain or gzip.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Conversations instead, as in sessions=40,turns=5,shared=2000,user=200,output=64,think_ms=1000,rate=4,groups=1,seed=1.
    #[arg(long, value_name = "KEY=VALUE,...")]
    synthetic: Option<SyntheticOptions>,
    /// Divide arrivals and think times by this: 2 is twice as fast.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    time_scale: f64,
    /// Send at most this many requests of the trace.
    #[arg(long, value_name = "N")]
    max_requests: Option<usize>,
    /// Leave out requests with longer prompts.
    #[arg(long, value_name = "TOKENS")]
    max_input_tokens: Option<u64>,
    /// Cut answers to this many tokens.
    #[arg(long, value_name = "TOKENS")]
    max_output_tokens: Option<u64>,
    /// Tokens in one block of the trace; guessed when absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    block_tokens: Option<u64>,
    /// API for prompts of a trace.
    #[arg(long, value_enum, default_value_t = Api::Completions)]
    api: Api,
    /// Ask for streams; without them there is no TTFT.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    stream: bool,
    /// Send vLLM's ignore_eos, so that answers have the asked length.
    #[arg(long)]
    ignore_eos: bool,
    /// Header that carries the session's number.
    #[arg(long, value_name = "HEADER")]
    session_header: Option<HeaderName>,
    /// Requests in flight at most.
    #[arg(long, value_name = "N", default_value_t = CONCURRENCY_DEFAULT)]
    concurrency: usize,
    /// Time for one complete answer.
    #[arg(long, value_name = "SECONDS", default_value_t = REQUEST_TIMEOUT_DEFAULT.as_secs())]
    timeout_s: u64,
    /// Worker threads.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Api {
    Completions,
    Chat,
}

impl TrafficArgs {
    /// Reads or makes what is to be sent.
    pub(super) fn load(&self) -> Result<Load, Failure> {
        let Some(path) = &self.trace else {
            let options = self.synthetic.clone().unwrap_or_default();
            return Ok(Load::synthetic(&options));
        };
        let options = TraceOptions {
            block_tokens: self.block_tokens,
            max_requests: self.max_requests,
            max_input_tokens: self.max_input_tokens,
            max_output_tokens: self.max_output_tokens,
        };
        let trace = read_trace(path, &options)?;
        tracing::info!(
            requests = trace.requests.len(),
            left_out = trace.too_long,
            block_tokens = trace.block_tokens,
            "trace read"
        );
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Load::recorded(format!("trace {name}"), trace))
    }

    /// How it is sent to `target`.
    pub(super) fn options(&self, target: &str) -> ReplayOptions {
        ReplayOptions {
            prompt_api: match self.api {
                Api::Completions => PromptApi::Completions,
                Api::Chat => PromptApi::Chat,
            },
            stream: self.stream,
            ignore_eos: self.ignore_eos,
            session_header: self.session_header.clone(),
            time_scale: self.time_scale,
            concurrency_max: self.concurrency,
            request_timeout: Duration::from_secs(self.timeout_s),
            ..ReplayOptions::new(target)
        }
    }

    /// Worker threads.
    pub(super) fn threads(&self) -> usize {
        self.threads.into()
    }
}
