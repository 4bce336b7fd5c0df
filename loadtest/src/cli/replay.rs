//! `warmgate-loadtest replay`: sends a load and prints what came of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::HeaderName;
use indicatif::{ProgressBar, ProgressStyle};
use warmgate_loadtest::replay::{
    CONCURRENCY_DEFAULT, Load, Progress, PromptApi, REQUEST_TIMEOUT_DEFAULT, ReplayOptions,
    SyntheticOptions, run_until,
};
use warmgate_loadtest::report::{Summary, table};
use warmgate_loadtest::trace::{TraceOptions, read_trace};

use super::{Failure, print, runtime};

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("load").required(true).args(["trace", "synthetic"])))]
pub(super) struct ReplayArgs {
    /// Base URL of a gateway or an engine.
    #[arg(long, value_name = "URL")]
    target: String,
    /// Trace file, one JSON object a line, plain or gzip.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Conversations instead, as in sessions=40,turns=5,shared=2000,user=200,output=64,think_ms=1000,rate=4,groups=1,seed=1.
    #[arg(long, value_name = "KEY=VALUE,...")]
    synthetic: Option<SyntheticOptions>,
    /// Model to ask for; the first that the target lists when absent.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Write run.json and requests.jsonl into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Name of the run in tables and plots; the last part of --out when absent.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
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

pub(super) fn run(args: ReplayArgs) -> Result<(), Failure> {
    let load = load(&args)?;
    let bar = progress_bar(load.requests());
    let options = options(&args);
    let shown = bar.clone();
    let run = runtime(args.threads.into())?.block_on(run_until(
        load,
        options,
        move |progress| show(&shown, progress),
        interrupted(),
    ))?;
    bar.finish_and_clear();
    if let Some(out) = &args.out {
        run.save(out)?;
        tracing::info!(folder = %out.display(), "results written");
    }
    let summary = run.summary();
    print(&table(std::slice::from_ref(&summary)))?;
    warn_if_late(&summary);
    Ok(())
}

/// Ctrl-C ends a run early and keeps what it measured.
async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "cannot listen for Ctrl-C");
        std::future::pending().await
    }
}

fn load(args: &ReplayArgs) -> Result<Load, Failure> {
    let Some(path) = &args.trace else {
        let options = args.synthetic.clone().unwrap_or_default();
        return Ok(Load::synthetic(&options));
    };
    let options = TraceOptions {
        block_tokens: args.block_tokens,
        max_requests: args.max_requests,
        max_input_tokens: args.max_input_tokens,
        max_output_tokens: args.max_output_tokens,
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

fn options(args: &ReplayArgs) -> ReplayOptions {
    let from_out = || {
        let last = args.out.as_ref()?.file_name()?;
        Some(last.to_string_lossy().into_owned())
    };
    let defaults = ReplayOptions::new(&args.target);
    ReplayOptions {
        name: args
            .name
            .clone()
            .or_else(from_out)
            .unwrap_or_else(|| defaults.name.clone()),
        model: args.model.clone(),
        prompt_api: match args.api {
            Api::Completions => PromptApi::Completions,
            Api::Chat => PromptApi::Chat,
        },
        stream: args.stream,
        ignore_eos: args.ignore_eos,
        session_header: args.session_header.clone(),
        time_scale: args.time_scale,
        concurrency_max: args.concurrency,
        request_timeout: Duration::from_secs(args.timeout_s),
        ..defaults
    }
}

fn progress_bar(requests: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed} {msg}")
        .expect("invariant: the template is valid");
    ProgressBar::new(requests as u64).with_style(style)
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_position((progress.done + progress.skipped) as u64);
    let hit_percent = match progress.prompt_tokens {
        0 => 0.0,
        prompt => 100.0 * progress.cached_tokens as f64 / prompt as f64,
    };
    bar.set_message(format!(
        "failed {} cached {hit_percent:.0} %",
        progress.failed
    ));
}

/// A load tester that cannot keep up measures itself.
fn warn_if_late(summary: &Summary) {
    if summary.late > 0 {
        tracing::warn!(
            late = summary.late,
            "requests were sent late: raise --concurrency or give the load tester more CPU"
        );
    }
}
