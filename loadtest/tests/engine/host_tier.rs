//! The host tier in virtual time: what enters it, what a load costs, what it leaves behind.

use std::time::Duration;

use warmgate_loadtest::engine::{
    BlockHash, EventKind, HostTier, Model, ModelConfig, Request, RequestId, TierFill,
};

use crate::model::drain;

const BLOCK_TOKENS: u64 = 16;
/// Tokens a second over the tier's link, slow enough to be seen beside 15 ms steps.
const LOAD_TOKENS_PER_S: f64 = 1600.0;

fn model(device_blocks: u64, host_blocks: u64, fill: TierFill) -> Model {
    Model::new(ModelConfig {
        block_tokens: BLOCK_TOKENS,
        capacity_blocks: device_blocks,
        host_tier: Some(HostTier {
            capacity_blocks: host_blocks,
            load_tokens_per_s: LOAD_TOKENS_PER_S,
            fill,
        }),
        ..ModelConfig::default()
    })
}

/// `blocks` full blocks of prompt and three tokens more.
fn request(id: u64, family: u64, blocks: u64, output_tokens: u64) -> Request {
    Request {
        id: RequestId(id),
        blocks: chain(family, blocks),
        prompt_tokens: blocks * BLOCK_TOKENS + 3,
        output_tokens,
        priority: 0,
    }
}

fn chain(family: u64, blocks: u64) -> Vec<BlockHash> {
    let ids = family * 1000..family * 1000 + blocks;
    ids.map(BlockHash).collect()
}

/// Runs one request alone, from `at`; returns the time to its first token, and how much of its
/// prompt was found and loaded.
fn run(model: &mut Model, at: Duration, request: Request) -> (Duration, u64, u64) {
    model.submit(at, request).expect("it fits");
    let events = drain(model);
    let EventKind::FirstToken {
        cached_tokens,
        loaded_tokens,
    } = events[0].kind
    else {
        panic!("{events:?}");
    };
    (events[0].at - at, cached_tokens, loaded_tokens)
}

const fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn what_the_device_lacks_is_loaded() {
    for fill in [TierFill::WriteThrough, TierFill::OnEviction] {
        let mut model = model(12, 100, fill);
        let (cold, ..) = run(&mut model, second(0), request(1, 1, 10, 1));
        // Needs 11 of 12 blocks, so at most one of the first prompt stays.
        run(&mut model, second(10), request(2, 2, 10, 1));
        assert_eq!(model.prefix_match(&chain(1, 10)), 1);
        let (warm, cached, loaded) = run(&mut model, second(20), request(3, 1, 10, 1));
        assert_eq!((cached, loaded), (160, 144), "{fill:?}");
        // 144 tokens at 1600 a second, and a step that computes the last three.
        assert!(warm > Duration::from_millis(90 + 15), "{warm:?}");
        assert!(warm < Duration::from_millis(90 + 16), "{warm:?}");
        assert!(cold < warm, "this link is slower than computing");
        let totals = model.counters();
        assert_eq!(totals.prompt_tokens, 3 * 163);
        assert_eq!(totals.prompt_host_tokens, 144);
        assert_eq!(totals.prompt_device_tokens, 16);
        // The device lacked all of the first two prompts, and 147 tokens of the third.
        assert_eq!(totals.host_queries_tokens, 163 + 163 + 147);
        assert_eq!(totals.host_hits_tokens, 144);
        assert_eq!(totals.prefix_queries_tokens, 3 * 163);
    }
}

#[test]
fn a_write_through_tier_holds_what_the_device_holds() {
    let mut model = model(40, 100, TierFill::WriteThrough);
    let mut long = request(1, 1, 10, 30);
    long.blocks = chain(1, 12);
    model.submit(second(0), long).unwrap();
    model.advance(second(0));
    assert_eq!(model.prefix_match(&chain(1, 12)), 10, "scheduled");
    assert_eq!(model.host_blocks(), 0, "the prefill runs");
    drain(&mut model);
    assert_eq!(model.prefix_match(&chain(1, 12)), 12, "answer included");
    assert_eq!(model.host_prefix_match(&chain(1, 12)), 10, "prompt only");
    // The next turn brings the answer's blocks.
    run(&mut model, second(10), request(2, 1, 12, 1));
    assert_eq!(model.host_prefix_match(&chain(1, 12)), 12);
}

#[test]
fn a_tier_as_small_as_the_device_adds_to_it_only_when_filled_on_eviction() {
    let hits = |fill| {
        let mut model = model(22, 22, fill);
        for (at, family) in [1, 2, 3, 1].into_iter().enumerate() {
            let at = second(10 * at as u64);
            run(&mut model, at, request(at.as_secs(), family, 10, 1));
        }
        model.counters().prompt_device_tokens + model.counters().prompt_host_tokens
    };
    assert_eq!(hits(TierFill::WriteThrough), 16 * 2);
    assert_eq!(hits(TierFill::OnEviction), 16 * 10);
}

