//! The guard of one route: what its targets do, what that means, and which weights follow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::observation::Observation;
use super::rollout::{Moment, Progress, Rollout, RolloutEvent};
use super::settings::{GuardSettings, Step};
use super::verdict::{Verdict, judge};
use super::window::{Tally, Window};

/// A target as a guard knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuardedTarget {
    /// Its name, unique in the route.
    pub name: Arc<str>,
    /// Its weight as configured.
    pub weight: u32,
    /// What serves there, such as pool and model: another version under the same name begins anew.
    pub serves: String,
}

/// What is watched, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GuardPlan {
    /// All targets, in the order in which the route lists them.
    pub targets: Vec<GuardedTarget>,
    /// Place of the one that the others are compared with.
    pub stable: usize,
    /// What is tolerated.
    pub settings: GuardSettings,
    /// The steps of the one canary; with several canaries there are none.
    pub steps: Vec<Step>,
}

/// Tells one plan from another: state is resumed only under the plan that it came about under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

/// The state of a route's guard, to be written to a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedGuard {
    /// Of the plan.
    pub fingerprint: Fingerprint,
    /// Canaries by name.
    pub canaries: BTreeMap<String, Progress>,
}

/// Why a guard begins anew in spite of what was saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotResumed {
    /// Another configuration.
    #[error("the route, its targets or its guard have changed since")]
    OtherPlan,
    /// Nothing that this guard could have written.
    #[error("the saved state has no place in the route's steps: delete it")]
    Impossible,
}

/// What happened to a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GuardEvent {
    /// Name of the target.
    pub target: Arc<str>,
    /// What happened.
    #[serde(flatten)]
    pub event: RolloutEvent,
}

/// What a guard knows of a target.
#[derive(Clone, Debug)]
pub struct TargetReport {
    /// Name of the target.
    pub target: Arc<str>,
    /// Its weight now.
    pub weight: u32,
    /// What it did in the window.
    pub tally: Tally,
    /// What that means, and where it is on its way; none for stable.
    pub canary: Option<(Verdict, Progress)>,
}

/// Watches the targets of a route and says which weight each has now.
#[derive(Debug)]
pub struct RouteGuard {
    plan: GuardPlan,
    windows: Vec<Window>,
    /// Those of all targets but stable, by place.
    rollouts: Mutex<BTreeMap<usize, Rollout>>,
    /// Read by every request.
    weights: Vec<AtomicU32>,
}

impl RouteGuard {
    /// A guard that has seen nothing; canaries are at their first step.
    ///
    /// # Panics
    /// Where `stable` is no place of a target, or there are steps and not exactly two targets.
    #[must_use]
    pub fn new(plan: GuardPlan, now: Moment) -> RouteGuard {
        assert!(plan.stable < plan.targets.len(), "stable is a target");
        assert!(
            plan.steps.is_empty() || plan.targets.len() == 2,
            "steps are those of one canary"
        );
        let rollout = |(place, target): (usize, &GuardedTarget)| {
            let rollout = Rollout::new(target.weight, &plan.steps, plan.settings.on_breach, now);
            (place != plan.stable).then_some((place, rollout))
        };
        let rollouts = plan
            .targets
            .iter()
            .enumerate()
            .filter_map(rollout)
            .collect();
        let window = |_: &GuardedTarget| Window::new(plan.settings.window(), now.steady);
        let guard = RouteGuard {
            windows: plan.targets.iter().map(window).collect(),
            weights: plan.targets.iter().map(|_| AtomicU32::new(0)).collect(),
            rollouts: Mutex::new(rollouts),
            plan,
        };
        guard.publish(&guard.rollouts.lock());
        guard
    }

    /// What it was made of.
    #[must_use]
    pub fn plan(&self) -> &GuardPlan {
        &self.plan
    }

    /// The weight of the target at this place now. Takes no lock.
    #[must_use]
    pub fn weight(&self, target: usize) -> u32 {
        let weight = self.weights.get(target);
        weight.map_or(0, |weight| weight.load(Ordering::Relaxed))
    }

    /// Notes what is seen of a request that was sent to a target at `sent`. Where it is bad, what
    /// follows from it follows at once.
    pub fn observe(
        &self,
        target: usize,
        observation: &Observation,
        sent: Instant,
        now: Moment,
    ) -> Option<GuardEvent> {
        let window = self.windows.get(target)?;
        window.observe(observation, sent, now.steady);
        if !observation.is_bad() || target == self.plan.stable {
            return None;
        }
        let mut rollouts = self.rollouts.lock();
        let stable = self.windows[self.plan.stable].tally(now.steady);
        self.advance(&mut rollouts, target, &stable, now)
    }

    /// Looks at every canary: to be called about once a second.
    pub fn check(&self, now: Moment) -> Vec<GuardEvent> {
        let mut rollouts = self.rollouts.lock();
        let stable = self.windows[self.plan.stable].tally(now.steady);
        let places: Vec<usize> = rollouts.keys().copied().collect();
        let advance = |place| self.advance(&mut rollouts, place, &stable, now);
        places.into_iter().filter_map(advance).collect()
    }

