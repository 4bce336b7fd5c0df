//! The guards of all routes: what requests tell them, and what becomes of their events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use warmgate_routing::Tokens;
use warmgate_routing::guard::{
    ErrorClass, GuardEvent, GuardPlan, GuardedTarget, Moment, Observation, Phase, RolloutEvent,
    RouteGuard, SavedGuard, TargetReport,
};
use warmgate_routing::split::{self, Identity, SplitKey, Weighted};

use crate::config::{Route, Routes, Target};
use crate::telemetry::metrics::{Metrics, Outcome};
use crate::telemetry::timestamp;

/// States of guards by name of their route, as they are written down.
pub type SavedGuards = BTreeMap<String, SavedGuard>;

/// The guards of all routes that have one.
#[derive(Default)]
pub struct Guards {
    by_route: BTreeMap<Arc<str>, Arc<Guarded>>,
}

/// A route with a guard.
pub struct Guarded {
    route: Arc<str>,
    guard: RouteGuard,
    metrics: Arc<Metrics>,
}

impl Guards {
    /// The guards that `routes` ask for. Those of `before` with the same plan go on, others resume
    /// what was saved, else begin anew.
    #[must_use]
    pub fn of_routes(
        routes: &Routes,
        metrics: &Arc<Metrics>,
        before: &Guards,
        saved: &SavedGuards,
    ) -> Guards {
        let guarded = |route: &Route| {
            let plan = plan(route)?;
            let name = Arc::clone(&route.name);
            let same = before.of(&name).filter(|one| *one.guard.plan() == plan);
            let guarded = same
                .cloned()
                .unwrap_or_else(|| Arc::new(Guarded::start(route, plan, metrics, saved)));
            Some((name, guarded))
        };
        Guards {
            by_route: routes.all().filter_map(guarded).collect(),
        }
    }

    /// The guard of the route of that name.
    #[must_use]
    pub fn of(&self, route: &str) -> Option<&Arc<Guarded>> {
        self.by_route.get(route)
    }

    /// Looks at every canary: about once a second.
    pub fn check(&self) {
        let now = moment();
        for guarded in self.by_route.values() {
            guarded.tell(guarded.guard.check(now));
        }
    }

    /// Shows weights and trips in the metrics.
    pub fn show(&self) {
        self.by_route.values().for_each(|guarded| guarded.show());
    }

    /// All states.
    #[must_use]
    pub fn save(&self) -> SavedGuards {
        let saved = |(route, guarded): (&Arc<str>, &Arc<Guarded>)| {
            (route.to_string(), guarded.guard.save())
        };
        self.by_route.iter().map(saved).collect()
    }
}

impl Guarded {
    fn start(
        route: &Route,
        plan: GuardPlan,
        metrics: &Arc<Metrics>,
        saved: &SavedGuards,
    ) -> Guarded {
        let now = moment();
        let guard = RouteGuard::new(plan, now);
        if let Some(saved) = saved.get(&*route.name) {
            match guard.resume(saved, now) {
                Ok(()) => tracing::info!(route = %route.name, "guard goes on where it was"),
                Err(error) => {
                    tracing::warn!(route = %route.name, %error, "guard begins anew");
                }
            }
        }
        Guarded {
            route: Arc::clone(&route.name),
            guard,
            metrics: Arc::clone(metrics),
        }
    }

    /// The target that `key` belongs to under the weights of now; none where none has one.
    #[must_use]
    pub fn choose<'r>(&self, targets: &'r [Target], key: SplitKey) -> Option<&'r Target> {
        let weighed = |(place, target)| Weighed {
            target,
            weight: self.guard.weight(place),
        };
        let weighed: Vec<Weighed<'r>> = written(targets).enumerate().map(weighed).collect();
        split::choose(&weighed, key).map(|one| one.target)
    }

    /// The weight of the target at this place now.
    #[must_use]
    pub fn weight(&self, place: usize) -> u32 {
        self.guard.weight(place)
    }

    /// Lets a tripped target begin anew. False where it was not tripped; none where it is not there.
    #[must_use]
    pub fn reset(&self, target: &str) -> Option<bool> {
        let targets = &self.guard.plan().targets;
        targets.iter().find(|one| &*one.name == target)?;
        let event = self.guard.reset(target, moment());
        let is_reset = event.is_some();
        self.tell(event);
        Some(is_reset)
    }

    /// What is known of each target, in the order of the route.
    #[must_use]
    pub fn shown(&self) -> Vec<Value> {
        let plan = self.guard.plan();
        let report = self.guard.report(Instant::now());
        report.iter().map(|one| shown(one, plan)).collect()
    }

    fn place(&self, target: &str) -> Option<usize> {
        let mut targets = self.guard.plan().targets.iter();
        targets.position(|one| &*one.name == target)
    }

    fn tell(&self, events: impl IntoIterator<Item = GuardEvent>) {
        let mut is_changed = false;
        for GuardEvent { target, event } in events {
            is_changed = true;
            let route = &self.route;
            match event {
                RolloutEvent::Promoted { from, to } => {
                    tracing::info!(%route, %target, from, to, "target promoted");
                }
                RolloutEvent::Tripped { from, to, why } => {
                    let remedy = "look at its engines, then change the configuration or reset it";
                    tracing::error!(%route, %target, from, to, %why, remedy, "target tripped");
                }
                RolloutEvent::Waiting { verdict } => {
                    tracing::warn!(%route, %target, ?verdict, "target waits for its next step");
                }
                RolloutEvent::Done { weight } => {
                    tracing::info!(%route, %target, weight, "target has taken its last step");
                }
                RolloutEvent::Reset { weight } => {
                    tracing::info!(%route, %target, weight, "target reset");
                }
            }
        }
        if is_changed {
            self.show();
        }
    }

    fn show(&self) {
        let report = self.guard.report(Instant::now());
        for TargetReport {
            target,
            weight,
            canary,
            ..
        } in report
        {
            let is_tripped =
                canary.map(|(_, progress)| matches!(progress.phase, Phase::Tripped(_)));
            self.metrics
                .weigh_target((&self.route, &target), weight, is_tripped);
        }
    }
}

