//! From records to the points of a plot.

use super::chart::Point;
use super::quantiles::nearest_rank;
use crate::replay::{Record, Run};

/// Points of one line at most; more could not be seen.
const POINTS_MAX: usize = 240;
/// Stretches of time that a run is divided into.
const STRETCHES: usize = 48;

/// Share of requests (y, 0..=1) with a value up to x.
pub(super) fn cumulative(run: &Run, value: impl Fn(&Record) -> Option<f64>) -> Vec<Point> {
    let mut values: Vec<f64> = successes(run).filter_map(value).collect();
    values.sort_unstable_by(f64::total_cmp);
    if values.is_empty() {
        return Vec::new();
    }
    let points = values.len().min(POINTS_MAX);
    (0..=points)
        .map(|step| {
            let share = step as f64 / points as f64;
            Point {
                x: nearest_rank(&values, share),
                y: share,
            }
        })
        .collect()
}

/// A percentile of a value over the run's time in seconds.
pub(super) fn over_time(
    run: &Run,
    share: f64,
    value: impl Fn(&Record) -> Option<f64>,
) -> Vec<Point> {
    stretches(run, |records| {
        let mut values: Vec<f64> = records
            .iter()
            .filter(|record| record.error.is_none())
            .filter_map(|record| value(record))
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        (!values.is_empty()).then(|| nearest_rank(&values, share))
    })
}

/// Cached over prompt tokens, in percent, over the run's time in seconds.
pub(super) fn hits_over_time(run: &Run) -> Vec<Point> {
    stretches(run, |records| {
        let told = || {
            records
                .iter()
                .filter(|record| record.cached_tokens.is_some())
        };
        let prompt: u64 = told().filter_map(|record| record.prompt_tokens).sum();
        let cached: u64 = told().filter_map(|record| record.cached_tokens).sum();
        (prompt > 0).then(|| 100.0 * cached as f64 / prompt as f64)
    })
}

fn successes(run: &Run) -> impl Iterator<Item = &Record> {
    run.records.iter().filter(|record| record.error.is_none())
}

/// One point for each stretch of time with a value, in its middle.
fn stretches(run: &Run, value: impl Fn(&[&Record]) -> Option<f64>) -> Vec<Point> {
    let end_ms = run
        .records
        .iter()
        .map(|record| record.due_ms)
        .fold(0.0, f64::max);
    let width_ms = (end_ms / STRETCHES as f64).max(1.0);
    let mut stretches: Vec<Vec<&Record>> = vec![Vec::new(); STRETCHES];
    for record in &run.records {
        let index = (record.due_ms / width_ms) as usize;
        stretches[index.min(STRETCHES - 1)].push(record);
    }
    let middle_s = |index: usize| (index as f64 + 0.5) * width_ms / 1e3;
    stretches
        .iter()
        .enumerate()
        .filter_map(|(index, records)| {
            Some(Point {
                x: middle_s(index),
                y: value(records)?,
            })
        })
        .collect()
}
