//! How long ago an endpoint's blocks were used, counted in blocks used since: LRU stack distance.
//!
//! An LRU cache of `C` blocks holds a block exactly while fewer than `C` others were used after it
//! (Mattson et al., "Evaluation techniques for storage hierarchies", 1970). So one number for each
//! holding answers for every size of cache. To keep an exact order would cost a tree; as in
//! Mimir (Saemundsson et al., "Dynamic performance profiling of cloud caches", SoCC 2014), uses are
//! stamped, stamps are gathered in buckets, and a bucket may grow with its distance.

use super::slab::heap_bytes;

/// A bucket holds at most this part of the blocks that are younger: half of it, 3 %, is how far a
/// distance may be wrong.
const YOUNGER_PER_BUCKET: u64 = 16;
/// Buckets by which the list grows.
const GROWTH: usize = 32;
/// Blocks of one prompt that share a stamp; stamps also get no finer than nodes.
const BLOCKS_PER_STAMP: usize = 256;
/// Stamps of one prompt, however long.
const STAMPS_MAX: usize = 16;

/// When an endpoint used some blocks, in an order of its own: the larger, the younger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub(super) u32);

impl Stamp {
    /// As a number, for atomics.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The stamp of that number.
    pub(crate) fn from_number(number: u32) -> Stamp {
        Stamp(number)
    }
}

/// The stamps of one prompt: its first blocks are the youngest, as engines evict from the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamps {
    pub(super) youngest: Stamp,
    /// The youngest of what was used before.
    pub(super) before: Stamp,
    blocks_per_stamp: usize,
}

impl Stamps {
    /// Stamps that a prompt of so many blocks needs.
    pub(super) fn count(blocks: usize) -> usize {
        blocks.div_ceil(Self::blocks_per_stamp(blocks)).max(1)
    }

    /// That of what starts after `depth` blocks.
    pub(super) fn at(&self, depth: usize) -> Stamp {
        Stamp(self.youngest.0 - (depth / self.blocks_per_stamp) as u32)
    }

    fn blocks_per_stamp(blocks: usize) -> usize {
        BLOCKS_PER_STAMP.max(blocks.div_ceil(STAMPS_MAX))
    }
}

/// What was last used from `first` on, up to the next bucket's.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    first: Stamp,
    blocks: u32,
}

/// The blocks of one endpoint by the time of their last use.
#[derive(Debug, Default)]
pub(super) struct Ages {
    // Oldest first. Whatever is held has its bucket.
    buckets: Vec<Bucket>,
    youngest: Stamp,
    /// Entries that the list is to have room for when the next stamps are opened.
    wanted: usize,
}

impl Ages {
    pub(super) fn bytes(&self) -> usize {
        heap_bytes::<Bucket>(self.buckets.capacity())
    }

    /// What opening so many stamps would allocate, while the old list is still there.
    pub(super) fn growth_bytes(&mut self, stamps: usize) -> usize {
        self.wanted = 0;
        if self.buckets.len() + stamps <= self.buckets.capacity() {
            return 0;
        }
        self.merge();
        // Room for some more, or else the next prompt would merge again.
        if self.buckets.len() + stamps + GROWTH / 2 <= self.buckets.capacity() {
            return 0;
        }
        self.wanted = self.buckets.len() + stamps + GROWTH;
        heap_bytes::<Bucket>(self.wanted)
    }

    /// Whether there are so many stamps left.
    pub(super) fn has_stamps(&self, stamps: usize) -> bool {
        self.youngest.0 < u32::MAX - stamps as u32
    }

    /// New stamps for a prompt of so many blocks, younger than all before; room for them has been
    /// asked for by [`Ages::growth_bytes`].
    pub(super) fn open(&mut self, blocks: usize) -> Stamps {
        let before = self.youngest;
        if self.wanted > 0 {
            self.buckets.reserve_exact(self.wanted - self.buckets.len());
        }
        for _ in 0..Stamps::count(blocks) {
            self.youngest.0 += 1;
            self.buckets.push(Bucket {
                first: self.youngest,
                blocks: 0,
            });
        }
        Stamps {
            youngest: self.youngest,
            before,
            blocks_per_stamp: Stamps::blocks_per_stamp(blocks),
        }
    }

    pub(super) fn add(&mut self, stamp: Stamp, blocks: u32) {
        let at = self.position(stamp);
        self.buckets[at].blocks += blocks;
    }

    pub(super) fn remove(&mut self, stamp: Stamp, blocks: u32) {
        let at = self.position(stamp);
        self.buckets[at].blocks -= blocks;
    }

    /// Blocks used after those of `stamp`, half of its own bucket counted in.
    pub(super) fn distance(&self, stamp: Stamp) -> u64 {
        let at = self.position(stamp);
        let younger = self.buckets[at + 1..].iter();
        let younger: u64 = younger.map(|bucket| u64::from(bucket.blocks)).sum();
        younger + u64::from(self.buckets[at].blocks / 2)
    }

    /// The oldest stamp that a cache of so many blocks holds: all from there on are held.
    pub(super) fn cutoff(&self, cache_blocks: u64) -> Stamp {
        let mut younger = 0;
        let mut cutoff = Stamp(self.youngest.0.saturating_add(1));
        for bucket in self.buckets.iter().rev() {
            let blocks = u64::from(bucket.blocks);
            if younger + blocks.div_ceil(2) > cache_blocks {
                return cutoff;
            }
            younger += blocks;
            cutoff = bucket.first;
        }
        Stamp(0)
    }

