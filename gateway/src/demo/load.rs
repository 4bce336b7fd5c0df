//! The conversations of the demonstration, and sending them with a progress bar.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use warmgate_loadtest::replay::{self, Load, Progress, ReplayOptions, SyntheticOptions};
use warmgate_loadtest::report::Summary;

use super::DemoError;
use super::engines::{CAPACITY_TOKENS, COUNT};

/// A request without a complete answer after this long has failed; the slowest seen take seconds.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Failed requests of one run that are shown with their reason.
const FAILURES_SHOWN_MAX: usize = 3;

/// Chats that grow by a document each turn, as agents' do. Arrivals and thinking are random, but
/// the same in every run.
fn workload() -> SyntheticOptions {
    SyntheticOptions {
        sessions: 40,
        turns: 6,
        groups: 4,
        shared_tokens: 1_500,
        user_tokens: 1_500,
        output_tokens: 24,
        think_ms: 500,
        rate: 5.0,
        seed: 1,
    }
}

/// What is about to happen, for people.
pub(super) fn introduction() -> String {
    let SyntheticOptions {
        sessions,
        turns,
        shared_tokens,
        user_tokens,
        ..
    } = workload();
    let (first, last) = (
        shared_tokens + user_tokens,
        shared_tokens + turns * user_tokens,
    );
    format!(
        "{COUNT} simulated engines (70B-class pace, KV cache of {CAPACITY_TOKENS} tokens each), \
         {sessions} conversations of {turns} turns,\n\
         prompts growing from {first} to {last} tokens; the same load twice, caches cold each time."
    )
}

/// Sends all of it to a gateway and says what its clients saw.
///
/// # Errors
/// Where nothing can be sent; single failures are counted in the summary.
pub(super) async fn send(target: &str, name: &str) -> Result<Summary, DemoError> {
    let load = Load::synthetic(&workload());
    let options = ReplayOptions {
        name: name.to_owned(),
        model: Some(super::engines::MODEL.to_owned()),
        request_timeout: REQUEST_TIMEOUT,
        ..ReplayOptions::new(target)
    };
    let bar = progress_bar(load.requests(), name);
    let shown = bar.clone();
    let run = replay::run(load, options, move |progress| show(&shown, progress)).await;
    bar.finish_and_clear();
    let run = run?;
    let errors = run
        .records
        .iter()
        .filter_map(|record| record.error.as_ref());
    for error in errors.take(FAILURES_SHOWN_MAX) {
        eprintln!("{name}: a request failed: {error}");
    }
    Ok(run.summary())
}

fn progress_bar(requests: usize, name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:12} {bar:40} {pos}/{len} {elapsed} {msg}")
        .expect("invariant: the template is valid");
    ProgressBar::new(requests as u64)
        .with_style(style)
        .with_prefix(name.to_owned())
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_position((progress.done + progress.skipped) as u64);
    let cached_percent = match progress.prompt_tokens {
        0 => 0.0,
        prompt => 100.0 * progress.cached_tokens as f64 / prompt as f64,
    };
    bar.set_message(format!("{cached_percent:.0} % from cache"));
}
