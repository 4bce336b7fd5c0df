//! How many requests are under way, for a stop that waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One request under way; counted for as long as it lives.
#[derive(Debug)]
pub struct Underway(Arc<AtomicUsize>);

/// Counts requests under way.
#[derive(Clone, Debug, Default)]
pub struct UnderwayCount(Arc<AtomicUsize>);

impl UnderwayCount {
    /// One more.
    #[must_use]
    pub fn enter(&self) -> Underway {
        self.0.fetch_add(1, Ordering::AcqRel);
        Underway(Arc::clone(&self.0))
    }

    /// How many now.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