    /// Lets a tripped target begin anew; none where it is not tripped or not there.
    pub fn reset(&self, target: &str, now: Moment) -> Option<GuardEvent> {
        let place = self.place(target)?;
        let mut rollouts = self.rollouts.lock();
        let event = rollouts.get_mut(&place)?.reset(now)?;
        Some(self.follow(&rollouts, place, event, now))
    }

    /// What is known of each target.
    #[must_use]
    pub fn report(&self, now: Instant) -> Vec<TargetReport> {
        let rollouts = self.rollouts.lock();
        let stable = self.windows[self.plan.stable].tally(now);
        let report = |(place, target): (usize, &GuardedTarget)| {
            let tally = self.windows[place].tally(now);
            let canary = rollouts.get(&place).map(|rollout| {
                let verdict = judge(&self.plan.settings, &tally, &stable);
                (verdict, rollout.progress().clone())
            });
            TargetReport {
                target: Arc::clone(&target.name),
                weight: self.weight(place),
                tally,
                canary,
            }
        };
        let targets = self.plan.targets.iter().enumerate();
        targets.map(report).collect()
    }

    /// The state as it is now.
    #[must_use]
    pub fn save(&self) -> SavedGuard {
        let rollouts = self.rollouts.lock();
        let canary = |(place, rollout): (&usize, &Rollout)| {
            let name = self.plan.targets[*place].name.to_string();
            (name, rollout.progress().clone())
        };
        SavedGuard {
            fingerprint: self.plan.fingerprint(),
            canaries: rollouts.iter().map(canary).collect(),
        }
    }

    /// Goes on from a saved state; windows begin empty.
    ///
    /// # Errors
    /// Where it belongs to another plan, or is damaged; then nothing is changed.
    pub fn resume(&self, saved: &SavedGuard, now: Moment) -> Result<(), NotResumed> {
        if saved.fingerprint != self.plan.fingerprint() {
            return Err(NotResumed::OtherPlan);
        }
        let mut rollouts = self.rollouts.lock();
        let mut resumed = rollouts.clone();
        for (name, progress) in &saved.canaries {
            let rollout = self.place(name).and_then(|place| resumed.get_mut(&place));
            let is_taken = rollout.is_some_and(|rollout| rollout.resume(progress.clone(), now));
            if !is_taken {
                return Err(NotResumed::Impossible);
            }
        }
        *rollouts = resumed;
        self.publish(&rollouts);
        Ok(())
    }

    fn place(&self, target: &str) -> Option<usize> {
        let mut targets = self.plan.targets.iter();
        targets.position(|one| &*one.name == target)
    }

    fn advance(
        &self,
        rollouts: &mut BTreeMap<usize, Rollout>,
        place: usize,
        stable: &Tally,
        now: Moment,
    ) -> Option<GuardEvent> {
        let settings = &self.plan.settings;
        let tally = self.windows[place].tally(now.steady);
        let verdict = judge(settings, &tally, stable);
        let rollout = rollouts.get_mut(&place)?;
        let event = rollout.advance(&verdict, settings.window(), now)?;
        Some(self.follow(rollouts, place, event, now))
    }

    fn follow(
        &self,
        rollouts: &BTreeMap<usize, Rollout>,
        place: usize,
        event: RolloutEvent,
        now: Moment,
    ) -> GuardEvent {
        match event {
            // Another weight is another load: what was seen under the last one proves nothing here,
            // and what is still under way would be held against it. Stable forgets as well: beside
            // a canary that has just begun, its better times would hide an outage of both.
            RolloutEvent::Promoted { .. }
            | RolloutEvent::Tripped { .. }
            | RolloutEvent::Reset { .. } => {
                self.windows.iter().for_each(|one| one.restart(now.steady));
                self.publish(rollouts);
            }
            RolloutEvent::Waiting { .. } | RolloutEvent::Done { .. } => {}
        }
        let target = Arc::clone(&self.plan.targets[place].name);
        GuardEvent { target, event }
    }

    fn publish(&self, rollouts: &BTreeMap<usize, Rollout>) {
        let canaries = rollouts.iter().map(|(place, one)| (*place, one.weight()));
        for (place, weight) in self.plan.weights(canaries.collect()) {
            self.weights[place].store(weight, Ordering::Relaxed);
        }
    }
}

impl GuardPlan {
    /// Of everything that this plan says.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let written = serde_json::to_vec(self).expect("invariant: a plan has string keys only");
        Fingerprint(format!("{:016x}", xxh3_64(&written)))
    }

    /// All weights, given those of the canaries.
    ///
    /// With steps, stable has what the canary leaves of 100. Without, the others keep theirs, so that
    /// no conversation moves but those of the canary; only where nobody would be left does stable
    /// get one.
    fn weights(&self, mut weights: BTreeMap<usize, u32>) -> BTreeMap<usize, u32> {
        let canaries: u32 = weights.values().fold(0, |sum, n| sum.saturating_add(*n));
        let stable = if self.steps.is_empty() {
            let configured = self.targets[self.stable].weight;
            configured.max(u32::from(canaries == 0))
        } else {
            100_u32.saturating_sub(canaries)
        };
        weights.insert(self.stable, stable);
        weights
    }
}
