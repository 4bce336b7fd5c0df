//! What discovery tells a router: who is there, how they are, what they serve.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Router;
use crate::endpoint::{Endpoint, EndpointKey, Observed};
use crate::feedback::{Counters, Declared};
use crate::ledger::EndpointLoad;
use crate::pool::EndpointEvent;
use crate::report::{EngineReport, ServedModel};
use crate::units::Tokens;

/// Cache of an endpoint that reports none. Guessing too low costs more than too high
/// (measured: a quarter of the truth halves capacity, eight times the truth loses 14 %).
pub const DEFAULT_CAPACITY: Tokens = Tokens(2_000_000);
/// What an endpoint is believed to hold in all tiers, as a multiple of its device's cache, where no
/// tier is declared; until its answers have shown it, so with feedback only, and only where the
/// device's size is no guess. From 1 a tier of 4 M tokens behind 3 M was found too slowly where few
/// sessions come back after long (`docs/simulation.md`, agents): capacity 1.22, from 2 it is 1.39.
/// Without a tier the first misses show it, at one step of the measurement (3 %) or nothing.
const UNDECLARED_RATIO: f64 = 2.0;
/// Age at which a report no longer counts: others' load is then taken for unknown, that is none.
pub const REPORT_STALE_AFTER: Duration = Duration::from_secs(10);

/// What a reading of an endpoint's metrics has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The engine has restarted: what it was believed to hold is forgotten.
    pub restarted: bool,
    /// It has no hits where many were predicted: see [`Lesson::lost`](crate::feedback::Lesson::lost).
    pub lost: bool,
}

impl Router {
    /// A source of endpoints has news. A list is taken as a whole when it is complete; what is
    /// gone is forgotten with all that it held, and of what was restarted its cache is.
    pub fn apply(&self, event: EndpointEvent) {
        let mut registry = self.registry.lock();
        let change = registry.apply(event);
        if change.is_none() {
            return;
        }
        for endpoint in &change.joined {
            self.set_capacity(endpoint, None);
        }
        self.pool.store(Arc::new(registry.snapshot()));
        drop(registry);
        for endpoint in change.gone {
            self.index.remove(endpoint.id);
        }
        for endpoint in change.restarted {
            self.forget(&endpoint);
        }
    }

    /// An endpoint's metrics were read at `now`.
    pub fn observe(&self, key: &EndpointKey, report: EngineReport, now: Instant) -> Observation {
        let Some(endpoint) = self.find(key) else {
            return Observation::default();
        };
        endpoint.health.note_answered_probe();
        note_foreign(&endpoint.load, &report);
        let (capacity, counters) = (report.capacity, counters(&report));
        let before = endpoint.observed.rcu(|before| Observed {
            report: Some((report.clone(), now)),
            models: before.models.clone(),
        });
        let old = before.report.as_ref().map(|(old, _)| old);
        let restarted = old.is_some_and(|old| has_restarted(old, &report));
        if restarted {
            self.forget(&endpoint);
        }
        if old.is_none_or(|old| old.capacity != capacity) {
            self.set_capacity(&endpoint, capacity);
        }
        let verdict = counters.map(|counters| endpoint.learner.count(counters));
        let lost = verdict.is_some_and(|verdict| self.carry_out(&endpoint, verdict));
        Observation { restarted, lost }
    }

    /// An endpoint's list of models was read.
    pub fn observe_models(&self, key: &EndpointKey, models: Vec<ServedModel>) {
        let Some(endpoint) = self.find(key) else {
            return;
        };
        endpoint.health.note_answered_probe();
        // Held until the new pool is in place, so that no older one can come after it.
        let registry = self.registry.lock();
        let before = endpoint.observed.rcu(|before| Observed {
            report: before.report.clone(),
            models: Some(models.clone()),
        });
        let pool = self.pool.load();
        let is_news = match &before.models {
            Some(before) => *before != models,
            // So far it was taken to serve every name: as a fleet starts, the first to speak has
            // said it all.
            None => !pool.names_are(&models),
        };
        if is_news {
            self.pool.store(Arc::new(registry.snapshot()));
        }
    }

