//! What a target did lately: counts and latencies over a window that slides.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::latency::{self, CLASSES, Histogram};
use super::observation::{Counts, Observation};

/// Parts of a window: it reaches back its whole span less at most one of these.
pub const SLOTS: usize = 12;

/// All that a window holds at one moment.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How often what was seen.
    pub counts: Counts,
    pub(super) ttft: [Histogram; CLASSES],
    pub(super) tpot: Histogram,
}

impl Tally {
    /// p95 of the time to first token of streams, within 9 %; none where there was none.
    #[must_use]
    pub fn ttft_p95(&self) -> Option<Duration> {
        let mut all = Histogram::default();
        let streams = self.ttft.iter().take(latency::TOKEN_CLASSES);
        streams.for_each(|class| all.merge(class));
        all.p95()
    }

    /// p95 of the time per output token, within 9 %; none where none is known.
    #[must_use]
    pub fn tpot_p95(&self) -> Option<Duration> {
        self.tpot.p95()
    }

    fn note(&mut self, observation: &Observation) {
        self.counts.note(observation);
        match *observation {
            Observation::Begun {
                ttft,
                is_stream,
                uncached,
            } => self.ttft[latency::class(is_stream, uncached)].add(ttft),
            Observation::Finished { tpot: Some(tpot) } => self.tpot.add(tpot),
            _ => {}
        }
    }

    fn merge(&mut self, other: &Tally) {
        self.counts.merge(&other.counts);
        self.tpot.merge(&other.tpot);
        for (mine, theirs) in self.ttft.iter_mut().zip(&other.ttft) {
            mine.merge(theirs);
        }
    }
}

/// A sliding window over one target. Constant memory (60 KB) and constant time for an observation.
#[derive(Debug)]
pub struct Window {
    slot: Duration,
    first: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What was sent before does not count.
    since: Instant,
    slots: Box<[Slot]>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    number: u64,
    tally: Tally,
}

impl Window {
    /// A window that reaches back `span`, empty at `now`.
    #[must_use]
    pub fn new(span: Duration, now: Instant) -> Window {
        Window {
            slot: (span / SLOTS as u32).max(Duration::from_millis(1)),
            first: now,
            state: Mutex::new(State {
                since: now,
                slots: vec![Slot::default(); SLOTS].into(),
            }),
        }
    }

    /// Notes what is seen at `now` of a request that was sent at `sent`.
    pub fn observe(&self, observation: &Observation, sent: Instant, now: Instant) {
        let number = self.number(now);
        let mut state = self.state.lock();
        if sent < state.since {
            return;
        }
        let slot = &mut state.slots[number as usize % SLOTS];
        if slot.number < number {
            slot.number = number;
            slot.tally = Tally::default();
        }
        // A thread that is a whole window behind would count in a slot that is not its own.
        if slot.number == number {
            slot.tally.note(observation);
        }
    }

    /// Forgets everything, and what comes of requests that were sent before `now`.
    pub fn restart(&self, now: Instant) {
        let mut state = self.state.lock();
        state.since = state.since.max(now);
        state.slots.fill(Slot::default());
    }

    /// What the window holds at `now`.
    #[must_use]
    pub fn tally(&self, now: Instant) -> Tally {
        let oldest = (self.number(now) + 1).saturating_sub(SLOTS as u64);
        let mut sum = Tally::default();
        let state = self.state.lock();
        for slot in state.slots.iter().filter(|slot| slot.number >= oldest) {
            sum.merge(&slot.tally);
        }
        sum
    }

    fn number(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.first);
        (since.as_nanos() / self.slot.as_nanos()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::ErrorClass;
    use crate::units::Tokens;

    const SPAN: Duration = Duration::from_secs(60);
    const BEGUN: Observation = Observation::Begun {
        ttft: Duration::from_millis(100),
        is_stream: true,
        uncached: Tokens(100),
    };

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any start will do")]
        Instant::now()
    }

    #[test]
    fn each_observation_counts_as_what_it_is() {
        let now = start();
        let window = Window::new(SPAN, now);
        let finished = Observation::Finished {
            tpot: Some(Duration::from_millis(20)),
        };
        let whole = Observation::Begun {
            ttft: Duration::from_secs(9),
            is_stream: false,
            uncached: Tokens(100),
        };
        let broken = Observation::Failed(ErrorClass::MidStream);
        let refused = Observation::Failed(ErrorClass::Connect);
        for observation in [BEGUN, finished, whole, BEGUN, broken, refused] {
            window.observe(&observation, now, now);
        }
        let tally = window.tally(now);
        assert_eq!((tally.counts.requests, tally.counts.errors()), (4, 2));
        let near = |latency: Option<Duration>, ms: f64| {
            (latency.unwrap().as_secs_f64() * 1_000.0 / ms - 1.0).abs() < 0.09
        };
        assert!(near(tally.ttft_p95(), 100.0) && near(tally.tpot_p95(), 20.0));
        assert_eq!(Tally::default().ttft_p95(), None);
        assert_eq!(Tally::default().tpot_p95(), None);
    }

    #[test]
    fn what_is_older_than_the_window_is_gone() {
        let start = start();
        let window = Window::new(SPAN, start);
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            window.observe(&BEGUN, now, now);
            let expected = u32::try_from(second + 1).unwrap();
            let held = window.tally(now).counts.requests;
            if second < 55 {
                assert_eq!(held, expected);
            } else {
                assert!((56..=60).contains(&held), "{second}: {held}");
            }
        }
        let later = start + Duration::from_secs(600) + SPAN;
        assert_eq!(window.tally(later).counts, Counts::default());
        window.observe(&BEGUN, later, later);
        assert_eq!(window.tally(later).counts.requests, 1);
    }

    #[test]
    fn after_a_restart_only_what_is_sent_later_counts() {
        let before = start();
        let window = Window::new(SPAN, before);
        window.observe(&BEGUN, before, before);
        let now = before + Duration::from_secs(1);
        window.restart(now);
        window.observe(&BEGUN, before, now);
        assert_eq!(window.tally(now).counts, Counts::default());
        window.observe(&BEGUN, now, now);
        assert_eq!(window.tally(now).counts.requests, 1);
    }

    #[test]
    fn a_clock_that_is_behind_does_no_harm() {
        let start = start();
        let window = Window::new(SPAN, start);
        let now = start + SPAN * 3;
        window.observe(&BEGUN, now, now);
        window.observe(&BEGUN, now, now - SPAN);
        window.observe(&BEGUN, now, now - SPAN / 4);
        assert_eq!(window.tally(now).counts.requests, 2);
    }

    #[test]
    fn nothing_is_lost_among_threads() {
        let now = start();
        let window = Window::new(SPAN, now);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| window.observe(&BEGUN, now, now)));
            }
        });
        assert_eq!(window.tally(now).counts.requests, 4_000);
    }
}