/// One request under the eyes of its route's guard.
pub struct Watch {
    guarded: Arc<Guarded>,
    place: usize,
    started: Instant,
    is_stream: bool,
    uncached: Tokens,
}

/// What a guard has to know of a request.
pub struct Watched<'a> {
    /// Name of its target.
    pub target: &'a str,
    /// When its header had been read.
    pub started: Instant,
    /// Whether a stream was asked for.
    pub is_stream: bool,
    /// Tokens of its prompt that have to be computed.
    pub uncached: Tokens,
}

impl Watch {
    /// None where the guard knows no such target.
    #[must_use]
    pub fn new(guarded: &Arc<Guarded>, watched: &Watched<'_>) -> Option<Watch> {
        Some(Watch {
            place: guarded.place(watched.target)?,
            guarded: Arc::clone(guarded),
            started: watched.started,
            is_stream: watched.is_stream,
            uncached: watched.uncached,
        })
    }

    /// The answer, none of an error, has begun at `at`.
    pub fn begun(&self, at: Instant) {
        self.observe(&Observation::Begun {
            ttft: at.saturating_duration_since(self.started),
            is_stream: self.is_stream,
            uncached: self.uncached,
        });
    }

    /// The request has ended. What its client broke off says nothing.
    pub fn ended(&self, outcome: &Outcome<'_>) {
        let has_begun = outcome.time_to_first_token.is_some();
        match outcome.error_class() {
            Some(class) if class.is_late() && !has_begun => {
                self.observe(&Observation::Failed(ErrorClass::Broken));
            }
            Some(class) => self.observe(&Observation::Failed(class)),
            None if has_begun && outcome.aborted.is_none() => {
                let tpot = outcome.time_per_output_token;
                self.observe(&Observation::Finished { tpot });
            }
            None => {}
        }
    }

    fn observe(&self, observation: &Observation) {
        let guard = &self.guarded.guard;
        let event = guard.observe(self.place, observation, self.started, moment());
        self.guarded.tell(event);
    }
}

struct Weighed<'r> {
    target: &'r Target,
    weight: u32,
}

impl Weighted for Weighed<'_> {
    fn identity(&self) -> Identity {
        self.target.identity()
    }

    fn weight(&self) -> u32 {
        self.weight
    }
}

fn moment() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Moment {
        steady: Instant::now(),
        unix_ms: since.map_or(0, |since| since.as_millis() as u64),
    }
}

/// Those that the route lists itself. Pools that only stand in come behind them, and are no canaries.
fn written(targets: &[Target]) -> impl Iterator<Item = &Target> {
    targets.iter().filter(|target| !target.is_implied)
}

fn plan(route: &Route) -> Option<GuardPlan> {
    let rules = route.guard.as_ref()?;
    let target = |target: &Target| GuardedTarget {
        name: Arc::clone(&target.name),
        weight: target.weight,
        serves: format!("{} {}", target.pool, target.model.as_deref().unwrap_or("")),
    };
    Some(GuardPlan {
        targets: written(&route.targets).map(target).collect(),
        stable: 0,
        settings: rules.settings.clone(),
        steps: rules.steps.clone(),
    })
}

fn shown(report: &TargetReport, plan: &GuardPlan) -> Value {
    let counts = &report.tally.counts;
    let seconds = |latency: Option<std::time::Duration>| latency.map(|one| one.as_secs_f64());
    let mut shown = json!({
        "requests": counts.requests,
        "errors": counts.errors(),
        "given_up": counts.abnormal(),
        "ttft_p95_s": seconds(report.tally.ttft_p95()),
        "tpot_p95_s": seconds(report.tally.tpot_p95()),
    });
    if let Some((verdict, progress)) = &report.canary {
        let trip = match &progress.phase {
            Phase::Tripped(trip) => Some(json!({
                "why": trip.why,
                "at": timestamp::rfc3339(UNIX_EPOCH + std::time::Duration::from_millis(trip.at_unix_ms)),
            })),
            Phase::Holding | Phase::Done => None,
        };
        shown["judgement"] = json!(verdict);
        shown["tripped"] = json!(trip.is_some());
        shown["trip"] = json!(trip);
        let has_steps = !plan.steps.is_empty();
        shown["step"] = json!(has_steps.then_some(progress.step));
        shown["held_s"] = json!(has_steps.then_some(progress.held_ms / 1_000));
        shown["done"] = json!(progress.phase == Phase::Done);
    }
    shown
}
