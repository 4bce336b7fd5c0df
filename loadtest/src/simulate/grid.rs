//! Many questions at once: cells, policies and seeds, shared among threads.
//!
//! A *cell* is a fleet of one size. Every question is answered by itself, so the answers do not
//! depend on how many threads there are.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde::Serialize;

use super::capacity::{Criterion, LOAD_MIN, Maker, capacity, run_at};
use super::outcome::Outcome;
use super::scenario::Scenario;
use super::workload::Workload;

/// Where a search for capacities begins: the load as it was recorded.
const SEARCH_START: f64 = 1.0;

/// Answers that threads may be ahead of who hears them.
const ANSWERS_WAITING_MAX: usize = 64;

/// Size of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// Engines.
    pub endpoints: usize,
    /// Device cache of each.
    pub capacity_tokens: u64,
    /// Host tier of each; 0 for none.
    pub host_tier_tokens: u64,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.endpoints, Short(self.capacity_tokens))?;
        match self.host_tier_tokens {
            0 => Ok(()),
            tier => write!(f, "+{}", Short(tier)),
        }
    }
}

/// Tokens with as few characters as possible.
struct Short(u64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            tokens if tokens >= 100_000 && tokens % 10_000 == 0 => {
                write!(f, "{}M", tokens as f64 / 1e6)
            }
            tokens if tokens >= 1_000 && tokens % 100 == 0 => {
                write!(f, "{}k", tokens as f64 / 1e3)
            }
            tokens => write!(f, "{tokens}"),
        }
    }
}

/// What is asked about a router.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Question {
    /// What one load does to it.
    Load(f64),
    /// How much it carries.
    Capacity,
}

/// A question about one router in front of one fleet.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The fleet, and the seed.
    pub scenario: &'a Scenario,
    /// The traffic.
    pub workload: &'a Workload,
    /// The router.
    pub maker: &'a Maker,
    /// What about it.
    pub question: Question,
}

/// What came of a [`Job`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`Question::Load`].
    Run(Box<Outcome>),
    /// To [`Question::Capacity`].
    Capacity(Capacities),
}

/// The largest loads that are carried, as multiples of the recorded one; 0 where none is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Capacities {
    /// By [`Criterion::Goodput`].
    #[serde(rename = "capacity_goodput")]
    pub goodput: f64,
    /// By [`Criterion::TtftP90`].
    #[serde(rename = "capacity_ttft_p90")]
    pub ttft_p90: f64,
}

impl Capacities {
    /// The geometric mean. What carries nothing counts as [`LOAD_MIN`], the least that is tried;
    /// where nothing is carried anywhere, so is the mean.
    #[must_use]
    pub fn geometric_mean(all: &[Capacities]) -> Capacities {
        let mean = |of: fn(&Capacities) -> f64| {
            if all.iter().all(|one| of(one) == 0.0) {
                return 0.0;
            }
            let logs: f64 = all.iter().map(|one| of(one).max(LOAD_MIN).ln()).sum();
            (logs / all.len() as f64).exp()
        };
        Capacities {
            goodput: mean(|one| one.goodput),
            ttft_p90: mean(|one| one.ttft_p90),
        }
    }
}

impl Job<'_> {
    fn answer(&self) -> Answer {
        let Job {
            scenario,
            workload,
            maker,
            question,
        } = *self;
        match question {
            Question::Load(load) => {
                Answer::Run(Box::new(run_at(scenario, workload, load, maker, None)))
            }
            Question::Capacity => {
                let of = |criterion, start| capacity(scenario, workload, maker, criterion, start);
                let goodput = of(Criterion::Goodput, SEARCH_START);
                let start = if goodput > 0.0 { goodput } else { SEARCH_START };
                Answer::Capacity(Capacities {
                    goodput,
                    ttft_p90: of(Criterion::TtftP90, start),
                })
            }
        }
    }
}

/// The mean of runs with different seeds; counts are added up. Nothing for no runs.
#[must_use]
pub fn mean(runs: &[Outcome]) -> Option<Outcome> {
    let mut mean = runs.first()?.clone();
    let of = |pick: fn(&Outcome) -> f64| runs.iter().map(pick).sum::<f64>() / runs.len() as f64;
    mean.requests = runs.iter().map(|run| run.requests).sum();
    mean.retried = runs.iter().map(|run| run.retried).sum();
    mean.broken = runs.iter().map(|run| run.broken).sum();
    mean.gave_up = runs.iter().any(|run| run.gave_up);
    mean.goodput = of(|run| run.goodput);
    mean.late = of(|run| run.late);
    mean.ttft_p50_s = of(|run| run.ttft_p50_s);
    mean.ttft_p90_s = of(|run| run.ttft_p90_s);
    mean.ttft_p99_s = of(|run| run.ttft_p99_s);
    mean.tpot_p50_s = of(|run| run.tpot_p50_s);
    mean.hit_ratio = of(|run| run.hit_ratio);
    mean.tier_ratio = of(|run| run.tier_ratio);
    mean.imbalance = of(|run| run.imbalance);
    mean.prediction_error_tokens = of(|run| run.prediction_error_tokens);
    Some(mean)
}

