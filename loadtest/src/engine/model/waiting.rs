//! Requests that are not admitted yet: those whose time has not come in the order of their
//! submission, the others in the order in which they will be admitted.

use std::collections::VecDeque;
use std::time::Duration;

use super::config::Scheduling;
use super::sequence::SequenceSlot;

/// Requests before admission.
#[derive(Debug)]
pub(super) struct WaitingQueue {
    scheduling: Scheduling,
    /// Submitted, but later than the step that was started last.
    coming: VecDeque<Entry>,
    /// Ready to be admitted.
    due: VecDeque<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    slot: SequenceSlot,
    arrived_at: Duration,
    priority: i64,
}

impl WaitingQueue {
    pub(super) fn new(scheduling: Scheduling) -> Self {
        Self {
            scheduling,
            coming: VecDeque::new(),
            due: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.coming.len() + self.due.len()
    }

    pub(super) fn push(&mut self, slot: SequenceSlot, arrived_at: Duration, priority: i64) {
        self.coming.push_back(Entry {
            slot,
            arrived_at,
            priority,
        });
    }

    /// When the next request arrives that has not yet.
    pub(super) fn next_arrival(&self) -> Option<Duration> {
        self.coming.front().map(|entry| entry.arrived_at)
    }

    /// Queues what has arrived by `at`.
    pub(super) fn arrive(&mut self, at: Duration) {
        while let Some(entry) = self.coming.pop_front_if(|entry| entry.arrived_at <= at) {
            let place = match self.scheduling {
                Scheduling::Fcfs => self.due.len(),
                Scheduling::Priority => self
                    .due
                    .partition_point(|other| other.priority <= entry.priority),
            };
            self.due.insert(place, entry);
        }
    }

    /// Who is to be admitted first.
    pub(super) fn first(&self) -> Option<SequenceSlot> {
        self.due.front().map(|entry| entry.slot)
    }

    pub(super) fn pop_first(&mut self) {
        self.due.pop_front();
    }

    pub(super) fn remove(&mut self, slot: SequenceSlot) {
        self.coming.retain(|entry| entry.slot != slot);
        self.due.retain(|entry| entry.slot != slot);
    }
}