#[test]
fn a_device_hit_refreshes_a_write_through_tier() {
    let mut model = model(100, 25, TierFill::WriteThrough);
    for (at, family) in [1, 2, 1, 3].into_iter().enumerate() {
        let at = second(10 * at as u64);
        run(&mut model, at, request(at.as_secs(), family, 10, 1));
    }
    let left = [1, 2, 3].map(|family| model.host_prefix_match(&chain(family, 10)));
    assert_eq!(left, [10, 5, 10], "the head of the oldest is left");
}

#[test]
fn a_load_stops_nobody_and_the_link_serves_one_after_another() {
    let mut model = model(40, 100, TierFill::WriteThrough);
    for family in [1, 2] {
        run(&mut model, second(family), request(family, family, 10, 1));
    }
    model.reset_prefix_cache();
    let now = second(10);
    model.submit(now, request(11, 1, 10, 1)).unwrap();
    model.submit(now, request(12, 2, 10, 1)).unwrap();
    model.submit(now, request(13, 3, 1, 4)).unwrap();
    model.advance(now);
    assert_eq!((model.running(), model.waiting()), (3, 0));
    assert_eq!(model.prefix_match(&chain(1, 10)), 0, "not there yet");
    let events = drain(&mut model);
    let first = |id| {
        let event = events
            .iter()
            .find(|event| event.id == RequestId(id))
            .unwrap();
        event.at - now
    };
    let millis = Duration::from_millis;
    assert!(first(13) < millis(20), "computed at once");
    // 160 tokens take 100 ms; the second copy waits for the first.
    assert!((millis(115)..millis(140)).contains(&first(11)));
    assert!((millis(215)..millis(240)).contains(&first(12)));
}

#[test]
fn requests_that_load_the_same_blocks_end_with_one_copy() {
    for fill in [TierFill::WriteThrough, TierFill::OnEviction] {
        let mut model = model(40, 100, fill);
        run(&mut model, second(0), request(1, 1, 10, 1));
        // Evicts the first prompt.
        run(&mut model, second(10), request(2, 2, 38, 1));
        let on_device = model.prefix_match(&chain(1, 10)) as u64;
        assert!(on_device < 10);
        let now = second(20);
        model.submit(now, request(3, 1, 10, 1)).unwrap();
        model.submit(now, request(4, 1, 10, 1)).unwrap();
        drain(&mut model);
        assert_eq!(model.prefix_match(&chain(1, 10)), 10);
        let totals = model.counters();
        assert_eq!(totals.prompt_host_tokens, 2 * 16 * (10 - on_device));
        let left = model.host_prefix_match(&chain(1, 10));
        assert_eq!(left == 0, fill == TierFill::OnEviction);
    }
}

#[test]
fn an_aborted_load_loses_nothing() {
    for fill in [TierFill::WriteThrough, TierFill::OnEviction] {
        let mut model = model(12, 100, fill);
        run(&mut model, second(0), request(1, 1, 10, 1));
        run(&mut model, second(10), request(2, 2, 10, 1));
        let now = second(20);
        model.submit(now, request(3, 1, 10, 1)).unwrap();
        // Too long to run beside it.
        model.submit(now, request(4, 3, 10, 1)).unwrap();
        model.advance(now);
        assert_eq!((model.running(), model.waiting()), (1, 1));
        let later = now + Duration::from_millis(10);
        model.advance(later);
        assert!(model.abort(RequestId(3)));
        model.check_invariants();
        let on_device = model.prefix_match(&chain(1, 10));
        let left = on_device + model.host_prefix_match(&chain(1, 10)[on_device..]);
        assert!(left >= 10, "on one tier or the other");
        let events = drain(&mut model);
        assert_eq!(events[0].id, RequestId(4));
        let first = events[0].at - later;
        assert!(first < Duration::from_millis(30), "admitted at the abort");
    }
}

#[test]
fn resets_clear_one_tier_each_and_a_restart_both() {
    let mut model = model(40, 100, TierFill::WriteThrough);
    run(&mut model, second(0), request(1, 1, 10, 1));
    model.reset_prefix_cache();
    assert_eq!(model.prefix_match(&chain(1, 10)), 0);
    assert_eq!(model.host_prefix_match(&chain(1, 10)), 10);
    model.reset_host_tier();
    assert_eq!(model.host_blocks(), 0);
    run(&mut model, second(10), request(2, 1, 10, 1));
    assert_eq!(model.host_blocks(), 10);
    model.restart(second(20));
    assert_eq!((model.census().shared_idle, model.host_blocks()), (0, 0));
}
