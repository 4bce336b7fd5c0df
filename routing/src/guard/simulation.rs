//! Rollouts in virtual time: one that goes well, one that fails, one that is slow under load.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::units::Tokens;

const TICK: Duration = Duration::from_millis(100);
const STEPS: [(u32, u64); 5] = [(1, 120), (5, 120), (25, 120), (50, 120), (100, 120)];

/// What an engine does with one request, given its share of the route's load.
type Behaviour = fn(&mut SmallRng, f64) -> Observation;

/// A route under constant load.
struct Scene {
    guard: RouteGuard,
    now: Moment,
    rng: SmallRng,
    requests_per_tick: u32,
    canary_errors: u32,
}

fn begun(rng: &mut SmallRng, typical_ms: f64) -> Observation {
    // Times to first token are spread over more than a factor of ten.
    let spread: f64 = (0..4).map(|_| rng.random::<f64>() - 0.5).sum();
    Observation::Begun {
        ttft: Duration::from_secs_f64(typical_ms / 1_000.0 * spread.exp()),
        is_stream: true,
        uncached: Tokens(100),
    }
}

fn good(rng: &mut SmallRng, _share: f64) -> Observation {
    match rng.random_bool(0.005) {
        true => Observation::Failed(ErrorClass::Status5xx),
        false => begun(rng, 100.0),
    }
}

fn fails_from_5_percent_on(rng: &mut SmallRng, share: f64) -> Observation {
    match share >= 0.05 && rng.random_bool(0.3) {
        true => Observation::Failed(ErrorClass::MidStream),
        false => begun(rng, 100.0),
    }
}

/// One engine where stable has many: it queues as it gets more.
fn slow_under_load(rng: &mut SmallRng, share: f64) -> Observation {
    begun(rng, 100.0 * (1.0 + 8.0 * share * share))
}

fn outage(rng: &mut SmallRng, _share: f64) -> Observation {
    match rng.random_bool(0.5) {
        true => Observation::Failed(ErrorClass::Timeout),
        false => begun(rng, 100.0),
    }
}

impl Scene {
    fn new(on_breach: OnBreach, requests_per_tick: u32) -> Scene {
        #[expect(clippy::disallowed_methods, reason = "any start will do")]
        let steady = Instant::now();
        let now = Moment {
            steady,
            unix_ms: 1_800_000_000_000,
        };
        let target = |name: &str| GuardedTarget {
            name: name.into(),
            weight: 1,
            serves: name.to_owned(),
        };
        let step = |(weight, hold_s)| Step { weight, hold_s };
        let plan = GuardPlan {
            targets: vec![target("stable"), target("canary")],
            stable: 0,
            settings: GuardSettings {
                on_breach,
                ..GuardSettings::default()
            },
            steps: STEPS.map(step).to_vec(),
        };
        Scene {
            guard: RouteGuard::new(plan, now),
            now,
            rng: SmallRng::seed_from_u64(7),
            requests_per_tick,
            canary_errors: 0,
        }
    }

    /// Runs for so long and returns the events.
    fn run(&mut self, seconds: u32, stable: Behaviour, canary: Behaviour) -> Vec<String> {
        let mut events = Vec::new();
        for tick in 0..seconds * 10 {
            self.now.steady += TICK;
            self.now.unix_ms += TICK.as_millis() as u64;
            for _ in 0..self.requests_per_tick {
                let share = f64::from(self.guard.weight(1)) / 100.0;
                let (place, observation) = match self.rng.random_bool(share) {
                    true => (1, canary(&mut self.rng, share)),
                    false => (0, stable(&mut self.rng, 1.0 - share)),
                };
                self.canary_errors += u32::from(place == 1 && observation.is_bad());
                let now = self.now;
                events.extend(self.guard.observe(place, &observation, now.steady, now));
            }
            if tick % 10 == 9 {
                events.extend(self.guard.check(self.now));
            }
        }
        let shown = |event: GuardEvent| match event.event {
            RolloutEvent::Promoted { to, .. } => format!("{to} %"),
            RolloutEvent::Tripped { to, why, .. } => {
                format!("tripped to {to} % by {}", why.what.as_str())
            }
            RolloutEvent::Waiting { .. } => "waiting".to_owned(),
            RolloutEvent::Done { weight } => format!("done at {weight} %"),
            RolloutEvent::Reset { weight } => format!("reset to {weight} %"),
        };
        events.into_iter().map(shown).collect()
    }
}

#[test]
fn a_good_canary_takes_all_steps() {
    let mut scene = Scene::new(OnBreach::Out, 20);
    let events = scene.run(700, good, good);
    assert_eq!(events, ["5 %", "25 %", "50 %", "100 %", "done at 100 %"]);
    assert_eq!((scene.guard.weight(0), scene.guard.weight(1)), (0, 100));
}

#[test]
fn a_canary_that_fails_at_5_percent_is_out_within_the_window() {
    let mut scene = Scene::new(OnBreach::Out, 20);
    let events = scene.run(119, good, fails_from_5_percent_on);
    assert_eq!(events, [""; 0]);
    assert_eq!(scene.canary_errors, 0);
    let events = scene.run(60, good, fails_from_5_percent_on);
    assert_eq!(events, ["5 %", "tripped to 0 % by error_rate"]);
    assert!(scene.canary_errors <= 15, "{}", scene.canary_errors);
    let errors = scene.canary_errors;
    let events = scene.run(600, good, fails_from_5_percent_on);
    assert_eq!(events, [""; 0], "the steps have stopped");
    assert_eq!((scene.guard.weight(1), scene.canary_errors), (0, errors));
}

#[test]
fn a_canary_that_is_slow_under_load_goes_back_to_what_it_can_carry() {
    let mut scene = Scene::new(OnBreach::LastGoodStep, 20);
    let events = scene.run(900, good, slow_under_load);
    let expected = ["5 %", "25 %", "50 %", "tripped to 25 % by ttft_p95_ratio"];
    assert_eq!(events, expected);
    assert_eq!((scene.guard.weight(0), scene.guard.weight(1)), (75, 25));
}

#[test]
fn in_an_outage_of_both_nobody_is_blamed_and_nothing_is_promoted() {
    // It begins in the middle of a step, at its end, and soon after the next has begun.
    for (good_s, expected, weight) in [
        (60, &["waiting"][..], 1),
        (119, &["5 %", "waiting"], 5),
        (121, &["waiting"], 5),
        (123, &["waiting"], 5),
    ] {
        let mut scene = Scene::new(OnBreach::Out, 20);
        scene.run(good_s, good, good);
        assert_eq!(scene.run(200, outage, outage), expected, "{good_s}");
        assert_eq!(scene.guard.weight(1), weight);
        let after = scene.run(200, good, good);
        assert!(after.iter().any(|event| event.ends_with('%')), "{after:?}");
        assert!(
            scene.guard.weight(1) > weight,
            "when it is over, it goes on"
        );
    }
}

#[test]
fn without_traffic_a_canary_waits() {
    let mut scene = Scene::new(OnBreach::Out, 1);
    // Ten requests a second, a hundredth of which is six in a window.
    let events = scene.run(1_000, good, good);
    assert_eq!(events, ["waiting"]);
}
