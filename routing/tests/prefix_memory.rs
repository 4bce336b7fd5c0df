//! That the index takes no more memory than it says, and says no more than it was allowed.
#![allow(
    unsafe_code,
    reason = "a global allocator that counts is an unsafe trait"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use warmgate_routing::block::BlockHash;
use warmgate_routing::endpoint::EndpointId;
use warmgate_routing::prefix::{CacheSizes, IndexLimits, PrefixIndex};
use warmgate_routing::units::Blocks;

/// Counts live bytes and their peak. Its `realloc` is the trait's own: allocate, copy, free, so
/// that a copy which a real allocator may or may not need is counted.
struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

// SAFETY: allocation itself is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live =
            LIVE.fetch_add(layout.size() as isize, Ordering::SeqCst) + layout.size() as isize;
        PEAK.fetch_max(live, Ordering::SeqCst);
        // SAFETY: the caller's promises are passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::SeqCst);
        // SAFETY: the caller's promises are passed on unchanged.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const SIZES: CacheSizes = CacheSizes {
    device: Blocks(500),
    total: Blocks(1_000),
    ghosts: Blocks(3_000),
};

/// An index, with what it has really allocated.
struct Watched {
    index: PrefixIndex,
    limit: u64,
    live: isize,
    peak: isize,
}

impl Watched {
    fn new(limit: u64) -> Watched {
        let before = LIVE.load(Ordering::SeqCst);
        let index = PrefixIndex::new(IndexLimits { max_bytes: limit });
        let live = LIVE.load(Ordering::SeqCst) - before;
        Watched {
            index,
            limit,
            live,
            peak: live,
        }
    }

    fn call(&mut self, call: impl FnOnce(&PrefixIndex)) {
        let before = LIVE.load(Ordering::SeqCst);
        PEAK.store(before, Ordering::SeqCst);
        call(&self.index);
        self.peak = self
            .peak
            .max(self.live + PEAK.load(Ordering::SeqCst) - before);
        self.live += LIVE.load(Ordering::SeqCst) - before;
        let accounted = self.index.stats().bytes;
        let really = self.live as u64 + size_of::<PrefixIndex>() as u64;
        assert!(
            really <= accounted,
            "{really} bytes allocated, {accounted} accounted"
        );
        assert!(
            accounted <= self.limit,
            "{accounted} bytes accounted of {}",
            self.limit
        );
        let peak = self.peak as u64 + size_of::<PrefixIndex>() as u64;
        assert!(
            peak <= self.limit,
            "{peak} bytes for a moment, of {}",
            self.limit
        );
    }
}

/// xorshift64 (Marsaglia, 2003).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Blocks that are the same in all conversations of a group, then of a conversation.
fn prompt(group: u64, shared: u64, conversation: u64, own: u64) -> Vec<BlockHash> {
    let hash = |words: [u64; 3]| {
        let mixed = words.iter().fold(7, |hash: u64, &word| {
            let hash = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            hash ^ (hash >> 29)
        });
        BlockHash(mixed)
    };
    let shared = (0..shared).map(|at| hash([group, 0, at]));
    shared
        .chain((0..own).map(|at| hash([group, conversation + 1, at])))
        .collect()
}

// One test, so that no other allocates meanwhile.
#[test]
fn allocates_no_more_than_accounted_and_no_more_than_allowed() {
    for limit in [100_000, 300_000, 1_000_000] {
        long_conversations(limit);
        many_holders_of_short_prompts(limit);
    }
    nothing_but_endpoints();
}

fn long_conversations(limit: u64) {
    let (mut watched, mut dice) = (Watched::new(limit), Dice(limit));
    for at in 0..5_000_u64 {
        let endpoint = EndpointId(dice.below(40) as u32);
        let conversation = dice.below(300);
        let blocks = prompt(
            conversation % 7,
            dice.below(120),
            conversation,
            dice.below(1_600),
        );
        watched.call(|index| match at % 50 {
            0 => index.truncate(&blocks, endpoint, Blocks(50)),
            1 => index.remove(endpoint),
            2 => index.set_sizes(endpoint, SIZES),
            _ => {
                index.insert(&blocks, endpoint);
            }
        });
    }
    assert!(
        watched.index.stats().evicted_for_bytes > 0,
        "the limit was never met"
    );
    watched.index.check_invariants();
    let fixed = Watched::new(limit).index.stats().bytes;
    for endpoint in 0..40 {
        watched.call(|index| index.remove(EndpointId(endpoint)));
    }
    let left = watched.index.stats();
    assert_eq!((left.nodes, left.holdings, left.blocks), (0, 0, 0));
    assert!(
        left.bytes < fixed + 20_000,
        "{} bytes of {fixed} left behind",
        left.bytes
    );
}

fn many_holders_of_short_prompts(limit: u64) {
    let (mut watched, mut dice) = (Watched::new(limit), Dice(limit));
    for _ in 0..30_000_u64 {
        let endpoint = EndpointId(dice.below(500) as u32);
        let blocks = prompt(0, 20, dice.below(2_000), dice.below(6));
        watched.call(|index| {
            index.insert(&blocks, endpoint);
        });
    }
    assert!(
        watched.index.stats().evicted_for_bytes > 0,
        "the limit was never met"
    );
}

fn nothing_but_endpoints() {
    let mut watched = Watched::new(100_000);
    for endpoint in 0..10_000 {
        watched.call(|index| index.set_capacity(EndpointId(endpoint), Blocks(10)));
    }
    assert!(watched.index.stats().refused > 0);
}
