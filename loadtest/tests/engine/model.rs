//! The engine model in virtual time: scenarios with known answers, and properties that hold
//! for every sequence of requests and aborts.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use warmgate_loadtest::engine::{
    BlockHash, Event, EventKind, Model, ModelConfig, Request, RequestId, SubmitError,
};

const BLOCK_TOKENS: u64 = 4;

fn config() -> ModelConfig {
    ModelConfig {
        block_tokens: BLOCK_TOKENS,
        capacity_blocks: 24,
        max_batched_tokens: 16,
        max_seqs: 3,
        ..ModelConfig::default()
    }
}

/// A prompt of `tokens` tokens over family `family`: same family, same prefix.
fn request(id: u64, family: u64, tokens: u64, output_tokens: u64) -> Request {
    let blocks = (0..tokens / BLOCK_TOKENS).map(|index| BlockHash(family * 1000 + index));
    Request {
        id: RequestId(id),
        blocks: blocks.collect(),
        prompt_tokens: tokens,
        output_tokens,
        priority: 0,
    }
}

/// Plays until nothing is alive.
pub(crate) fn drain(model: &mut Model) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(at) = model.next_wake() {
        events.extend(model.advance(at));
        model.check_invariants();
    }
    events
}

fn cached(events: &[Event], id: u64) -> u64 {
    let first = events.iter().find_map(|event| match event.kind {
        EventKind::FirstToken { cached_tokens, .. } if event.id == RequestId(id) => {
            Some(cached_tokens)
        }
        _ => None,
    });
    first.unwrap_or_else(|| panic!("request {id} has no first token"))
}

#[test]
fn a_repeated_prompt_hits_all_full_blocks_but_the_last_token() {
    // Lengths just below, at and above a block: the hit never covers the whole prompt.
    for (tokens, expected) in [(7, 4), (8, 4), (9, 8), (3, 0), (4, 0), (5, 4)] {
        let mut model = Model::new(config());
        model
            .submit(Duration::ZERO, request(1, 1, tokens, 1))
            .unwrap();
        assert_eq!(cached(&drain(&mut model), 1), 0);
        model
            .submit(Duration::from_secs(1), request(2, 1, tokens, 1))
            .unwrap();
        assert_eq!(cached(&drain(&mut model), 2), expected, "{tokens} tokens");
    }
}

#[test]
fn a_long_prompt_is_prefilled_in_chunks_of_the_budget() {
    let mut model = Model::new(config());
    model.submit(Duration::ZERO, request(1, 1, 40, 1)).unwrap();
    let events = drain(&mut model);
    assert_eq!(model.counters().steps, 3, "40 tokens at 16 a step");
    // Three times 15 ms, 40 tokens at 65 us, and 0 + 1 + .. + 39 tokens of context at 1 ns.
    assert_eq!(events[0].at, Duration::from_nanos(47_600_780));
}

#[test]
fn decodes_go_on_while_another_prompt_is_prefilled() {
    let mut model = Model::new(config());
    model.submit(Duration::ZERO, request(1, 1, 4, 4)).unwrap();
    model.submit(Duration::ZERO, request(2, 2, 40, 1)).unwrap();
    let events = drain(&mut model);
    let order: Vec<u64> = events.iter().map(|event| event.id.0).collect();
    // Request 1 gets a token in each of its four steps (the last with its end); the prompt of
    // request 2 takes 12 + 15 + 13 tokens of the first three.
    assert_eq!(order, [1, 1, 1, 2, 2, 1, 1]);
}

#[test]
fn blocks_are_visible_as_soon_as_they_are_scheduled() {
    let mut model = Model::new(config());
    model.submit(Duration::ZERO, request(1, 1, 32, 8)).unwrap();
    assert_eq!(model.prefix_match(&request(9, 1, 32, 1).blocks), 0);
    model.advance(Duration::ZERO);
    assert_eq!(model.prefix_match(&request(9, 1, 32, 1).blocks), 4);
    // An abort before the step has ended does not take them back.
    assert!(model.abort(RequestId(1)));
    assert_eq!(model.prefix_match(&request(9, 1, 32, 1).blocks), 4);
    assert!(drain(&mut model).is_empty());
}

#[test]
fn two_equal_prompts_in_one_step_share() {
    let mut model = Model::new(config());
    model.submit(Duration::ZERO, request(1, 1, 14, 1)).unwrap();
    model.submit(Duration::ZERO, request(2, 1, 14, 1)).unwrap();
    let events = drain(&mut model);
    assert_eq!((cached(&events, 1), cached(&events, 2)), (0, 12));
    assert_eq!(model.counters().steps, 1, "14 + 2 tokens of 16");
}

#[test]
fn generated_blocks_stay_only_when_they_are_named() {
    let named = Request {
        output_tokens: 9,
        ..request(1, 1, 16, 9)
    };
    let chain = request(0, 1, 24, 1).blocks;
    let mut model = Model::new(config());
    model.submit(Duration::ZERO, named.clone()).unwrap();
    drain(&mut model);
    assert_eq!(model.prefix_match(&chain), 2 + 2);
    let mut model = Model::new(config());
    model
        .submit(
            Duration::ZERO,
            Request {
                blocks: chain.clone(),
                ..named
            },
        )
        .unwrap();
    drain(&mut model);
    assert_eq!(
        model.prefix_match(&chain),
        4 + 2,
        "16 + 9 - 1 tokens have their KV computed"
    );
}

