//! How much an endpoint was given to compute lately: what its queue says a moment later.
//!
//! A queue forgets as soon as it is empty, and cold prompts that come in bursts then pile up where
//! one has just ended, before those whose homes are there. The sum of uncached tokens sent, each
//! fading with its age, remembers a little longer. Preble (Srivatsa et al., 2024) balances by such
//! a window; here it is one term of a cost (measured: decision 0011).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::units::Tokens;

/// Age at which a token counts 1/e. From 20 to 60 seconds the measure is the same.
pub const RECENT: Duration = Duration::from_secs(30);
/// Unit of the times that are kept: fine beside [`RECENT`], and 2^32 of them are eight years.
const TICK_MS: u64 = 64;

/// A fading sum of tokens. Concurrent, without locks.
#[derive(Debug, Default)]
pub struct RecentWork {
    /// Tick 0.
    first: OnceLock<Instant>,
    /// The sum as `f32` in the upper half, the tick at which it was right in the lower.
    state: AtomicU64,
}

#[derive(Clone, Copy)]
struct Sum {
    tokens: f32,
    tick: u32,
}

impl Sum {
    fn unpack(state: u64) -> Sum {
        Sum {
            tokens: f32::from_bits((state >> 32) as u32),
            tick: state as u32,
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.tokens.to_bits()) << 32 | u64::from(self.tick)
    }

    fn faded_to(self, tick: u32) -> Sum {
        // Threads bring their own `now`: one may be a little before the other.
        let ticks = tick.saturating_sub(self.tick);
        let age = f32::from(u16::try_from(ticks).unwrap_or(u16::MAX)) * TICK_MS as f32;
        Sum {
            tokens: self.tokens * (-age / RECENT.as_millis() as f32).exp(),
            tick: tick.max(self.tick),
        }
    }
}

impl RecentWork {
    /// So many tokens are sent now.
    pub fn add(&self, tokens: Tokens, now: Instant) {
        let first = *self.first.get_or_init(|| now);
        let tick = tick(first, now);
        let more = tokens.as_f64() as f32;
        let add = |state| {
            let sum = Sum::unpack(state).faded_to(tick);
            let tokens = sum.tokens + more;
            Some(Sum { tokens, ..sum }.pack())
        };
        let added = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        debug_assert!(added.is_ok(), "the update never declines");
    }

    /// What is left of it.
    #[must_use]
    pub fn at(&self, now: Instant) -> Tokens {
        let Some(&first) = self.first.get() else {
            return Tokens::ZERO;
        };
        let sum = Sum::unpack(self.state.load(Ordering::Relaxed));
        Tokens(sum.faded_to(tick(first, now)).tokens as u64)
    }
}

fn tick(first: Instant, now: Instant) -> u32 {
    let ms = now.saturating_duration_since(first).as_millis() as u64;
    u32::try_from(ms / TICK_MS).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_adds_up_and_fades() {
        #[expect(clippy::disallowed_methods, reason = "any start will do")]
        let start = Instant::now();
        let work = RecentWork::default();
        assert_eq!(work.at(start), Tokens::ZERO);
        work.add(Tokens(10_000), start);
        work.add(Tokens(10_000), start);
        assert_eq!(work.at(start), Tokens(20_000));
        let later = work.at(start + RECENT).as_f64();
        assert!(
            (later / 20_000.0 - (-1.0_f64).exp()).abs() < 0.005,
            "{later}"
        );
        work.add(Tokens(5_000), start + RECENT);
        let both = work.at(start + RECENT).as_f64();
        assert!((both - later - 5_000.0).abs() < 20.0, "{both}");
        assert_eq!(work.at(start + RECENT * 1_000), Tokens::ZERO);
    }

    #[test]
    fn a_clock_that_is_a_little_behind_changes_nothing() {
        #[expect(clippy::disallowed_methods, reason = "any start will do")]
        let start = Instant::now() + RECENT;
        let work = RecentWork::default();
        work.add(Tokens(1_000), start);
        work.add(Tokens(1_000), start - RECENT);
        assert_eq!(work.at(start - RECENT), Tokens(2_000));
        assert_eq!(work.at(start), Tokens(2_000));
    }

    #[test]
    fn nothing_is_lost_among_threads() {
        #[expect(clippy::disallowed_methods, reason = "any start will do")]
        let now = Instant::now();
        let work = RecentWork::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| work.add(Tokens(3), now)));
            }
        });
        assert_eq!(work.at(now), Tokens(12_000));
    }
}
