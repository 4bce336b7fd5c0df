//! Series of routes' mirrors: they come and go with the configuration.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::family::Families;

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorOutcome {
    /// Answered with a good status to its end.
    Ok,
    /// Not sent, refused, or answered with an error; as much as the engine could do wrong.
    Error,
    /// Not begun or not ended in time.
    Timeout,
    /// Broken off because the answer was too long.
    TooLong,
    /// Never made: as many as may be were under way.
    Dropped,
}

impl MirrorOutcome {
    /// Every outcome.
    pub const ALL: [MirrorOutcome; 5] = [
        MirrorOutcome::Ok,
        MirrorOutcome::Error,
        MirrorOutcome::Timeout,
        MirrorOutcome::TooLong,
        MirrorOutcome::Dropped,
    ];

    /// Its name in metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            MirrorOutcome::Ok => "ok",
            MirrorOutcome::Error => "error",
            MirrorOutcome::Timeout => "timeout",
            MirrorOutcome::TooLong => "too_long",
            MirrorOutcome::Dropped => "dropped",
        }
    }
}

/// The routes whose mirrors have series.
#[derive(Default)]
pub(super) struct Mirrors {
    routes: Mutex<BTreeSet<Arc<str>>>,
}

impl Mirrors {
    /// These are the routes with a mirror from now on.
    pub(super) fn know(&self, families: &Families, routes: impl Iterator<Item = Arc<str>>) {
        let new: BTreeSet<_> = routes.collect();
        let mut known = self.routes.lock();
        for route in known.difference(&new) {
            for outcome in MirrorOutcome::ALL {
                let labels = [&**route, outcome.label()];
                // Not every outcome was met.
                let _ = families.mirror_requests_total.remove_label_values(&labels);
            }
            let _ = families
                .mirror_duration_seconds
                .remove_label_values(&[&**route]);
        }
        *known = new;
    }

    /// A copy has ended after that time, or was never made. Where its route has gone meanwhile, it
    /// is not counted.
    pub(super) fn ended(
        &self,
        families: &Families,
        route: &str,
        outcome: MirrorOutcome,
        took: Option<Duration>,
    ) {
        if !self.routes.lock().contains(route) {
            return;
        }
        families
            .mirror_requests_total
            .with_label_values(&[route, outcome.label()])
            .inc();
        if let Some(took) = took {
            families
                .mirror_duration_seconds
                .with_label_values(&[route])
                .observe(took.as_secs_f64());
        }
    }
}
