//! Series of routes' targets: they come and go with the configuration.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use prometheus::{Histogram, IntCounter};
use warmgate_routing::Tokens;
use warmgate_routing::guard::ErrorClass;

use super::family::Families;
use super::outcome::Outcome;

type Name = (Arc<str>, Arc<str>);

/// The targets that have series.
#[derive(Default)]
pub(super) struct Targets {
    known: ArcSwap<HashMap<Name, Arc<TargetMetrics>>>,
}

/// Handles of one target's series. All but the first are made when they are first needed, so that
/// a thousand routes are no long page.
struct TargetMetrics {
    requests: IntCounter,
    fallbacks: OnceLock<IntCounter>,
    errors: [OnceLock<IntCounter>; ErrorClass::ALL.len()],
    time_to_first_token: OnceLock<Histogram>,
    time_per_output_token: OnceLock<Histogram>,
    prompt: OnceLock<IntCounter>,
    cached: OnceLock<IntCounter>,
    completion: OnceLock<IntCounter>,
}

impl Targets {
    /// These are the targets from now on, by route and name, with their weights.
    pub(super) fn know(&self, families: &Families, targets: impl Iterator<Item = (Name, u32)>) {
        let before = self.known.load();
        let weights = &families.target_weight;
        weights.reset();
        families.target_tripped.reset();
        let mut known = HashMap::new();
        for ((route, target), weight) in targets {
            let labels = [&*route, &*target];
            weights.with_label_values(&labels).set(f64::from(weight));
            let metrics = TargetMetrics::new(families, labels);
            known.insert((route, target), Arc::new(metrics));
        }
        for name in before.keys().filter(|name| !known.contains_key(*name)) {
            forget(families, [&*name.0, &*name.1]);
        }
        self.known.store(Arc::new(known));
    }

    /// A target has this weight now. One that is no longer there has none.
    pub(super) fn weigh(
        &self,
        families: &Families,
        (route, target): (&Arc<str>, &Arc<str>),
        weight: u32,
        is_tripped: Option<bool>,
    ) {
        let name = (Arc::clone(route), Arc::clone(target));
        if !self.known.load().contains_key(&name) {
            return;
        }
        let labels = [&**route, &**target];
        let gauge = families.target_weight.with_label_values(&labels);
        gauge.set(f64::from(weight));
        if let Some(is_tripped) = is_tripped {
            let gauge = families.target_tripped.with_label_values(&labels);
            gauge.set(f64::from(u8::from(is_tripped)));
        }
    }

    /// A request for that target has ended. One that is no longer there is not counted.
    pub(super) fn finished(
        &self,
        families: &Families,
        (route, target): (&Arc<str>, &Arc<str>),
        outcome: &Outcome<'_>,
    ) {
        let name = (Arc::clone(route), Arc::clone(target));
        if let Some(metrics) = self.known.load().get(&name) {
            metrics.finished(families, [route, target], outcome);
        }
    }

    /// A request went on from that target to its fallback.
    pub(super) fn fell_back(&self, families: &Families, (route, target): (&Arc<str>, &Arc<str>)) {
        let name = (Arc::clone(route), Arc::clone(target));
        if let Some(metrics) = self.known.load().get(&name) {
            let family = &families.target_fallbacks_total;
            let series = || family.with_label_values(&[&**route, &**target]);
            metrics.fallbacks.get_or_init(series).inc();
        }
    }
}

impl TargetMetrics {
    fn new(families: &Families, labels: [&str; 2]) -> TargetMetrics {
        TargetMetrics {
            requests: families.target_requests_total.with_label_values(&labels),
            fallbacks: OnceLock::new(),
            errors: Default::default(),
            time_to_first_token: OnceLock::new(),
            time_per_output_token: OnceLock::new(),
            prompt: OnceLock::new(),
            cached: OnceLock::new(),
            completion: OnceLock::new(),
        }
    }

    fn finished(&self, families: &Families, labels: [&str; 2], outcome: &Outcome<'_>) {
        self.requests.inc();
        if let Some(class) = outcome.error_class() {
            let [route, target] = labels;
            self.errors[class as usize]
                .get_or_init(|| {
                    let labels = [route, target, class.label()];
                    families.target_errors_total.with_label_values(&labels)
                })
                .inc();
        }
        for (handle, family, seconds) in [
            (
                &self.time_to_first_token,
                &families.target_time_to_first_token_seconds,
                outcome.time_to_first_token,
            ),
            (
                &self.time_per_output_token,
                &families.target_time_per_output_token_seconds,
                outcome.time_per_output_token,
            ),
        ] {
            if let Some(seconds) = seconds {
                let handle = handle.get_or_init(|| family.with_label_values(&labels));
                handle.observe(seconds.as_secs_f64());
            }
        }
        for (handle, family, tokens) in [
            (
                &self.prompt,
                &families.target_prompt_tokens_total,
                outcome.prompt_tokens,
            ),
            (
                &self.cached,
                &families.target_cached_tokens_total,
                outcome.cached_tokens,
            ),
            (
                &self.completion,
                &families.target_completion_tokens_total,
                outcome.completion_tokens,
            ),
        ] {
            if let Some(Tokens(tokens)) = tokens {
                let handle = handle.get_or_init(|| family.with_label_values(&labels));
                handle.inc_by(tokens);
            }
        }
    }
}

/// Drops the series of a target that is gone. Those that it never had are no error.
fn forget(families: &Families, labels: [&str; 2]) {
    for family in [
        &families.target_requests_total,
        &families.target_fallbacks_total,
        &families.target_prompt_tokens_total,
        &families.target_cached_tokens_total,
        &families.target_completion_tokens_total,
    ] {
        let _ = family.remove_label_values(&labels);
    }
    for family in [
        &families.target_time_to_first_token_seconds,
        &families.target_time_per_output_token_seconds,
    ] {
        let _ = family.remove_label_values(&labels);
    }
    let [route, target] = labels;
    for class in ErrorClass::ALL {
        let labels = [route, target, class.label()];
        let _ = families.target_errors_total.remove_label_values(&labels);
    }
}
