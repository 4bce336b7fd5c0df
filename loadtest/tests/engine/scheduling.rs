//! The scheduler's flags in virtual time: who goes first, how much of a long prompt a step takes,
//! what a restart leaves.

use std::time::Duration;

use warmgate_loadtest::engine::{
    BlockHash, Event, EventKind, Model, ModelConfig, Request, RequestId, Scheduling,
};

use crate::model::drain;

fn request(id: u64, tokens: u64, output_tokens: u64) -> Request {
    Request {
        id: RequestId(id),
        blocks: (0..tokens / 16)
            .map(|index| BlockHash(id * 1000 + index))
            .collect(),
        prompt_tokens: tokens,
        output_tokens,
        priority: 0,
    }
}

/// Ids in the order of their ends.
fn ends(events: &[Event]) -> Vec<u64> {
    let ends = events
        .iter()
        .filter(|event| event.kind == EventKind::Finished);
    ends.map(|event| event.id.0).collect()
}

#[test]
fn priority_orders_those_who_wait_and_stops_nobody() {
    let run = |scheduling| {
        let mut model = Model::new(ModelConfig {
            max_seqs: 1,
            scheduling,
            ..ModelConfig::default()
        });
        for (id, priority) in [(1, 9), (2, 5), (3, -3), (4, 5), (5, -3)] {
            let request = Request {
                priority,
                ..request(id, 32, 2)
            };
            model.submit(Duration::ZERO, request).unwrap();
            model.advance(Duration::ZERO);
        }
        ends(&drain(&mut model))
    };
    assert_eq!(run(Scheduling::Fcfs), [1, 2, 3, 4, 5]);
    // The first runs before anybody else is there.
    assert_eq!(run(Scheduling::Priority), [1, 3, 5, 2, 4]);
}

#[test]
fn a_long_prompt_leaves_the_rest_of_the_step_to_others() {
    let first_tokens = |long_prefill_tokens| {
        let mut model = Model::new(ModelConfig {
            max_batched_tokens: 1000,
            long_prefill_tokens,
            ..ModelConfig::default()
        });
        model.submit(Duration::ZERO, request(1, 2000, 1)).unwrap();
        model.submit(Duration::ZERO, request(2, 100, 1)).unwrap();
        (ends(&drain(&mut model)), model.counters().steps)
    };
    assert_eq!(first_tokens(None), (vec![1, 2], 3));
    assert_eq!(first_tokens(Some(1000)), (vec![1, 2], 3));
    assert_eq!(first_tokens(Some(500)), (vec![2, 1], 4));
}

#[test]
fn without_token_events_times_are_the_same() {
    let run = |token_events| {
        let mut model = Model::new(ModelConfig {
            token_events,
            ..ModelConfig::default()
        });
        model.submit(Duration::ZERO, request(1, 100, 5)).unwrap();
        model.submit(Duration::ZERO, request(2, 50, 3)).unwrap();
        (drain(&mut model), *model.counters())
    };
    let (mut all, counters) = run(true);
    let (few, same) = run(false);
    all.retain(|event| event.kind != EventKind::Token);
    assert_eq!(all, few);
    assert_eq!(counters, same);
}

#[test]
fn a_restart_loses_what_is_alive_and_cached() {
    let mut model = Model::new(ModelConfig {
        max_seqs: 1,
        ..ModelConfig::default()
    });
    let chain = request(1, 64, 1).blocks;
    model.submit(Duration::ZERO, request(1, 64, 1)).unwrap();
    drain(&mut model);
    assert_eq!(model.prefix_match(&chain), 4);
    let now = Duration::from_secs(1);
    for id in [7, 3] {
        model.submit(now, request(id, 64, 5)).unwrap();
    }
    model.advance(now);
    assert_eq!((model.running(), model.waiting()), (1, 1));
    let later = Duration::from_secs(2);
    assert_eq!(model.restart(later), [RequestId(3), RequestId(7)]);
    model.check_invariants();
    assert_eq!(model.next_wake(), None);
    assert_eq!(model.prefix_match(&chain), 0);
    assert_eq!(model.counters().aborted, 2);
    model.submit(now, request(8, 64, 1)).unwrap();
    let events = drain(&mut model);
    assert!(events[0].at > later, "nothing runs before it is back");
}
