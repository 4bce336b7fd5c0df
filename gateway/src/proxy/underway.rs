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

    /// One more, where there are fewer than `limit`.
    #[must_use]
    pub fn enter_below(&self, limit: usize) -> Option<Underway> {
        let more = |now: usize| (now < limit).then_some(now + 1);
        let entered = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        entered.is_ok().then(|| Underway(Arc::clone(&self.0)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_the_limit_and_no_more_until_one_ends() {
        let count = UnderwayCount::default();
        let first = count.enter_below(2);
        let second = count.enter_below(2);
        assert!(first.is_some() && second.is_some());
        assert!(count.enter_below(2).is_none());
        assert_eq!(count.get(), 2);
        drop(first);
        assert!(count.enter_below(2).is_some(), "and dropped at once");
        assert_eq!(count.get(), 1);
        drop(second);
        assert_eq!(count.get(), 0);
        assert!(count.enter_below(0).is_none());
    }
}
