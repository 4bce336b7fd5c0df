//! `warmgate-loadtest replay`: sends a load and prints what came of it.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use warmgate_loadtest::replay::{Progress, ReplayOptions, run_until};
use warmgate_loadtest::report::{Summary, table};

use super::traffic::TrafficArgs;
use super::{Failure, print, runtime};

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Base URL of a gateway or an engine.
    #[arg(long, value_name = "URL")]
    target: String,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Model to ask for; the first that the target lists when absent.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Write run.json and requests.jsonl into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Name of the run in tables and plots; the last part of --out when absent.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub(super) fn run(args: ReplayArgs) -> Result<(), Failure> {
    let load = args.traffic.load()?;
    let bar = progress_bar(load.requests());
    let options = options(&args);
    let shown = bar.clone();
    let run = runtime(args.traffic.threads())?.block_on(run_until(
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

fn options(args: &ReplayArgs) -> ReplayOptions {
    let from_out = || {
        let last = args.out.as_ref()?.file_name()?;
        Some(last.to_string_lossy().into_owned())
    };
    let defaults = args.traffic.options(&args.target);
    ReplayOptions {
        name: args
            .name
            .clone()
            .or_else(from_out)
            .unwrap_or_else(|| defaults.name.clone()),
        model: args.model.clone(),
        ..defaults
    }
}

/// For so many requests.
pub(super) fn progress_bar(requests: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed} {msg}")
        .expect("invariant: the template is valid");
    ProgressBar::new(requests as u64).with_style(style)
}

/// Moves the bar.
pub(super) fn show(bar: &ProgressBar, progress: &Progress) {
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
