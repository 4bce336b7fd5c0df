//! The largest load that a router carries, by bisection.

use super::contender::Contender;
use super::outcome::{GOODPUT_CARRIED, Outcome};
use super::population::Population;
use super::run::{GiveUp, run};
use super::scenario::Scenario;
use super::workload::Workload;

/// Loads are told apart to this factor; differences below are noise.
const RESOLUTION: f64 = 1.03;
/// Loads tried at the outside: a fleet that carries less is said to carry nothing.
pub const LOAD_MIN: f64 = 0.02;
/// And at the most.
pub const LOAD_MAX: f64 = 256.0;
/// Requests due in a closed loop move when answers are slow, so more than the tolerated share of
/// the expected must be bad before a run is given up.
const GIVE_UP_SLACK: f64 = 1.5;

/// What "carried" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// [`GOODPUT_CARRIED`] of the requests are good.
    Goodput,
    /// As many have their first token in time.
    TtftP90,
}

/// Makes the router of one replica.
pub type Maker = dyn Fn(&Scenario, usize) -> Box<dyn Contender> + Send + Sync;

impl Criterion {
    /// Whether a run was good enough.
    #[must_use]
    pub fn is_met(self, outcome: &Outcome) -> bool {
        !outcome.gave_up
            && match self {
                Criterion::Goodput => outcome.goodput >= GOODPUT_CARRIED,
                Criterion::TtftP90 => outcome.late <= 1.0 - GOODPUT_CARRIED,
            }
    }

    fn give_up(self, population: &Population) -> GiveUp {
        let tolerated = population.expected as f64 * (1.0 - GOODPUT_CARRIED) * GIVE_UP_SLACK;
        let most = tolerated.ceil() as usize;
        match self {
            Criterion::Goodput => GiveUp {
                bad_max: most,
                ..GiveUp::NEVER
            },
            Criterion::TtftP90 => GiveUp {
                late_max: most,
                ..GiveUp::NEVER
            },
        }
    }
}

/// One run of `workload` at `load`.
pub fn run_at(
    scenario: &Scenario,
    workload: &Workload,
    load: f64,
    maker: &Maker,
    criterion: Option<Criterion>,
) -> Outcome {
    let population = Population::new(workload, load, scenario.seed);
    let contenders = (0..scenario.replicas)
        .map(|replica| maker(scenario, replica))
        .collect();
    let give_up = criterion.map_or(GiveUp::NEVER, |criterion| criterion.give_up(&population));
    run(scenario, &population, contenders, give_up)
}

/// The largest load, as a multiple of the recorded one, that meets `criterion`; 0 where even
/// [`LOAD_MIN`] does not. `start` is where to look first.
pub fn capacity(
    scenario: &Scenario,
    workload: &Workload,
    maker: &Maker,
    criterion: Criterion,
    start: f64,
) -> f64 {
    let is_carried =
        |load: f64| criterion.is_met(&run_at(scenario, workload, load, maker, Some(criterion)));
    let mut load = start.clamp(LOAD_MIN, LOAD_MAX);
    let (mut carried, mut refused);
    if is_carried(load) {
        loop {
            carried = load;
            load *= 1.5;
            if load > LOAD_MAX {
                return carried;
            }
            if !is_carried(load) {
                refused = load;
                break;
            }
        }
    } else {
        loop {
            refused = load;
            load /= 1.5;
            if load < LOAD_MIN {
                return 0.0;
            }
            if is_carried(load) {
                carried = load;
                break;
            }
        }
    }
    while refused / carried > RESOLUTION {
        let middle = (refused * carried).sqrt();
        if is_carried(middle) {
            carried = middle;
        } else {
            refused = middle;
        }
    }
    carried
}
