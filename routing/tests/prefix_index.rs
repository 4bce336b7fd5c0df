//! What the prefix index promises, case by case.

use std::sync::atomic::{AtomicBool, Ordering};

use warmgate_routing::block::BlockHash;
use warmgate_routing::endpoint::EndpointId;
use warmgate_routing::prefix::{DEFAULT_CAPACITY, IndexLimits, PrefixIndex};
use warmgate_routing::units::Blocks;

const A: EndpointId = EndpointId(1);
const B: EndpointId = EndpointId(2);

/// A prompt of one-letter blocks.
fn blocks(text: &str) -> Vec<BlockHash> {
    let mut hash = 0_u64;
    text.bytes()
        .map(|letter| {
            hash = (hash ^ u64::from(letter)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            hash ^= hash >> 32;
            BlockHash(hash)
        })
        .collect()
}

/// A prompt of `count` blocks that shares nothing with those of another `tag`.
fn long(tag: u64, count: usize) -> Vec<BlockHash> {
    (0..count as u64)
        .map(|at| BlockHash((tag << 32 | at).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .collect()
}

#[test]
fn the_oldest_goes_first_and_from_its_end() {
    // Capacity, prompts sent to one endpoint in turn, and what it then holds of which prompt.
    type Case<'a> = (u32, &'a [&'a str], &'a [(&'a str, u32)]);
    let cases: &[Case] = &[
        (6, &["abc", "def"], &[("abc", 3), ("def", 3)]),
        (5, &["abc", "def"], &[("abc", 2), ("def", 3)]),
        (3, &["abc", "def"], &[("abc", 0), ("def", 3)]),
        (2, &["abc", "def"], &[("abc", 0), ("def", 2)]),
        (
            5,
            &["abc", "def", "abc", "gh"],
            &[("abc", 3), ("def", 0), ("gh", 2)],
        ),
        (5, &["abcd", "abxy"], &[("abcd", 3), ("abxy", 4)]),
        (4, &["abcd", "ab", "xy"], &[("abcd", 2), ("xy", 2)]),
        (5, &["abcd", "ab", "xy"], &[("abcd", 3), ("xy", 2)]),
        (4, &["ab", "abcdef"], &[("abcdef", 4)]),
        (0, &["ab"], &[("ab", 0)]),
    ];
    for (capacity, prompts, expected) in cases {
        let index = PrefixIndex::default();
        index.set_capacity(A, Blocks(*capacity));
        for prompt in *prompts {
            index.insert(&blocks(prompt), A);
            index.check_invariants();
        }
        for (prompt, held) in *expected {
            let found = index.held(&blocks(prompt), A).blocks;
            assert_eq!(
                found,
                Blocks(*held),
                "{prompt} of {prompts:?} in {capacity} blocks"
            );
        }
    }
}

#[test]
fn a_prompt_longer_than_the_capacity_keeps_its_leading_blocks() {
    let index = PrefixIndex::default();
    let capacity = DEFAULT_CAPACITY.0 as usize;
    for (count, held) in [(capacity, capacity), (capacity + 1, capacity)] {
        index.insert(&long(count as u64, count), A);
        index.check_invariants();
        assert_eq!(
            index.held(&long(count as u64, count), A).blocks,
            Blocks(held as u32)
        );
        assert_eq!(index.occupancy(A), DEFAULT_CAPACITY);
    }
    assert_eq!(
        index.stats().evicted_for_capacity,
        capacity as u64,
        "all of the first"
    );
}

#[test]
fn a_lowered_capacity_forgets_at_once_and_a_raised_one_keeps_more() {
    let index = PrefixIndex::default();
    // One block each, so that more holdings go than are forgotten under one lock.
    for tag in 0..1_000 {
        index.insert(&long(tag, 1), A);
    }
    index.set_capacity(A, Blocks(10));
    index.check_invariants();
    assert_eq!(index.occupancy(A), Blocks(10));
    assert_eq!(index.held(&long(999, 1), A).blocks, Blocks(1));
    assert_eq!(index.held(&long(989, 1), A).blocks, Blocks::ZERO);
    index.set_capacity(A, Blocks(11));
    index.insert(&long(2_000, 1), A);
    assert_eq!(index.held(&long(990, 1), A).blocks, Blocks(1));
    assert_eq!(index.occupancy(A), Blocks(11));
}

#[test]
fn a_conversation_on_one_endpoint_is_a_few_long_runs() {
    let index = PrefixIndex::default();
    let prompt = long(1, 1_600);
    for turn in 1..=80 {
        index.insert(&prompt[..turn * 20], A);
    }
    assert_eq!(index.stats().nodes, 4, "512 blocks each");
    assert_eq!(index.stats().blocks, 1_600);
    index.insert(&prompt, B);
    assert_eq!(index.stats().blocks, 1_600, "shared by both");
    assert_eq!(index.stats().holdings, 8);
}

#[test]
fn truncating_forgets_the_rest_of_the_chain_and_what_hangs_below() {
    let index = PrefixIndex::default();
    for prompt in ["abcdef", "abcdxy", "abq", "zz"] {
        index.insert(&blocks(prompt), A);
        index.insert(&blocks(prompt), B);
    }
    index.truncate(&blocks("abcdef"), A, Blocks(3));
    index.check_invariants();
    for (prompt, held) in [("abcdef", 3), ("abcdxy", 3), ("abq", 3), ("zz", 2)] {
        assert_eq!(
            index.held(&blocks(prompt), A).blocks,
            Blocks(held),
            "{prompt}"
        );
        assert_eq!(
            index.held(&blocks(prompt), B).blocks,
            Blocks(prompt.len() as u32),
            "{prompt}"
        );
    }
    // Held no further than that, or not at all: nothing to forget.
    for (prompt, keep) in [("abcdef", 3), ("abc", 3), ("abn", 2), ("new", 0), ("", 0)] {
        index.truncate(&blocks(prompt), A, Blocks(keep));
        assert_eq!(index.occupancy(A), Blocks(6), "{prompt}");
    }
    index.truncate(&blocks("a"), A, Blocks::ZERO);
    assert_eq!(index.occupancy(A), Blocks(2));
    index.check_invariants();
}

#[test]
fn truncating_or_removing_more_than_fits_under_one_lock_finishes() {
    let index = PrefixIndex::default();
    for tag in 0..1_000 {
        let prompt = [blocks("s"), long(tag, 1)].concat();
        index.insert(&prompt, A);
        index.insert(&prompt, B);
    }
    index.truncate(&blocks("s"), A, Blocks::ZERO);
    index.check_invariants();
    assert_eq!(index.occupancy(A), Blocks::ZERO);
    index.remove(B);
    index.check_invariants();
    let stats = index.stats();
    assert_eq!((stats.nodes, stats.holdings, stats.blocks), (0, 0, 0));
    assert_eq!(
        (stats.evicted_for_capacity, stats.evicted_for_bytes),
        (0, 0),
        "told to, not forced to"
    );
}

#[test]
fn a_restarted_endpoint_is_cold_and_keeps_its_capacity() {
    let index = PrefixIndex::default();
    // One block each, so that more holdings go than are forgotten under one lock.
    for tag in 0..1_000 {
        index.insert(&long(tag, 1), A);
    }
    index.set_capacity(A, Blocks(600));
    index.forget(A);
    index.check_invariants();
    assert_eq!(index.occupancy(A), Blocks::ZERO);
    index.insert(&long(0, 601), A);
    assert_eq!(index.occupancy(A), Blocks(600));
}

#[test]
fn a_removed_endpoint_is_as_one_never_seen() {
    let index = PrefixIndex::default();
    index.set_capacity(A, Blocks(2));
    index.insert(&blocks("abc"), A);
    index.remove(A);
    assert_eq!(index.occupancy(A), Blocks::ZERO);
    index.insert(&blocks("abc"), A);
    assert_eq!(
        index.held(&blocks("abc"), A).blocks,
        Blocks(3),
        "its capacity was forgotten too"
    );
}

#[test]
fn the_limit_in_bytes_holds_exactly_and_one_byte_less_evicts() {
    let fill = |max_bytes: u64| {
        let index = PrefixIndex::new(IndexLimits { max_bytes });
        for tag in 0..10 {
            index.insert(&long(tag, 400), A);
        }
        index.check_invariants();
        index
    };
    let roomy = fill(1 << 20).stats();
    // A larger limit has larger directories: look for the limit that is met exactly.
    let exact = (roomy.bytes - 8_000..=roomy.bytes)
        .find(|&limit| fill(limit).stats().evicted_for_bytes == 0)
        .expect("what was used with more room is enough");
    assert_eq!(fill(exact).stats().bytes, exact);
    assert_eq!(fill(exact + 1).stats().evicted_for_bytes, 0);
    let short = fill(exact - 1);
    assert_eq!(short.stats().evicted_for_bytes, 400, "the oldest prompt");
    assert_eq!(short.held(&long(0, 400), A).blocks, Blocks::ZERO);
    assert_eq!(short.held(&long(1, 400), A).blocks, Blocks(400));
}

#[test]
fn bytes_are_taken_from_whoever_used_them_least_recently() {
    let index = PrefixIndex::new(IndexLimits { max_bytes: 120_000 });
    index.set_capacity(B, Blocks(1_000_000));
    index.insert(&long(0, 500), A);
    index.insert(&long(1, 500), B);
    for tag in 2.. {
        index.insert(&long(0, 500), A);
        index.insert(&long(tag, 500), B);
        if index.stats().evicted_for_bytes > 0 {
            break;
        }
    }
    assert_eq!(
        index.held(&long(0, 500), A).blocks,
        Blocks(500),
        "old, but in use"
    );
    assert_eq!(index.held(&long(1, 500), B).blocks, Blocks::ZERO);
}

#[test]
fn what_never_fits_is_refused_aloud_and_its_beginning_kept() {
    let index = PrefixIndex::new(IndexLimits { max_bytes: 120_000 });
    index.set_capacity(A, Blocks(100_000));
    index.insert(&long(0, 50_000), A);
    index.check_invariants();
    let held = index.held(&long(0, 50_000), A).blocks;
    assert!(held > Blocks(1_000) && held < Blocks(50_000), "{held}");
    assert_eq!(index.stats().refused, 1);

    let tiny = PrefixIndex::new(IndexLimits { max_bytes: 0 });
    tiny.insert(&long(0, 1), A);
    tiny.set_capacity(A, Blocks(1));
    assert_eq!(tiny.held(&long(0, 1), A).blocks, Blocks::ZERO);
    assert_eq!(tiny.stats().refused, 2);
}

#[test]
fn any_of_equally_deep_holders_may_be_sampled() {
    let index = PrefixIndex::default();
    for endpoint in 0..100 {
        index.insert(&blocks("abc"), EndpointId(endpoint));
    }
    let mut seen = [0_u32; 100];
    for step in 0..1_000 {
        let found = index.matches(&blocks("abcd"), &[], 10, (u64::MAX / 1_000) * step);
        assert_eq!(found.iter().len(), 10);
        found
            .holders()
            .for_each(|endpoint| seen[endpoint.0 as usize] += 1);
    }
    assert!(
        seen.iter().all(|&times| (90..=110).contains(&times)),
        "{seen:?}"
    );
}

#[test]
fn hashes_that_are_no_chain_do_no_harm() {
    let index = PrefixIndex::default();
    let repeated = |count| vec![BlockHash(1); count];
    let mixed: Vec<_> = (0..2_000).map(|at| BlockHash(at * at % 7)).collect();
    for count in [1, 5, 600, 3, 2_000] {
        index.insert(&repeated(count), A);
        index.insert(&mixed[..count], B);
        index.check_invariants();
        index.truncate(&mixed, A, Blocks(count as u32 / 2));
        index.check_invariants();
    }
}

#[test]
fn threads_may_read_and_write_at_once() {
    let index = PrefixIndex::new(IndexLimits { max_bytes: 300_000 });
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3_u32)
            .map(|writer| {
                let index = &index;
                scope.spawn(move || {
                    for at in 0..3_000_u64 {
                        let prompt =
                            [blocks("shared"), long(at % 40, (at % 700) as usize)].concat();
                        let endpoint = EndpointId(at as u32 % 5 + writer);
                        match at % 100 {
                            0 => index.remove(endpoint),
                            1 => index.set_capacity(endpoint, Blocks(at as u32)),
                            2 => index.truncate(&prompt, endpoint, Blocks(7)),
                            _ => {
                                index.insert(&prompt, endpoint);
                            }
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                let prompt = [blocks("shared"), long(3, 100)].concat();
                let found = index.matches(&prompt, &[A], 4, 0);
                assert!(found.deepest() <= Blocks(106));
                assert!(found.iter().all(|(_, held)| held.blocks <= found.deepest()));
            }
        });
        for writer in writers {
            writer.join().expect("a writer panicked");
        }
        is_over.store(true, Ordering::Release);
    });
    index.check_invariants();
}