/// Answers all, by so many threads. `on_answer` hears of each with its place among `jobs`, in
/// their order, as soon as those before it are answered too; `on_done` hears how many are.
///
/// # Panics
/// Where a run breaks an invariant.
pub fn answer_all(
    jobs: &[Job<'_>],
    threads: NonZeroUsize,
    mut on_done: impl FnMut(usize),
    mut on_answer: impl FnMut(usize, Answer),
) {
    let next = AtomicUsize::new(0);
    let (sender, answers) = mpsc::sync_channel(ANSWERS_WAITING_MAX);
    std::thread::scope(|scope| {
        for _ in 0..threads.get().min(jobs.len()) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((number, job)) = take(jobs, next) {
                    if sender.send((number, job.answer())).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early: Vec<Option<Answer>> = vec![None; jobs.len()];
        let mut told = 0;
        for (done, (number, answer)) in answers.into_iter().enumerate() {
            on_done(done + 1);
            early[number] = Some(answer);
            while let Some(answer) = early.get_mut(told).and_then(Option::take) {
                on_answer(told, answer);
                told += 1;
            }
        }
    });
}

fn take<'a, 'b>(jobs: &'a [Job<'b>], next: &AtomicUsize) -> Option<(usize, &'a Job<'b>)> {
    let number = next.fetch_add(1, Ordering::Relaxed);
    jobs.get(number).map(|job| (number, job))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::ModelConfig;
    use crate::simulate::roster::roster;
    use crate::simulate::synthetic::Shape;

    #[test]
    fn cells_have_short_names() {
        let name = |endpoints, capacity_tokens, host_tier_tokens| {
            let cell = Cell {
                endpoints,
                capacity_tokens,
                host_tier_tokens,
            };
            cell.to_string()
        };
        assert_eq!(name(8, 1_000_000, 4_000_000), "8x1M+4M");
        assert_eq!(name(4, 500_000, 0), "4x0.5M");
        assert_eq!(name(4, 20_500, 0), "4x20.5k");
        assert_eq!(name(1, 4097, 0), "1x4097");
    }

    #[test]
    fn means_are_geometric_and_nothing_counts_as_little() {
        let both = |load| Capacities {
            goodput: load,
            ttft_p90: load,
        };
        let mean = |loads: &[f64]| {
            let all: Vec<Capacities> = loads.iter().map(|&load| both(load)).collect();
            Capacities::geometric_mean(&all).goodput
        };
        assert!((mean(&[1.0, 4.0]) - 2.0).abs() < 1e-9);
        assert!((mean(&[0.0, 2.0]) - 0.2).abs() < 1e-9);
        assert_eq!(mean(&[0.0, 0.0]), 0.0);
    }

    #[test]
    fn answers_come_in_order_and_do_not_depend_on_threads() {
        let trace = Shape::Chat.trace(60, Duration::from_secs(60), 1);
        let workload = Workload::new(&trace, None).expect("blocks of 64 tokens are joined");
        let engine = ModelConfig {
            block_tokens: 512,
            capacity_blocks: 200,
            token_events: false,
            ..ModelConfig::default()
        };
        let scenario = Scenario::new(2, engine, 1);
        let all = roster();
        let jobs: Vec<Job<'_>> = all
            .iter()
            .map(|entrant| Job {
                scenario: &scenario,
                workload: &workload,
                maker: &entrant.maker,
                question: Question::Load(1.0),
            })
            .collect();
        let answers = |threads| {
            let mut told = Vec::new();
            let threads = NonZeroUsize::new(threads).expect("more than none");
            answer_all(
                &jobs,
                threads,
                |_| {},
                |number, answer| {
                    assert_eq!(number, told.len());
                    told.push(answer);
                },
            );
            told
        };
        let one = answers(1);
        assert_eq!(one.len(), jobs.len());
        assert_eq!(one, answers(3));
        assert!(one.iter().any(|answer| *answer != one[0]));
    }
}