    /// Reports older than [`REPORT_STALE_AFTER`] stop counting. Returns the endpoints concerned.
    pub fn expire_reports(&self, now: Instant) -> Vec<Arc<Endpoint>> {
        let pool = self.pool.load();
        let is_stale = |endpoint: &&Arc<Endpoint>| {
            let observed = endpoint.observed.load();
            observed
                .report
                .as_ref()
                .is_some_and(|(_, at)| now.duration_since(*at) > REPORT_STALE_AFTER)
        };
        let stale: Vec<_> = pool.all().iter().filter(is_stale).cloned().collect();
        for endpoint in &stale {
            endpoint.load.note_foreign(0, 0);
        }
        stale
    }

    /// Its memory is empty; how much it can hold is still known.
    fn forget(&self, endpoint: &Endpoint) {
        self.index.forget(endpoint.id);
        endpoint.learner.note_restart();
    }

    fn find(&self, key: &EndpointKey) -> Option<Arc<Endpoint>> {
        self.registry.lock().get(key).cloned()
    }

    /// What holds of an endpoint until it proves something else.
    fn set_capacity(&self, endpoint: &Endpoint, reported: Option<Tokens>) {
        let stated = self.settings.capacity.or(reported);
        let device = stated.unwrap_or(DEFAULT_CAPACITY);
        let ratio = match self.settings.host_tier {
            Some(tier) => (device + tier).as_f64() / device.as_f64().max(1.0),
            None if self.settings.feedback && stated.is_some() => UNDECLARED_RATIO,
            None => 1.0,
        };
        let ratio = self.ratio_of_others(endpoint, device).unwrap_or(ratio);
        let declared = Declared { device, ratio };
        endpoint
            .learner
            .set_device(declared, self.settings.block_size);
        self.apply_sizes(endpoint);
    }

    /// How many times their device others hold that have the same: the median of what was learned.
    fn ratio_of_others(&self, endpoint: &Endpoint, device: Tokens) -> Option<f64> {
        if !self.settings.feedback {
            return None;
        }
        let pool = self.pool.load();
        let others = pool.all().iter().filter(|other| other.id != endpoint.id);
        let mut ratios: Vec<f64> = others
            .filter_map(|other| other.learner.ratio_of(device))
            .collect();
        ratios.sort_unstable_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied()
    }
}

/// What the engine has by its own account, less what is ours.
fn note_foreign(load: &EndpointLoad, report: &EngineReport) {
    let ours = load.now();
    let queued = ours.inflight - ours.decoding.min(ours.inflight);
    let waiting = report.waiting.unwrap_or(0);
    let all = report.running.unwrap_or(0).saturating_add(waiting);
    let foreign = all.saturating_sub(ours.inflight);
    let foreign_waiting = waiting.saturating_sub(queued).min(foreign);
    load.note_foreign(foreign - foreign_waiting, foreign_waiting);
}

/// What it looked up and found so far, on all tiers.
fn counters(report: &EngineReport) -> Option<Counters> {
    let hits = report.prefix_hits? + report.tier_hits.unwrap_or_default();
    let queries = report.prefix_queries?;
    Some(Counters { queries, hits })
}

/// A younger process, or counters that ran backwards: whatever it held is gone.
fn has_restarted(old: &EngineReport, new: &EngineReport) -> bool {
    // A process start is a constant of the process; half a second forgives rounding.
    let is_younger = matches!((old.process_start_s, new.process_start_s), (Some(old), Some(new)) if new > old + 0.5);
    let ran_backwards =
        matches!((old.prefix_queries, new.prefix_queries), (Some(old), Some(new)) if new < old);
    is_younger || ran_backwards
}