    /// Gives the buckets new first stamps from 1 on. What was stamped within a bucket has the
    /// bucket's new stamp from now on: see [`Ages::renumbered`].
    pub(super) fn renumber(&mut self) {
        for (bucket, number) in self.buckets.iter_mut().zip(1..) {
            bucket.first = Stamp(number);
        }
        self.youngest = Stamp(self.buckets.len() as u32);
    }

    /// What `stamp` becomes when [`Ages::renumber`] is called.
    pub(super) fn renumbered(&self, stamp: Stamp) -> Stamp {
        Stamp(self.position(stamp) as u32 + 1)
    }

    /// The buckets as first stamp and blocks, oldest first.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (Stamp, u32)> {
        self.buckets
            .iter()
            .map(|bucket| (bucket.first, bucket.blocks))
    }

    #[cfg(test)]
    pub(super) fn use_up(&mut self, left: u32) {
        self.youngest = Stamp(u32::MAX - left);
    }

    fn position(&self, stamp: Stamp) -> usize {
        let after = self.buckets.partition_point(|bucket| bucket.first <= stamp);
        debug_assert!(after > 0, "older than the oldest bucket");
        after - 1
    }

    /// Lets buckets absorb their older neighbours as far as the error allows.
    fn merge(&mut self) {
        let mut free = self.buckets.len();
        let (mut younger, mut current): (u64, Option<Bucket>) = (0, None);
        for at in (0..self.buckets.len()).rev() {
            let older = self.buckets[at];
            let Some(bucket) = &mut current else {
                current = Some(older);
                continue;
            };
            let sum = u64::from(bucket.blocks) + u64::from(older.blocks);
            let is_empty = bucket.blocks == 0 || older.blocks == 0;
            if is_empty || sum <= younger / YOUNGER_PER_BUCKET {
                bucket.first = older.first;
                bucket.blocks += older.blocks;
            } else {
                younger += u64::from(bucket.blocks);
                free -= 1;
                self.buckets[free] = *bucket;
                *bucket = older;
            }
        }
        if let Some(bucket) = current.filter(|bucket| bucket.blocks > 0) {
            free -= 1;
            self.buckets[free] = bucket;
        }
        self.buckets.drain(..free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every prompt is new: so many prompts of so many blocks.
    fn filled(prompts: usize, blocks: usize) -> (Ages, Vec<Stamp>) {
        let mut ages = Ages::default();
        let mut stamps = Vec::new();
        for _ in 0..prompts {
            let growth = ages.growth_bytes(Stamps::count(blocks));
            let before = ages.bytes();
            let opened = ages.open(blocks);
            assert!(ages.bytes() == before || ages.bytes() == growth);
            for depth in 0..blocks {
                ages.add(opened.at(depth), 1);
            }
            stamps.push(opened.at(blocks - 1));
        }
        (ages, stamps)
    }

    #[test]
    fn a_distance_is_as_exact_as_promised_with_few_buckets() {
        let (ages, stamps) = filled(50_000, 20);
        for (nth, &stamp) in stamps.iter().rev().enumerate() {
            let exact = nth as f64 * 20.0 + 10.0;
            let error = (ages.distance(stamp) as f64 - exact).abs();
            assert!(error <= 20.0 + exact / 16.0, "{error} at {exact}");
        }
        assert!(ages.buckets.len() < 500, "{}", ages.buckets.len());
    }

    #[test]
    fn a_cutoff_leaves_as_much_as_the_cache_holds() {
        let (ages, stamps) = filled(10_000, 20);
        for cache_blocks in [100_u64, 1_000, 10_000, 100_000] {
            let cutoff = ages.cutoff(cache_blocks);
            let inside = stamps.iter().filter(|&&stamp| stamp >= cutoff).count() * 20;
            let error = (inside as f64 - cache_blocks as f64).abs();
            assert!(error <= 20.0 + cache_blocks as f64 / 16.0, "{error}");
        }
        assert_eq!(ages.cutoff(200_000), Stamp(0), "all of it");
        assert!(ages.cutoff(0) > stamps[9_999], "nothing");
    }

    #[test]
    fn the_end_of_a_long_prompt_is_older_than_its_beginning() {
        let (ages, _) = filled(1, 100_000);
        let opened = Stamps {
            youngest: ages.youngest,
            before: Stamp::default(),
            blocks_per_stamp: Stamps::blocks_per_stamp(100_000),
        };
        assert_eq!(ages.buckets.len(), STAMPS_MAX);
        assert!(ages.distance(opened.at(0)) < 5_000);
        assert!(ages.distance(opened.at(99_999)) > 90_000);
    }

    #[test]
    fn renumbering_keeps_every_distance() {
        let (mut ages, stamps) = filled(1_000, 20);
        let before: Vec<u64> = stamps.iter().map(|&stamp| ages.distance(stamp)).collect();
        let renumbered: Vec<Stamp> = stamps.iter().map(|&stamp| ages.renumbered(stamp)).collect();
        ages.renumber();
        let after: Vec<u64> = renumbered.iter().map(|&at| ages.distance(at)).collect();
        assert_eq!(before, after);
        assert!(ages.youngest.0 < 1_000);
    }
}
