//! A canary's way through the steps, and out.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::settings::{OnBreach, Step};
use super::verdict::{Finding, Verdict};

/// A moment on both clocks: the steady one for durations, the calendar for what is written down.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For durations within this process.
    pub steady: Instant,
    /// Milliseconds since 1970, UTC.
    pub unix_ms: u64,
}

/// Where a canary is on its way. Written to a file, it outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Place of the step, from 0.
    pub step: usize,
    /// For how long it has been fine on this step, in milliseconds.
    pub held_ms: u64,
    /// What comes next.
    pub phase: Phase,
}

/// What a canary is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// On its way: watched until the step has been held.
    #[default]
    Holding,
    /// At the last step, which has been held. It is still watched.
    Done,
    /// Taken out, until it is reset.
    Tripped(Trip),
}

/// Why and when a canary was taken out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trip {
    /// What it did.
    pub why: Finding,
    /// The weight that it was left with.
    pub weight: u32,
    /// When, in milliseconds since 1970, UTC.
    pub at_unix_ms: u64,
}

/// Something that operators want to know.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum RolloutEvent {
    /// The next step has begun.
    Promoted {
        /// The weight before.
        from: u32,
        /// The weight now.
        to: u32,
    },
    /// It breached what is tolerated; the steps stop.
    Tripped {
        /// The weight before.
        from: u32,
        /// The weight that it is left with.
        to: u32,
        /// What it did.
        why: Finding,
    },
    /// The time of the step is over, and there is no next one yet. Told once for each reason.
    Waiting {
        /// What it waits for: never [`Verdict::Breach`].
        verdict: Verdict,
    },
    /// The last step has been held.
    Done {
        /// The weight at which it stays.
        weight: u32,
    },
    /// It was tripped and begins anew.
    Reset {
        /// The weight now.
        weight: u32,
    },
}

/// The steps of one canary and where it is on them.
///
/// Without steps its weight is the one in the configuration, until it trips.
#[derive(Clone, Debug)]
pub struct Rollout {
    weight: u32,
    steps: Vec<Step>,
    on_breach: OnBreach,
    progress: Progress,
    /// Up to when the time of this step is accounted for.
    accounted: Instant,
    begun: Instant,
    told: Told,
}

/// What this step was said to wait for: a canary with little traffic goes to and fro.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    too_few: bool,
    doubtful: bool,
}

