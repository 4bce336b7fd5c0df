//! Where an endpoint shows its metrics: looked for where engines have them, then remembered.

use std::time::Duration;

use tokio::time::Instant;
use warmgate_routing::endpoint::Engine;

use crate::scrape::engines::{TABLES, table};
use crate::scrape::name_table::Place;

/// Pause between two searches of every place, where none has shown a page. In between only the
/// likeliest place is asked.
const SEARCH_INTERVAL: Duration = Duration::from_secs(60);

pub(super) struct MetricsPlace {
    candidates: Vec<Place>,
    known: Option<Place>,
    search_at: Instant,
}

impl MetricsPlace {
    pub(super) fn new(engine: Option<Engine>, now: Instant) -> MetricsPlace {
        let tables = TABLES
            .into_iter()
            .filter(|t| engine.is_none_or(|e| e == t.engine));
        let mut candidates: Vec<Place> = Vec::new();
        for place in tables.flat_map(|table| table.places).copied() {
            if !candidates.contains(&place) {
                candidates.push(place);
            }
        }
        if engine.is_none() {
            // The port that serves is certain to be this endpoint's, any other is a guess.
            candidates.sort_by_key(|place| place.port.is_some());
        }
        MetricsPlace {
            candidates,
            known: None,
            search_at: now,
        }
    }

    /// Whether metrics are known to be on a port of their own.
    pub(super) fn is_elsewhere(&self) -> bool {
        let place = self.known.or(self.candidates.first().copied());
        place.is_some_and(|place| place.port.is_some())
    }

    /// The places to ask this time, in order, until one is accepted.
    pub(super) fn places_now(&mut self, now: Instant) -> Vec<Place> {
        if let Some(known) = self.known {
            return vec![known];
        }
        if now < self.search_at {
            return self.candidates.first().copied().into_iter().collect();
        }
        self.search_at = now + SEARCH_INTERVAL;
        self.candidates.clone()
    }

    /// A page of `engine` was found at `place`. False where it must be somebody else's: another
    /// port of the same host may belong to another endpoint.
    pub(super) fn accept(&mut self, place: Place, engine: Engine) -> bool {
        let is_ours = place.port.is_none() || table(engine).places.contains(&place);
        if is_ours {
            self.known = Some(place);
        }
        is_ours
    }

    /// There was no page at `place`. Unless nobody answered there at all, it has moved.
    pub(super) fn note_failure(&mut self, place: Place, is_nobody_there: bool) {
        if self.known == Some(place) && !is_nobody_there {
            self.known = None;
            // It is the likeliest place still: the engine may be starting again.
            self.candidates.retain(|candidate| *candidate != place);
            self.candidates.insert(0, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::name_table::at;

    const TRITON: Place = Place {
        path: "/metrics",
        port: Some(8002),
    };

    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn an_unknown_engine_is_looked_for_once_in_a_while() {
        let start = now();
        let mut place = MetricsPlace::new(None, start);
        let all = [at("/metrics"), at("/prometheus/metrics"), TRITON];
        assert_eq!(place.places_now(start), all);
        assert_eq!(place.places_now(start), [at("/metrics")]);
        let later = start + SEARCH_INTERVAL;
        assert_eq!(place.places_now(later), all);
    }

    #[test]
    fn a_known_engine_is_asked_where_it_has_them() {
        let start = now();
        let asked = |engine| MetricsPlace::new(Some(engine), start).places_now(start);
        assert_eq!(asked(Engine::Vllm), [at("/metrics")]);
        assert_eq!(asked(Engine::TensorrtLlm), [at("/prometheus/metrics")]);
        assert_eq!(asked(Engine::Triton), [TRITON, at("/metrics")]);
        assert!(MetricsPlace::new(Some(Engine::Triton), start).is_elsewhere());
    }

    #[test]
    fn what_worked_is_remembered_until_it_shows_something_else() {
        let start = now();
        let mut place = MetricsPlace::new(None, start);
        assert!(place.accept(at("/prometheus/metrics"), Engine::TensorrtLlm));
        assert_eq!(place.places_now(start), [at("/prometheus/metrics")]);
        place.note_failure(at("/prometheus/metrics"), true);
        assert_eq!(place.places_now(start), [at("/prometheus/metrics")]);
        place.note_failure(at("/prometheus/metrics"), false);
        let again = [at("/prometheus/metrics"), at("/metrics"), TRITON];
        assert_eq!(place.places_now(start), again);
        assert_eq!(place.places_now(start), again[..1], "until the next search");
    }

    #[test]
    fn another_port_is_believed_only_from_the_engine_that_has_it() {
        let mut place = MetricsPlace::new(None, now());
        assert!(!place.accept(TRITON, Engine::Vllm));
        assert!(place.accept(TRITON, Engine::Triton));
        assert!(place.is_elsewhere());
    }
}
