//! What has to hold in every run, whatever the router does: nothing lost, nothing twice, nothing
//! from nowhere. A violation panics and names the seed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use super::contender::{RequestIx, Usage};
use super::population::Planned;

/// Books that the run keeps beside routers and engines.
#[derive(Debug)]
pub(super) struct Checker {
    seed: u64,
    state: Vec<State>,
    alive: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unsent,
    Alive,
    Ended,
}

impl Checker {
    pub(super) fn new(seed: u64) -> Checker {
        Checker {
            seed,
            state: Vec::new(),
            alive: 0,
        }
    }

    /// Requests sent and not ended.
    pub(super) fn alive(&self) -> usize {
        self.alive
    }

    pub(super) fn time(&self, before: Duration, now: Duration) {
        assert!(before <= now, "seed {}: time runs backwards", self.seed);
    }

    pub(super) fn sent(&mut self, id: RequestIx) {
        if self.state.len() <= id.0 {
            self.state.resize(id.0 + 1, State::Unsent);
        }
        assert_eq!(
            self.state[id.0],
            State::Unsent,
            "seed {}: {id:?} is sent twice",
            self.seed
        );
        self.state[id.0] = State::Alive;
        self.alive += 1;
    }

    pub(super) fn ended(&mut self, id: RequestIx, planned: &Planned, usage: Option<Usage>) {
        assert_eq!(
            self.state[id.0],
            State::Alive,
            "seed {}: {id:?} ends twice or was never sent",
            self.seed
        );
        self.state[id.0] = State::Ended;
        self.alive -= 1;
        if let Some(usage) = usage {
            assert!(
                usage.cached_tokens < planned.prompt_tokens,
                "seed {}: {id:?} computed nothing of its prompt",
                self.seed
            );
        }
    }

    pub(super) fn all_ended(&self) {
        assert_eq!(self.alive, 0, "seed {}: requests were lost", self.seed);
    }

    /// Runs checks that know nothing of seeds.
    pub(super) fn replayable(&self, checks: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(checks)) {
            tracing::error!(seed = self.seed, "a state contradicts itself");
            resume_unwind(panic);
        }
    }
}
