//! Series of routes' targets: they come and go with the configuration.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus::IntCounter;

use super::family::Families;

type Name = (Arc<str>, Arc<str>);

/// The targets that have series.
#[derive(Default)]
pub(super) struct Targets {
    requests: ArcSwap<HashMap<Name, IntCounter>>,
}

impl Targets {
    /// These are the targets from now on, by route and name, with their weights.
    pub(super) fn know(&self, families: &Families, targets: impl Iterator<Item = (Name, u32)>) {
        let before = self.requests.load();
        let weights = &families.target_weight;
        weights.reset();
        let mut requests = HashMap::new();
        for ((route, target), weight) in targets {
            let labels = [&*route, &*target];
            weights.with_label_values(&labels).set(f64::from(weight));
            let counter = families.target_requests_total.with_label_values(&labels);
            requests.insert((route, target), counter);
        }
        for (route, target) in before.keys() {
            if !requests.contains_key(&(Arc::clone(route), Arc::clone(target))) {
                let labels = [&**route, &**target];
                // It was there, or nobody would have known it.
                let _ = families.target_requests_total.remove_label_values(&labels);
            }
        }
        self.requests.store(Arc::new(requests));
    }

    /// A request for that target has ended. One that is no longer there is not counted.
    pub(super) fn requested(&self, route: &Arc<str>, target: &Arc<str>) {
        let name = (Arc::clone(route), Arc::clone(target));
        if let Some(counter) = self.requests.load().get(&name) {
            counter.inc();
        }
    }
}
