//! Lines between the requests and the writer: bounded, and emptied at once.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::line::Line;

/// Bounded queue with many writers and one reader.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    has_news: Condvar,
    lines_max: usize,
    interval: Duration,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    is_closed: bool,
}

/// The queue is full or closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl Queue {
    pub(super) fn new(lines_max: usize, interval: Duration) -> Queue {
        Queue {
            state: Mutex::default(),
            has_news: Condvar::new(),
            lines_max,
            interval,
        }
    }

    /// Adds a line; the reader is woken only where the queue is half full.
    pub(super) fn push(&self, line: Line) -> Result<(), Lost> {
        let mut state = self.state.lock();
        if state.is_closed || state.lines.len() >= self.lines_max {
            return Err(Lost);
        }
        state.lines.push(line);
        if state.lines.len() == self.lines_max.div_ceil(2) {
            self.has_news.notify_one();
        }
        Ok(())
    }

    /// Everything since the last call, after a pause in which lines gather; none when the queue is
    /// closed and empty.
    pub(super) fn take(&self) -> Option<Vec<Line>> {
        let mut state = self.state.lock();
        loop {
            let is_half_full = state.lines.len() >= self.lines_max.div_ceil(2);
            if !state.is_closed && !is_half_full {
                self.has_news.wait_for(&mut state, self.interval);
            }
            if !state.lines.is_empty() {
                return Some(std::mem::take(&mut state.lines));
            }
            if state.is_closed {
                return None;
            }
        }
    }

    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.has_news.notify_one();
    }
}