impl Rollout {
    /// At its first step; without steps at this weight.
    #[must_use]
    pub fn new(weight: u32, steps: &[Step], on_breach: OnBreach, now: Moment) -> Rollout {
        Rollout {
            weight,
            steps: steps.to_vec(),
            on_breach,
            progress: Progress::default(),
            accounted: now.steady,
            begun: now.steady,
            told: Told::default(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Goes on from where it was. Time in which nobody watched is not time in which it was fine.
    ///
    /// Returns false, and changes nothing, where these steps have no such place.
    #[must_use]
    pub fn resume(&mut self, progress: Progress, now: Moment) -> bool {
        let is_last = progress.step.checked_add(1) == Some(self.steps.len());
        let has_place = progress.step == 0 || progress.step < self.steps.len();
        let is_possible = match &progress.phase {
            Phase::Holding => true,
            Phase::Done => is_last,
            Phase::Tripped(trip) => trip.weight <= self.weight_of(progress.step),
        };
        if !has_place || !is_possible {
            return false;
        }
        self.progress = progress;
        self.begin(now);
        true
    }

    /// Its weight: in percent of the route where there are steps, else as configured.
    #[must_use]
    pub fn weight(&self) -> u32 {
        match &self.progress.phase {
            Phase::Tripped(trip) => trip.weight,
            Phase::Holding | Phase::Done => self.weight_of(self.progress.step),
        }
    }

    /// Whether it was taken out, and why.
    #[must_use]
    pub fn trip(&self) -> Option<&Trip> {
        match &self.progress.phase {
            Phase::Tripped(trip) => Some(trip),
            Phase::Holding | Phase::Done => None,
        }
    }

    /// Takes note of a verdict over the last `window`.
    pub fn advance(
        &mut self,
        verdict: &Verdict,
        window: Duration,
        now: Moment,
    ) -> Option<RolloutEvent> {
        if let Verdict::Breach(why) = verdict {
            return self.breach(*why, now);
        }
        if self.progress.phase != Phase::Holding || self.steps.is_empty() {
            return None;
        }
        match verdict {
            // A verdict speaks for the window, so also for the time before there was enough in it.
            Verdict::Fine { .. } => {
                let since = now.steady.saturating_duration_since(self.accounted);
                let fine_ms = u64::try_from(since.min(window).as_millis()).unwrap_or(u64::MAX);
                self.progress.held_ms = self.progress.held_ms.saturating_add(fine_ms);
                self.accounted = now.steady;
            }
            Verdict::Doubtful(_) => self.accounted = now.steady,
            Verdict::TooFew { .. } | Verdict::Breach(_) => {}
        }
        let is_fine = matches!(verdict, Verdict::Fine { .. });
        if is_fine && self.progress.held_ms >= self.hold_ms() {
            return Some(self.promote(now));
        }
        self.wait(verdict, now)
    }

    /// Begins anew after a trip; nothing happens where it was not tripped.
    pub fn reset(&mut self, now: Moment) -> Option<RolloutEvent> {
        self.trip()?;
        self.progress = Progress::default();
        self.begin(now);
        let weight = self.weight();
        Some(RolloutEvent::Reset { weight })
    }

    fn breach(&mut self, why: Finding, now: Moment) -> Option<RolloutEvent> {
        let from = self.weight();
        if from == 0 {
            return None;
        }
        let step_before = self.progress.step.checked_sub(1);
        let to = match (self.on_breach, step_before) {
            (OnBreach::LastGoodStep, Some(before)) if self.trip().is_none() => {
                self.weight_of(before)
            }
            _ => 0,
        };
        self.progress.phase = Phase::Tripped(Trip {
            why,
            weight: to,
            at_unix_ms: now.unix_ms,
        });
        self.begin(now);
        Some(RolloutEvent::Tripped { from, to, why })
    }

    fn promote(&mut self, now: Moment) -> RolloutEvent {
        let from = self.weight();
        if self.progress.step + 1 >= self.steps.len() {
            self.progress.phase = Phase::Done;
            return RolloutEvent::Done { weight: from };
        }
        self.progress.step += 1;
        self.progress.held_ms = 0;
        self.begin(now);
        let to = self.weight();
        RolloutEvent::Promoted { from, to }
    }

    fn wait(&mut self, verdict: &Verdict, now: Moment) -> Option<RolloutEvent> {
        let since = now.steady.saturating_duration_since(self.begun);
        if since < Duration::from_millis(self.hold_ms()) {
            return None;
        }
        let is_told = match verdict {
            Verdict::TooFew { .. } => &mut self.told.too_few,
            Verdict::Doubtful(_) => &mut self.told.doubtful,
            // That a step takes a little longer because it was not fine at first is no news.
            Verdict::Fine { .. } | Verdict::Breach(_) => return None,
        };
        let is_news = !std::mem::replace(is_told, true);
        is_news.then_some(RolloutEvent::Waiting { verdict: *verdict })
    }

    fn begin(&mut self, now: Moment) {
        self.accounted = now.steady;
        self.begun = now.steady;
        self.told = Told::default();
    }

    fn weight_of(&self, step: usize) -> u32 {
        self.steps.get(step).map_or(self.weight, |step| step.weight)
    }

    fn hold_ms(&self) -> u64 {
        let step = self.steps.get(self.progress.step);
        step.map_or(0, |step| step.hold_s.saturating_mul(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Measure;

    const WINDOW: Duration = Duration::from_secs(60);
    const FINE: Verdict = Verdict::Fine { is_compared: true };
    const TOO_FEW: Verdict = Verdict::TooFew {
        requests: 3,
        needed: 50,
    };
    const FINDING: Finding = Finding {
        what: Measure::ErrorRate,
        observed: 0.3,
        limit: 0.05,
    };
    const DOUBTFUL: Verdict = Verdict::Doubtful(FINDING);
    const BREACH: Verdict = Verdict::Breach(FINDING);

    struct Scene {
        rollout: Rollout,
        now: Moment,
    }

    impl Scene {
        fn new(steps: &[(u32, u64)], on_breach: OnBreach) -> Scene {
            #[expect(clippy::disallowed_methods, reason = "any start will do")]
            let steady = Instant::now();
            let now = Moment {
                steady,
                unix_ms: 1_800_000_000_000,
            };
            let step = |&(weight, hold_s): &(u32, u64)| Step { weight, hold_s };
            let steps: Vec<Step> = steps.iter().map(step).collect();
            let rollout = Rollout::new(7, &steps, on_breach, now);
            Scene { rollout, now }
        }

        /// The same verdict every second for so long.
        fn hear(&mut self, verdict: Verdict, seconds: u64) -> Vec<RolloutEvent> {
            let mut events = Vec::new();
            for _ in 0..seconds {
                self.now.steady += Duration::from_secs(1);
                self.now.unix_ms += 1_000;
                events.extend(self.rollout.advance(&verdict, WINDOW, self.now));
            }
            events
        }
    }

    fn waiting(verdict: Verdict) -> RolloutEvent {
        RolloutEvent::Waiting { verdict }
    }

    #[test]
    fn fine_for_the_whole_hold_is_promoted_and_not_a_second_earlier() {
        let mut scene = Scene::new(&[(1, 300), (5, 10), (100, 10)], OnBreach::Out);
        assert_eq!(scene.rollout.weight(), 1);
        assert_eq!(scene.hear(FINE, 299), []);
        let promoted = |from, to| RolloutEvent::Promoted { from, to };
        assert_eq!(scene.hear(FINE, 1), [promoted(1, 5)]);
        assert_eq!(scene.hear(FINE, 10), [promoted(5, 100)]);
        let done = RolloutEvent::Done { weight: 100 };
        assert_eq!(scene.hear(FINE, 100), [done]);
        assert_eq!(scene.hear(TOO_FEW, 100), []);
        assert_eq!(scene.hear(BREACH, 1).len(), 1, "it is still watched");
        assert_eq!(scene.rollout.weight(), 0);
    }

    #[test]
    fn too_few_requests_wait_and_say_so_once() {
        let mut scene = Scene::new(&[(1, 30), (5, 30)], OnBreach::Out);
        assert_eq!(scene.hear(TOO_FEW, 29), []);
        assert_eq!(scene.hear(TOO_FEW, 1_000), [waiting(TOO_FEW)]);
        assert_eq!(scene.rollout.weight(), 1);
        assert_eq!(scene.hear(DOUBTFUL, 5), [waiting(DOUBTFUL)]);
        // Doubt is over; the time counts from there.
        assert_eq!(scene.hear(FINE, 29), []);
        assert_eq!(scene.hear(FINE, 1).len(), 1);
    }

    #[test]
    fn a_fine_window_speaks_for_the_time_in_which_it_filled() {
        let mut scene = Scene::new(&[(1, 100), (5, 30)], OnBreach::Out);
        scene.hear(TOO_FEW, 40);
        assert_eq!(scene.hear(FINE, 59), []);
        assert_eq!(scene.hear(FINE, 1).len(), 1, "40 + 60");
        scene.hear(TOO_FEW, 400);
        assert_eq!(scene.hear(FINE, 1).len(), 1, "a window of 60 is worth 60");
        let mut scene = Scene::new(&[(1, 100), (5, 30)], OnBreach::Out);
        scene.hear(TOO_FEW, 400);
        assert_eq!(scene.hear(FINE, 40), []);
        assert_eq!(scene.hear(FINE, 1).len(), 1, "60 + 40");
    }

    #[test]
    fn a_breach_stops_the_steps_until_a_reset() {
        let mut scene = Scene::new(&[(1, 10), (5, 10), (25, 10)], OnBreach::Out);
        scene.hear(FINE, 12);
        let tripped = RolloutEvent::Tripped {
            from: 5,
            to: 0,
            why: FINDING,
        };
        assert_eq!(scene.hear(BREACH, 20), [tripped]);
        assert_eq!(scene.hear(FINE, 1_000), []);
        assert_eq!(scene.rollout.weight(), 0);
        let trip = scene.rollout.trip().unwrap();
        assert_eq!(trip.at_unix_ms, 1_800_000_013_000);
        let reset = RolloutEvent::Reset { weight: 1 };
        assert_eq!(scene.rollout.reset(scene.now), Some(reset));
        assert_eq!(scene.rollout.reset(scene.now), None, "nothing to reset");
        assert_eq!(scene.hear(FINE, 10).len(), 1, "on the way again");
    }

    #[test]
    fn to_the_last_good_step_and_then_out() {
        let steps = [(1, 10), (5, 10), (25, 10)];
        let mut scene = Scene::new(&steps, OnBreach::LastGoodStep);
        scene.hear(FINE, 20);
        assert_eq!(scene.rollout.weight(), 25);
        scene.hear(BREACH, 1);
        assert_eq!(scene.rollout.weight(), 5);
        assert_eq!(scene.hear(FINE, 1_000), []);
        assert_eq!(scene.rollout.weight(), 5);
        assert_eq!(scene.hear(BREACH, 5).len(), 1);
        assert_eq!(scene.rollout.weight(), 0);
        let mut first = Scene::new(&steps, OnBreach::LastGoodStep);
        first.hear(BREACH, 1);
        assert_eq!(first.rollout.weight(), 0, "there is none before");
    }

    #[test]
    fn without_steps_the_weight_is_the_configured_one_or_none() {
        let mut scene = Scene::new(&[], OnBreach::LastGoodStep);
        assert_eq!(scene.hear(FINE, 1_000), []);
        assert_eq!(scene.rollout.weight(), 7);
        scene.hear(BREACH, 1);
        assert_eq!(scene.rollout.weight(), 0);
        scene.rollout.reset(scene.now);
        assert_eq!(scene.rollout.weight(), 7);
    }

    #[test]
    fn a_hold_goes_on_after_a_restart_without_the_time_between() {
        let mut scene = Scene::new(&[(1, 100), (5, 100)], OnBreach::Out);
        scene.hear(FINE, 170);
        let written = serde_json::to_string(scene.rollout.progress()).unwrap();
        let mut later = Scene::new(&[(1, 100), (5, 100)], OnBreach::Out);
        later.now.unix_ms += 86_400_000;
        let read: Progress = serde_json::from_str(&written).unwrap();
        assert_eq!(&read, scene.rollout.progress());
        assert!(later.rollout.resume(read, later.now));
        assert_eq!(later.rollout.weight(), 5);
        later.hear(TOO_FEW, 10);
        assert_eq!(later.hear(FINE, 19), []);
        let done = RolloutEvent::Done { weight: 5 };
        assert_eq!(later.hear(FINE, 1), [done], "70 + 10 + 20");
    }

    #[test]
    fn what_these_steps_do_not_have_is_not_resumed() {
        let progress = |step, phase| Progress {
            step,
            held_ms: 0,
            phase,
        };
        let tripped = |weight| {
            Phase::Tripped(Trip {
                why: FINDING,
                weight,
                at_unix_ms: 1,
            })
        };
        for (given, is_taken) in [
            (progress(1, Phase::Holding), true),
            (progress(2, Phase::Holding), false),
            (progress(usize::MAX, Phase::Holding), false),
            (progress(0, Phase::Done), false),
            (progress(1, Phase::Done), true),
            (progress(1, tripped(5)), true),
            (progress(1, tripped(6)), false),
        ] {
            let mut scene = Scene::new(&[(1, 100), (5, 100)], OnBreach::Out);
            let taken = scene.rollout.resume(given.clone(), scene.now);
            assert_eq!(taken, is_taken, "{given:?}");
        }
        let mut stepless = Scene::new(&[], OnBreach::Out);
        let now = stepless.now;
        assert!(stepless.rollout.resume(progress(0, tripped(0)), now));
        assert!(!stepless.rollout.resume(progress(1, Phase::Holding), now));
    }
}