#[test]
fn requests_wait_for_room_and_for_a_sequence_slot() {
    let mut model = Model::new(config());
    model.submit(Duration::ZERO, request(1, 1, 60, 4)).unwrap();
    model.submit(Duration::ZERO, request(2, 2, 60, 4)).unwrap();
    model.advance(Duration::ZERO);
    assert_eq!(
        (model.running(), model.waiting()),
        (1, 1),
        "16 + 16 blocks of 24"
    );
    assert!(model.abort(RequestId(1)));
    model.check_invariants();
    let wake = model.next_wake().unwrap();
    model.advance(wake);
    assert_eq!((model.running(), model.waiting()), (1, 0));

    let mut model = Model::new(config());
    for id in 0..4 {
        model.submit(Duration::ZERO, request(id, id, 2, 4)).unwrap();
    }
    model.advance(Duration::ZERO);
    assert_eq!(
        (model.running(), model.waiting()),
        (3, 1),
        "three sequences at most"
    );
    drain(&mut model);
    assert_eq!(model.counters().finished, 4);
}

#[test]
fn what_cannot_fit_is_refused_at_the_limit() {
    let mut model = Model::new(config());
    let now = Duration::ZERO;
    assert_eq!(model.submit(now, request(1, 1, 95, 1)), Ok(()));
    assert_eq!(
        model.submit(now, request(2, 1, 96, 1)),
        Err(SubmitError::TooLong {
            needed: 25,
            capacity: 24
        })
    );
    assert_eq!(
        model.submit(now, request(3, 1, 0, 1)),
        Err(SubmitError::Empty)
    );
    assert_eq!(
        model.submit(now, request(3, 1, 1, 0)),
        Err(SubmitError::Empty)
    );
    assert_eq!(
        model.submit(now, request(1, 1, 8, 1)),
        Err(SubmitError::DuplicateId(RequestId(1)))
    );
    assert_eq!(drain(&mut model).len(), 2);
}

#[test]
fn a_late_call_plays_every_step_at_its_own_time() {
    let mut model = Model::new(config());
    model.submit(Duration::ZERO, request(1, 1, 4, 3)).unwrap();
    let late = model.advance(Duration::from_secs(60));
    let mut other = Model::new(config());
    other.submit(Duration::ZERO, request(1, 1, 4, 3)).unwrap();
    assert_eq!(late, drain(&mut other));
}

#[derive(Clone, Debug)]
enum Action {
    Submit {
        family: u64,
        tokens: u64,
        output_tokens: u64,
    },
    Abort {
        nth: usize,
    },
    Wait {
        millis: u64,
    },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0..4_u64, 1..80_u64, 1..12_u64).prop_map(|(family, tokens, output_tokens)| {
            Action::Submit { family, tokens, output_tokens }
        }),
        1 => (0..32_usize).prop_map(|nth| Action::Abort { nth }),
        3 => (0..80_u64).prop_map(|millis| Action::Wait { millis }),
    ]
}

/// What a request has shown so far.
#[derive(Default)]
struct Seen {
    tokens: u64,
    finished: bool,
    aborted: bool,
}

fn book(seen: &mut HashMap<u64, Seen>, events: &[Event], requests: &[Request]) {
    for event in events {
        let entry = seen
            .get_mut(&event.id.0)
            .expect("an event belongs to a request");
        assert!(
            !entry.finished && !entry.aborted,
            "nothing comes after the end"
        );
        let request = &requests[event.id.0 as usize];
        match event.kind {
            EventKind::FirstToken { cached_tokens, .. } => {
                assert_eq!(entry.tokens, 0);
                assert!(
                    cached_tokens < request.prompt_tokens,
                    "one token is always computed"
                );
                assert_eq!(cached_tokens % BLOCK_TOKENS, 0, "hits are whole blocks");
                entry.tokens = 1;
            }
            EventKind::Token => {
                assert!(entry.tokens > 0);
                entry.tokens += 1;
            }
            EventKind::Finished => {
                assert_eq!(entry.tokens, request.output_tokens);
                entry.finished = true;
            }
        }
    }
    assert!(
        events.is_sorted_by_key(|event| event.at),
        "events come in order of time"
    );
}

proptest! {
    #[test]
    fn every_request_ends_and_every_block_is_accounted_for(
        actions in prop::collection::vec(action(), 1..60),
    ) {
        let mut model = Model::new(config());
        let mut now = Duration::ZERO;
        let mut requests: Vec<Request> = Vec::new();
        let mut seen: HashMap<u64, Seen> = HashMap::new();
        for action in actions {
            match action {
                Action::Submit { family, tokens, output_tokens } => {
                    let id = requests.len() as u64;
                    let new = request(id, family, tokens, output_tokens);
                    prop_assert!(model.submit(now, new.clone()).is_ok());
                    requests.push(new);
                    seen.insert(id, Seen::default());
                }
                Action::Abort { nth } => {
                    let id = nth as u64;
                    let alive = seen.get(&id).is_some_and(|one| !one.finished && !one.aborted);
                    prop_assert_eq!(model.abort(RequestId(id)), alive);
                    if let Some(one) = seen.get_mut(&id).filter(|_| alive) {
                        one.aborted = true;
                    }
                }
                Action::Wait { millis } => now += Duration::from_millis(millis),
            }
            book(&mut seen, &model.advance(now), &requests);
            model.check_invariants();
            for family in 0..4 {
                let chain = request(0, family, 80, 1).blocks;
                let present = chain.iter().filter(|block| model.prefix_match(&[**block]) == 1);
                prop_assert_eq!(present.count(), model.prefix_match(&chain), "no holes in a chain");
            }
        }
        book(&mut seen, &drain(&mut model), &requests);
        prop_assert!(seen.values().all(|one| one.finished != one.aborted));
        let census = model.census();
        prop_assert_eq!((census.private, census.reserved, census.shared_pinned), (0, 0, 0));
    }
}
