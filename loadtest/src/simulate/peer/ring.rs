//! Consistent hashing: endpoints on a ring, and who comes first from a key on.

use xxhash_rust::xxh3::xxh3_64;

use super::super::contender::EndpointIx;
use super::scene::{Candidate, Scene};

/// Points of each endpoint on the ring: kubeai's default (`replication`).
const POINTS: u64 = 256;

#[derive(Debug)]
pub(super) struct Ring {
    /// Sorted.
    points: Vec<(u64, EndpointIx)>,
}

impl Ring {
    pub(super) fn new(endpoints: usize) -> Ring {
        let point = |endpoint: usize, number: u64| {
            // Longer than a key: no small key can be hashed onto a point itself.
            let name = [endpoint as u64, number].map(u64::to_le_bytes).concat();
            let place = xxh3_64(&name);
            (place, EndpointIx(endpoint))
        };
        let mut points: Vec<_> = (0..endpoints)
            .flat_map(|endpoint| (0..POINTS).map(move |number| point(endpoint, number)))
            .collect();
        points.sort_unstable();
        Ring { points }
    }

    /// The candidates in the order in which the ring comes upon them from `key` on; with repeats.
    pub(super) fn from<'a>(
        &'a self,
        key: u64,
        scene: &'a Scene<'_>,
    ) -> impl Iterator<Item = &'a Candidate> {
        let place = xxh3_64(&key.to_le_bytes());
        let start = self.points.partition_point(|&(point, _)| point < place);
        let (before, after) = self.points.split_at(start);
        after.iter().chain(before).filter_map(|&(_, endpoint)| {
            let candidates = &scene.candidates;
            let found = candidates.binary_search_by_key(&endpoint, |one| one.endpoint);
            found.ok().map(|position| &candidates[position])
        })
    }

    /// The first of them.
    pub(super) fn home(&self, key: u64, scene: &Scene<'_>) -> EndpointIx {
        let first = self.from(key, scene).next();
        first.expect("invariant: somebody takes requests").endpoint
    }
}
