//! What the prefix index costs per request: a lookup before the choice, an insertion after it.
#![allow(clippy::print_stdout, reason = "bytes per block are a result as well")]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use warmgate_routing::block::BlockHash;
use warmgate_routing::endpoint::EndpointId;
use warmgate_routing::prefix::{IndexLimits, PrefixIndex};
use warmgate_routing::units::Blocks;

/// Blocks of the system prompt that every endpoint holds.
const SHARED: usize = 100;
/// Blocks of a conversation at its 20th turn: 100k tokens at 64 per block.
const GROWN: usize = 1_600;
const TURNS: usize = 20;
/// Blocks that each of these turns added.
const PER_TURN: usize = 20;
/// Endpoints asked for beside the holders, and holders wanted.
const CANDIDATES: usize = 8;

fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// A prompt that starts with the shared system prompt.
fn prompt(conversation: u64, blocks: usize) -> Vec<BlockHash> {
    let tag = |at: usize| if at < SHARED { 0 } else { conversation + 1 };
    (0..blocks)
        .map(|at| BlockHash(mixed((tag(at) << 32) | at as u64)))
        .collect()
}

/// Every endpoint holds the system prompt and three grown conversations.
fn filled(endpoints: u32) -> PrefixIndex {
    let index = PrefixIndex::new(IndexLimits::default());
    for endpoint in 0..endpoints {
        index.set_capacity(EndpointId(endpoint), Blocks(1_000_000));
    }
    for conversation in 0..u64::from(endpoints) * 3 {
        let endpoint = EndpointId((conversation % u64::from(endpoints)) as u32);
        let grown = prompt(conversation, GROWN);
        for turn in 0..TURNS {
            index.insert(&grown[..GROWN - (TURNS - 1 - turn) * PER_TURN], endpoint);
        }
    }
    let stats = index.stats();
    assert_eq!(stats.evicted_for_bytes, 0);
    println!(
        "{endpoints} endpoints: {} nodes, {} holdings, {:.2} bytes per block",
        stats.nodes,
        stats.holdings,
        stats.bytes as f64 / stats.blocks as f64,
    );
    index
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("prefix_lookup");
    for endpoints in [8, 64, 1_000] {
        let index = filled(endpoints);
        let also: Vec<_> = (0..CANDIDATES as u64)
            .map(|at| EndpointId((mixed(at) % u64::from(endpoints)) as u32))
            .collect();
        for (case, blocks) in [("grown", GROWN), ("system_prompt_only", SHARED)] {
            // Some hundred conversations in turn: what is looked up is not what was just in cache.
            let prompts: Vec<_> = (0..u64::from(endpoints) * 3)
                .map(|at| prompt(at, blocks))
                .collect();
            let mut at = 0_usize;
            group.bench_function(BenchmarkId::new(case, endpoints), |bench| {
                bench.iter(|| {
                    at = at.wrapping_add(1);
                    let prompt = &prompts[at % prompts.len()];
                    index.matches(black_box(prompt), &also, CANDIDATES, mixed(at as u64))
                });
            });
        }
    }
    group.finish();
}

fn insert(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("prefix_insert");
    for endpoints in [8, 64, 1_000] {
        let index = filled(endpoints);
        let conversations = u64::from(endpoints) * 3;
        let at_home = |at: u64| EndpointId((at % u64::from(endpoints)) as u32);
        let prompts: Vec<_> = (0..conversations).map(|at| prompt(at, GROWN)).collect();
        let mut at = 0_u64;
        group.bench_function(BenchmarkId::new("refresh", endpoints), |bench| {
            bench.iter(|| {
                at += 1;
                let prompt = &prompts[(at % conversations) as usize];
                index.insert(black_box(prompt), at_home(at % conversations));
            });
        });
        group.bench_function(BenchmarkId::new("next_turn", endpoints), |bench| {
            let grown = prompt(0, GROWN);
            let before = Blocks((GROWN - PER_TURN) as u32);
            bench.iter_batched(
                || index.truncate(&grown, at_home(0), before),
                |()| index.insert(black_box(&grown), at_home(0)),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(
            BenchmarkId::new("new_conversation_at_capacity", endpoints),
            |bench| {
                index.set_capacity(at_home(0), index.occupancy(at_home(0)));
                let mut conversation = conversations;
                bench.iter_batched(
                    || {
                        conversation += 1;
                        prompt(conversation, GROWN)
                    },
                    |prompt| index.insert(black_box(&prompt), at_home(0)),
                    BatchSize::PerIteration,
                );
            },
        );
        // The longest the lock is held: every holder of the system prompt gets a second holding.
        group.bench_function(
            BenchmarkId::new("split_system_prompt", endpoints),
            |bench| {
                let system = prompt(0, SHARED);
                bench.iter_batched(
                    || {
                        let index = PrefixIndex::new(IndexLimits::default());
                        for at in 0..endpoints {
                            index.insert(&system, EndpointId(at));
                        }
                        index
                    },
                    |index| {
                        index.insert(&system[..SHARED / 2], EndpointId(0));
                        index
                    },
                    BatchSize::PerIteration,
                );
            },
        );
    }
    group.finish();
}

criterion_group!(benches, lookup, insert);
criterion_main!(benches);
