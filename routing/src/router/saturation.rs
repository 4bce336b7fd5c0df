//! Whether a pool has as much to do as its operator bears.

use std::time::Instant;

use super::Router;
use crate::units::Tokens;

impl Router {
    /// Whether every endpoint that takes requests for `model` at `now` has at least `bound` queued
    /// prefill: uncached prompt tokens of ours before a first token. False where none takes any.
    #[must_use]
    pub fn is_saturated(&self, model: &str, bound: Tokens, now: Instant) -> bool {
        let pool = self.pool.load();
        let serving = pool.serving(model).unwrap_or_default();
        let mut usable = serving
            .iter()
            .filter(|endpoint| endpoint.is_usable(now))
            .peekable();
        usable.peek().is_some()
            && usable.all(|endpoint| endpoint.load.now().queued_prefill >= bound)
    }
}
