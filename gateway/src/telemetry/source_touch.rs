//! How long a pool's source has been out of touch with whoever tells it.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Whether what a source has told is what there is. A source that never says counts as in touch.
#[derive(Debug, Default)]
pub struct SourceTouch {
    lost_at: Mutex<Option<Instant>>,
}

impl SourceTouch {
    /// Touch is lost at `now`. True where it was not before.
    pub fn lose(&self, now: Instant) -> bool {
        let mut lost_at = self.lost_at.lock();
        let is_news = lost_at.is_none();
        lost_at.get_or_insert(now);
        is_news
    }

    /// Touch is there again. How long it was lost; none where it was not.
    pub fn regain(&self, now: Instant) -> Option<Duration> {
        let lost_at = self.lost_at.lock().take()?;
        Some(now.saturating_duration_since(lost_at))
    }

    /// Time since touch was lost; none while it is there.
    #[must_use]
    pub fn stale_for(&self, now: Instant) -> Option<Duration> {
        let lost_at = (*self.lost_at.lock())?;
        Some(now.saturating_duration_since(lost_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_counted_from_the_first_loss_to_the_return() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let touch = SourceTouch::default();
        assert_eq!(touch.stale_for(at(1)), None);
        assert_eq!(touch.regain(at(1)), None);
        assert!(touch.lose(at(2)));
        assert!(!touch.lose(at(5)));
        assert_eq!(touch.stale_for(at(2)), Some(Duration::ZERO));
        assert_eq!(touch.stale_for(at(9)), Some(Duration::from_secs(7)));
        assert_eq!(touch.regain(at(10)), Some(Duration::from_secs(8)));
        assert_eq!(touch.stale_for(at(11)), None);
        assert!(touch.lose(at(12)));
        // Whoever asks may have taken the time before.
        assert_eq!(touch.stale_for(at(11)), Some(Duration::ZERO));
    }
}
