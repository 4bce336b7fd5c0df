//! What we have in flight on each endpoint: exact, instant, and zero again when all is done.
//!
//! A [`LoadGuard`] is taken before a request is sent, moves at the first token from prefill to
//! decode, and gives everything back when it is dropped, on whatever path. Scraped gauges only add
//! what others send to the same engine ([`EndpointLoad::note_foreign`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::recent_work::RecentWork;
use crate::units::Tokens;

/// Our own requests on one endpoint, and an estimate of everybody else's.
///
/// On a cache line of its own: every decision reads many of these, and every request writes one.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct EndpointLoad {
    inflight: AtomicU32,
    decoding: AtomicU32,
    queued_prefill_tokens: AtomicU64,
    prompt_tokens: AtomicU64,
    foreign_running: AtomicU32,
    foreign_waiting: AtomicU32,
    last_running: AtomicU32,
    last_waiting: AtomicU32,
    recent_work: RecentWork,
}

/// The load of one endpoint at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Load {
    /// Requests of ours that are sent and not ended.
    pub inflight: u32,
    /// Of these, past their first token.
    pub decoding: u32,
    /// Uncached prompt tokens of those that have not produced a first token.
    pub queued_prefill: Tokens,
    /// Prompt tokens, cached or not, of all in flight.
    pub prompt: Tokens,
    /// Requests that the engine runs beyond ours, by its own account.
    pub foreign_running: u32,
    /// Requests that wait there beyond ours, by its own account.
    pub foreign_waiting: u32,
}

impl Load {
    /// All requests there, ours and others'.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.inflight
            .saturating_add(self.foreign_running)
            .saturating_add(self.foreign_waiting)
    }
}

/// What one request weighs on the endpoint it goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCost {
    /// Prompt tokens that the endpoint has to compute.
    pub uncached: Tokens,
    /// All prompt tokens.
    pub prompt: Tokens,
}

impl EndpointLoad {
    /// The load now. Fields are read one by one: a request that moves meanwhile may be seen in
    /// neither or both phases, which routing can bear.
    #[must_use]
    pub fn now(&self) -> Load {
        Load {
            inflight: self.inflight.load(Ordering::Relaxed),
            decoding: self.decoding.load(Ordering::Relaxed),
            queued_prefill: Tokens(self.queued_prefill_tokens.load(Ordering::Relaxed)),
            prompt: Tokens(self.prompt_tokens.load(Ordering::Relaxed)),
            foreign_running: self.foreign_running.load(Ordering::Relaxed),
            foreign_waiting: self.foreign_waiting.load(Ordering::Relaxed),
        }
    }

    /// Uncached tokens sent there lately, ours and other replicas', fading with their age.
    #[must_use]
    pub fn recent_work(&self) -> &RecentWork {
        &self.recent_work
    }

    /// What the engine has beyond our own requests, as worked out from one reading of its gauges.
    /// Only what two readings in a row have counts: a page lags behind our own ledger, so requests
    /// of ours that have just ended look like somebody else's for one reading.
    pub fn note_foreign(&self, running: u32, waiting: u32) {
        let last_running = self.last_running.swap(running, Ordering::Relaxed);
        let last_waiting = self.last_waiting.swap(waiting, Ordering::Relaxed);
        let (running, waiting) = (running.min(last_running), waiting.min(last_waiting));
        self.foreign_running.store(running, Ordering::Relaxed);
        self.foreign_waiting.store(waiting, Ordering::Relaxed);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Prefill,
    Decode,
}

/// One request's weight on one endpoint; gives it back when dropped.
#[derive(Debug)]
pub struct LoadGuard {
    load: Arc<EndpointLoad>,
    cost: RequestCost,
    phase: Phase,
}

impl LoadGuard {
    /// Puts the request on the endpoint. Call before sending, so that the next decision sees it.
    #[must_use]
    pub fn take(load: &Arc<EndpointLoad>, cost: RequestCost) -> LoadGuard {
        load.inflight.fetch_add(1, Ordering::Relaxed);
        load.queued_prefill_tokens
            .fetch_add(cost.uncached.0, Ordering::Relaxed);
        load.prompt_tokens
            .fetch_add(cost.prompt.0, Ordering::Relaxed);
        LoadGuard {
            load: Arc::clone(load),
            cost,
            phase: Phase::Prefill,
        }
    }

    /// The first token has come: the prompt is computed. Later calls change nothing.
    pub fn note_first_token(&mut self) {
        if self.phase == Phase::Prefill {
            self.phase = Phase::Decode;
            self.load
                .queued_prefill_tokens
                .fetch_sub(self.cost.uncached.0, Ordering::Relaxed);
            self.load.decoding.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        match self.phase {
            Phase::Prefill => {
                self.load
                    .queued_prefill_tokens
                    .fetch_sub(self.cost.uncached.0, Ordering::Relaxed);
            }
            Phase::Decode => {
                self.load.decoding.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.load
            .prompt_tokens
            .fetch_sub(self.cost.prompt.0, Ordering::Relaxed);
        self.load.inflight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: RequestCost = RequestCost {
        uncached: Tokens(70),
        prompt: Tokens(100),
    };

    #[test]
    fn weight_moves_at_the_first_token_and_only_once() {
        let load = Arc::<EndpointLoad>::default();
        let mut guard = LoadGuard::take(&load, COST);
        let sent = load.now();
        assert_eq!((sent.inflight, sent.decoding), (1, 0));
        assert_eq!(
            (sent.queued_prefill, sent.prompt),
            (Tokens(70), Tokens(100))
        );
        guard.note_first_token();
        guard.note_first_token();
        let answered = load.now();
        assert_eq!((answered.inflight, answered.decoding), (1, 1));
        assert_eq!(
            (answered.queued_prefill, answered.prompt),
            (Tokens::ZERO, Tokens(100))
        );
        drop(guard);
        assert_eq!(load.now(), Load::default());
    }

    #[test]
    fn others_count_once_two_readings_agree_and_no_longer_than_the_next() {
        let load = EndpointLoad::default();
        let readings = [(9, 2), (3, 4), (5, 0), (0, 0), (7, 7)];
        let counted = readings.map(|(running, waiting)| {
            load.note_foreign(running, waiting);
            (load.now().foreign_running, load.now().foreign_waiting)
        });
        assert_eq!(counted, [(0, 0), (3, 2), (3, 0), (0, 0), (0, 0)]);
    }

    #[test]
    fn zero_again_after_an_end_in_either_phase_from_many_threads() {
        let load = Arc::<EndpointLoad>::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let load = &load;
                scope.spawn(move || {
                    for round in 0..1_000 {
                        let mut guard = LoadGuard::take(load, COST);
                        if (round + thread) % 3 == 0 {
                            guard.note_first_token();
                        }
                    }
                });
            }
        });
        assert_eq!(load.now(), Load::default());
    }
}
