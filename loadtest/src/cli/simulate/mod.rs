//! `warmgate-loadtest simulate`: policies against engines in virtual time.

mod compare;
mod fleet;
mod line;
mod quantity;
mod source;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use warmgate_loadtest::report::simulated::{Entry, capacity_table, run_table};
use warmgate_loadtest::simulate::grid::{
    Answer, Capacities, Cell, Job, Question, answer_all, mean,
};
use warmgate_loadtest::simulate::outcome::Outcome;
use warmgate_loadtest::simulate::roster::{Entrant, roster};
use warmgate_loadtest::simulate::scenario::Scenario;
use warmgate_loadtest::simulate::workload::Workload;

use self::fleet::FleetArgs;
use self::source::SourceArgs;
use super::replay::progress_bar;
use super::{Failure, print};

/// Name under which the default may be asked for, whatever its own.
const DEFAULT_ALIAS: &str = "default";

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["load", "capacity", "compare"])))]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    fleet: FleetArgs,
    /// Multiples of the recorded load: arrivals divided by it or, where there are sessions, copies
    /// of the population. With --compare, the loads of the plots.
    #[arg(long, value_name = "X", num_args = 1.., value_delimiter = ',', value_parser = quantity::load)]
    load: Vec<f64>,
    /// Search for the largest load that is carried: with goodput of 90 %, and with TTFT p90 of 5 s.
    #[arg(long, conflicts_with_all = ["load", "compare"])]
    capacity: bool,
    /// Search for capacities in every combination of --endpoints, --capacity-tokens and
    /// --host-tier-tokens, and show where the default wins and where it does not.
    #[arg(long)]
    compare: bool,
    /// With --compare, write a page with plots: latency, goodput, hits and balance in the first
    /// cell, capacities in all.
    #[arg(long, value_name = "FILE", requires = "compare")]
    html: Option<PathBuf>,
    /// Policies to run, `default` for whatever the default is; the default and all peers when
    /// absent.
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    policy: Vec<String>,
    /// Of everything random.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Means over so many seeds, from --seed upwards: geometric of capacities, arithmetic of all
    /// else; requests are added up.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Worker threads; as many as there are processors when absent. Results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// One line of JSON for each result. What is infinite or was not measured, such as the TTFT of
    /// requests that never got a token, is null.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: SimulateArgs) -> Result<(), Failure> {
    let entrants = entrants(&args.policy)?;
    let seeds: Vec<u64> = (0..args.seeds).map(|n| args.seed.wrapping_add(n)).collect();
    let workloads = args.source.workloads(&seeds)?;
    let study = Study {
        args: &args,
        entrants,
        seeds,
        workloads,
    };
    if args.compare {
        compare::run(&study)
    } else {
        study.one_cell()
    }
}

/// Everything that questions are asked about.
struct Study<'a> {
    args: &'a SimulateArgs,
    entrants: Vec<Entrant>,
    seeds: Vec<u64>,
    /// One for each seed.
    workloads: Vec<Workload>,
}

/// An answer of all seeds together.
enum Mean {
    Run(Box<Outcome>),
    Capacity(Capacities),
}

