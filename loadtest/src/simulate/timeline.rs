//! What is going to happen, in order of time; equal times in the order in which they were planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use warmgate_routing::exchange::Letter;

use super::contender::{EndpointIx, RequestIx};

/// Something that will happen.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// A request is due.
    Arrival(RequestIx),
    /// An engine has something to do, unless it has been given a later alarm since.
    Alarm { endpoint: EndpointIx, number: u64 },
    /// A metrics page is read.
    Scrape(EndpointIx),
    /// The fault of that number begins.
    FaultBegins(usize),
    /// And ends.
    FaultEnds(usize),
    /// A letter reaches a replica.
    Letter { to: usize, letter: Box<Letter> },
}

struct Entry {
    at: Duration,
    number: u64,
    happening: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Entry {
    fn key(&self) -> (Duration, u64) {
        (self.at, self.number)
    }
}

/// A queue by time.
#[derive(Default)]
pub(super) struct Timeline {
    heap: BinaryHeap<Reverse<Entry>>,
    planned: u64,
}

impl Timeline {
    pub(super) fn plan(&mut self, at: Duration, happening: Happening) {
        let number = self.planned;
        self.planned += 1;
        self.heap.push(Reverse(Entry {
            at,
            number,
            happening,
        }));
    }

    pub(super) fn next(&mut self) -> Option<(Duration, Happening)> {
        let Reverse(entry) = self.heap.pop()?;
        Some((entry.at, entry.happening))
    }
}
