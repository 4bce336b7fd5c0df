//! Passive health of one endpoint: ejected when it keeps failing, tried again with growing pauses.
//!
//! An ejected endpoint keeps its place in the pool and in the prefix index. After the pause one
//! request in [`TRIAL_SPACING`] is let through as a trial; its success ends the ejection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

/// Failures in a row that eject an endpoint.
pub const FAILURES_TO_EJECT: u32 = 3;
/// First pause; each further ejection without a success in between doubles it.
pub const EJECTION_BASE: Duration = Duration::from_secs(2);
/// Longest pause.
pub const EJECTION_MAX: Duration = Duration::from_secs(30);
/// Pause between two trial requests once the ejection has run out.
pub const TRIAL_SPACING: Duration = Duration::from_secs(1);

/// Why an attempt or a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// Nobody answers at the address: one is enough to eject, and any answer ends it.
    Connect,
    /// The connection broke or timed out before an answer.
    Broken,
    /// The engine answered with an error of its own (5xx, or an error inside a stream).
    Answer,
}

/// What is known about an endpoint's health, for people and for `/ready`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing heard yet.
    Unknown,
    /// Answers.
    Healthy,
    /// Left alone until the pause is over.
    Ejected,
    /// The pause is over; one request at a time is a trial.
    Trial,
}

#[derive(Debug, Default)]
struct State {
    heard: bool,
    failures_in_a_row: u32,
    ejections_in_a_row: u32,
    ejected: Option<Ejection>,
}

#[derive(Debug)]
struct Ejection {
    until: Instant,
    cause: Failure,
}

/// Health of one endpoint; cheap to read where all is well.
#[derive(Debug, Default)]
pub struct Health {
    // Spares the hot path the lock: false means that nothing is ejected.
    is_ejected: AtomicBool,
    // Likewise: true means that a success would change nothing.
    is_settled: AtomicBool,
    state: Mutex<State>,
}

impl Health {
    /// Whether a request may be sent at `now`.
    #[must_use]
    pub fn is_usable(&self, now: Instant) -> bool {
        if !self.is_ejected.load(Ordering::Acquire) {
            return true;
        }
        self.state
            .lock()
            .ejected
            .as_ref()
            .is_none_or(|ejection| ejection.until <= now)
    }

    /// Whether it is ejected, its pause over or not. Takes no lock.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        self.is_ejected.load(Ordering::Acquire)
    }

    /// What to show.
    #[must_use]
    pub fn standing(&self, now: Instant) -> Standing {
        let state = self.state.lock();
        match &state.ejected {
            Some(ejection) if ejection.until > now => Standing::Ejected,
            Some(_) => Standing::Trial,
            None if state.heard => Standing::Healthy,
            None => Standing::Unknown,
        }
    }

    /// A request is about to be sent: where that is a trial, the next one has to wait.
    pub fn note_sent(&self, now: Instant) {
        if !self.is_ejected.load(Ordering::Acquire) {
            return;
        }
        if let Some(ejection) = &mut self.state.lock().ejected
            && ejection.until <= now
        {
            ejection.until = now + TRIAL_SPACING;
        }
    }

    /// A request was answered without fault of the endpoint.
    pub fn note_success(&self) {
        if self.is_settled.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.state.lock();
        *state = State {
            heard: true,
            ..State::default()
        };
        self.is_ejected.store(false, Ordering::Release);
    }

    /// A request or probe failed. Returns true where this ejected the endpoint.
    pub fn note_failure(&self, cause: Failure, now: Instant) -> bool {
        let mut state = self.state.lock();
        self.is_settled.store(false, Ordering::Release);
        state.failures_in_a_row = state.failures_in_a_row.saturating_add(1);
        let is_enough = cause == Failure::Connect || state.failures_in_a_row >= FAILURES_TO_EJECT;
        let is_running = state.ejected.as_ref().is_some_and(|ejection| {
            // A failed trial starts a longer pause; a straggler of the same outage does not.
            ejection.until > now + TRIAL_SPACING
        });
        if !is_enough || is_running {
            return false;
        }
        let doublings = state.ejections_in_a_row.min(16);
        let pause = EJECTION_BASE
            .saturating_mul(1 << doublings)
            .min(EJECTION_MAX);
        state.ejections_in_a_row += 1;
        state.ejected = Some(Ejection {
            until: now + pause,
            cause,
        });
        self.is_ejected.store(true, Ordering::Release);
        true
    }

    /// The endpoint answered something that is not inference (metrics, models). That disproves
    /// "nobody answers", but not "fails every prompt".
    pub fn note_answered_probe(&self) {
        let mut state = self.state.lock();
        state.heard = true;
        if state
            .ejected
            .as_ref()
            .is_some_and(|ejection| ejection.cause == Failure::Connect)
        {
            *state = State {
                heard: true,
                ..State::default()
            };
            self.is_ejected.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs some instant to count from"
        )]
        Instant::now()
    }

    #[test]
    fn ejects_at_the_limit_and_not_before() {
        let (health, now) = (Health::default(), start());
        for _ in 1..FAILURES_TO_EJECT {
            assert!(!health.note_failure(Failure::Answer, now));
            assert!(health.is_usable(now));
        }
        assert!(health.note_failure(Failure::Answer, now));
        assert!(!health.is_usable(now));
        assert_eq!(health.standing(now), Standing::Ejected);
        assert!(health.is_ejected());
        health.note_success();
        assert!(!health.is_ejected());
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        let (health, now) = (Health::default(), start());
        for _ in 0..10 {
            health.note_failure(Failure::Answer, now);
            health.note_failure(Failure::Broken, now);
            health.note_success();
        }
        assert_eq!(health.standing(now), Standing::Healthy);
    }

    #[test]
    fn one_refused_connection_ejects_and_one_answered_probe_ends_it() {
        let (health, now) = (Health::default(), start());
        assert!(health.note_failure(Failure::Connect, now));
        assert!(!health.is_usable(now));
        health.note_answered_probe();
        assert!(health.is_usable(now));
    }

    #[test]
    fn an_answered_probe_does_not_excuse_failing_answers() {
        let (health, now) = (Health::default(), start());
        for _ in 0..FAILURES_TO_EJECT {
            health.note_failure(Failure::Answer, now);
        }
        health.note_answered_probe();
        assert!(!health.is_usable(now));
    }

    #[test]
    fn one_trial_at_a_time_and_pauses_that_double_up_to_the_limit() {
        let (health, mut now) = (Health::default(), start());
        let mut pause = EJECTION_BASE;
        health.note_failure(Failure::Connect, now);
        for _ in 0..10 {
            assert!(!health.is_usable(now + pause - Duration::from_millis(1)));
            now += pause;
            assert_eq!(health.standing(now), Standing::Trial);
            assert!(health.is_usable(now));
            health.note_sent(now);
            assert!(!health.is_usable(now), "only one trial");
            assert!(health.note_failure(Failure::Connect, now));
            pause = (pause * 2).min(EJECTION_MAX);
        }
        now += pause;
        health.note_success();
        assert_eq!(health.standing(now), Standing::Healthy);
    }
}