impl Study<'_> {
    fn one_cell(&self) -> Result<(), Failure> {
        let cells = self.args.fleet.cells();
        let [cell] = cells[..] else {
            return Err("lists of sizes are for --compare".into());
        };
        let mut questions: Vec<Question> =
            self.args.load.iter().copied().map(Question::Load).collect();
        if self.args.capacity {
            questions.push(Question::Capacity);
        }
        let mut runs = Vec::new();
        let mut capacities = Vec::new();
        self.ask(&[cell], &questions, |place, answer| {
            let entry = self.entry(place.entrant);
            match (answer, questions[place.question]) {
                (Mean::Run(outcome), Question::Load(load)) => {
                    if self.args.json {
                        print(&line::run(&entry, load, &outcome)?)?;
                    }
                    runs.push((entry, load, *outcome));
                }
                (Mean::Capacity(carried), _) => {
                    if self.args.json {
                        print(&line::capacity(&entry, carried)?)?;
                    }
                    capacities.push((entry, carried));
                }
                (Mean::Run(_), Question::Capacity) => {}
            }
            Ok(())
        })?;
        match self.args {
            SimulateArgs { json: true, .. } => Ok(()),
            SimulateArgs { capacity: true, .. } => Ok(print(&capacity_table(&capacities))?),
            _ => Ok(print(&run_table(&runs))?),
        }
    }

    fn entry(&self, entrant: usize) -> Entry {
        let entrant = &self.entrants[entrant];
        Entry {
            policy: entrant.name.clone(),
            is_default: entrant.is_default,
        }
    }

    /// Asks all questions about all entrants in all cells, with all seeds, and tells the means in
    /// that order: cells, entrants, questions.
    fn ask(
        &self,
        cells: &[Cell],
        questions: &[Question],
        mut on_mean: impl FnMut(Place, Mean) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let scenarios = self.scenarios(cells)?;
        let mut jobs = Vec::new();
        for of_cell in &scenarios {
            for entrant in &self.entrants {
                for &question in questions {
                    jobs.extend(
                        of_cell
                            .iter()
                            .zip(&self.workloads)
                            .map(|(scenario, workload)| Job {
                                scenario,
                                workload,
                                maker: &entrant.maker,
                                question,
                            }),
                    );
                }
            }
        }
        let bar = progress_bar(jobs.len());
        let mut of_seeds = Vec::with_capacity(self.seeds.len());
        let mut failed = None;
        answer_all(
            &jobs,
            self.threads(),
            |done| show(&bar, done),
            |number, answer| {
                of_seeds.push(answer);
                if of_seeds.len() < self.seeds.len() || failed.is_some() {
                    return;
                }
                let group = number / self.seeds.len();
                let place = Place {
                    cell: group / questions.len() / self.entrants.len(),
                    entrant: group / questions.len() % self.entrants.len(),
                    question: group % questions.len(),
                };
                let mean = mean_of(&std::mem::take(&mut of_seeds));
                failed = bar.suspend(|| on_mean(place, mean)).err();
            },
        );
        bar.finish_and_clear();
        failed.map_or(Ok(()), Err)
    }

    /// For each cell one for each seed.
    fn scenarios(&self, cells: &[Cell]) -> Result<Vec<Vec<Scenario>>, Failure> {
        let of_cell = |cell: &Cell| {
            self.seeds
                .iter()
                .zip(&self.workloads)
                .map(|(&seed, workload)| self.args.fleet.scenario(*cell, workload, seed))
                .collect()
        };
        cells.iter().map(of_cell).collect()
    }

    fn threads(&self) -> NonZeroUsize {
        let available = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.args.threads.unwrap_or_else(available)
    }
}

/// What an answer belongs to.
#[derive(Clone, Copy)]
struct Place {
    cell: usize,
    entrant: usize,
    question: usize,
}

fn show(bar: &ProgressBar, done: usize) {
    bar.set_position(done as u64);
}

/// Of answers to one question.
fn mean_of(answers: &[Answer]) -> Mean {
    let runs: Vec<Outcome> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Run(outcome) => Some(outcome.as_ref().clone()),
            Answer::Capacity(_) => None,
        })
        .collect();
    if let Some(mean) = mean(&runs) {
        return Mean::Run(Box::new(mean));
    }
    let carried: Vec<Capacities> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Capacity(carried) => Some(*carried),
            Answer::Run(_) => None,
        })
        .collect();
    Mean::Capacity(Capacities::geometric_mean(&carried))
}

/// Those asked for, in the order in which they were, each once.
fn entrants(names: &[String]) -> Result<Vec<Entrant>, Failure> {
    let mut all = roster();
    if names.is_empty() {
        all.retain(|entrant| entrant.is_default || !entrant.is_ours);
        return Ok(all);
    }
    let known: Vec<String> = all.iter().map(|entrant| entrant.name.clone()).collect();
    let mut chosen: Vec<Entrant> = Vec::new();
    for name in names {
        let is_asked = |entrant: &Entrant| match name.as_str() {
            DEFAULT_ALIAS => entrant.is_default,
            name => entrant.name == name,
        };
        match all.iter().position(is_asked) {
            Some(position) => chosen.push(all.remove(position)),
            None if chosen.iter().any(is_asked) => {}
            None => {
                let known = known.join(", ");
                return Err(format!("unknown policy {name}; known: default, {known}").into());
            }
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use warmgate_routing::Policy;

    use super::*;

    fn names(asked: &[&str]) -> Vec<String> {
        let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
        let chosen = entrants(&asked).unwrap();
        chosen.into_iter().map(|entrant| entrant.name).collect()
    }

    #[test]
    fn nobody_named_is_the_default_and_all_peers() {
        let all = names(&[]);
        assert_eq!(all[0], Policy::default().name());
        assert!(all.contains(&"preble".to_owned()) && !all.contains(&"random".to_owned()));
        let peers = roster().iter().filter(|entrant| !entrant.is_ours).count();
        assert_eq!(all.len(), peers + 1);
    }

    #[test]
    fn the_default_has_an_alias_and_nobody_runs_twice() {
        let default = Policy::default().name();
        assert_eq!(names(&["random", "default", default]), ["random", default]);
        let unknown = entrants(&["best".to_owned()]).err().unwrap().to_string();
        assert!(
            unknown.contains("unknown policy best; known: default, "),
            "{unknown}"
        );
    }
}
