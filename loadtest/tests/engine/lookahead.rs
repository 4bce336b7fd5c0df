//! A simulation that sleeps until the model's next event sees the same as one that watches every
//! step, whatever the flags, and no event comes while it sleeps.

use std::time::Duration;

use proptest::prelude::*;
use warmgate_loadtest::engine::{
    BlockCensus, BlockHash, Counters, Event, EventKind, HostTier, Model, ModelConfig, Request,
    RequestId, Scheduling, TierFill,
};

#[derive(Clone, Debug)]
enum Action {
    Submit {
        family: u64,
        tokens: u64,
        output_tokens: u64,
        /// Whether the answer's blocks have names.
        named: bool,
        priority: i64,
    },
    Abort {
        nth: u64,
    },
    Wait {
        millis: u64,
    },
    Restart,
    ResetPrefixCache,
}

fn action() -> impl Strategy<Value = Action> {
    let submit = (0..4_u64, 1..60_u64, 1..60_u64, any::<bool>(), -1..2_i64);
    prop_oneof![
        8 => submit.prop_map(|(family, tokens, output_tokens, named, priority)| {
            Action::Submit { family, tokens, output_tokens: output_tokens.min(95 - tokens), named, priority }
        }),
        2 => (0..32_u64).prop_map(|nth| Action::Abort { nth }),
        6 => prop_oneof![0..80_u64, 0..3000_u64].prop_map(|millis| Action::Wait { millis }),
        1 => Just(Action::Restart),
        1 => Just(Action::ResetPrefixCache),
    ]
}

fn config() -> impl Strategy<Value = ModelConfig> {
    let tier = (1..60_u64, prop::sample::select(vec![300.0, 5_000.0, 1e9]));
    let tier = (tier, any::<bool>()).prop_map(|((capacity_blocks, load_tokens_per_s), through)| {
        HostTier {
            capacity_blocks,
            load_tokens_per_s,
            fill: match through {
                true => TierFill::WriteThrough,
                false => TierFill::OnEviction,
            },
        }
    });
    let flags = (any::<bool>(), prop::option::of(1..20_u64), 1..6_usize);
    (prop::option::of(tier), flags, 1..6_u64).prop_map(
        |(host_tier, (by_priority, long_prefill_tokens, max_seqs), block_tokens)| ModelConfig {
            block_tokens,
            capacity_blocks: 96_u64.div_ceil(block_tokens),
            max_batched_tokens: 16,
            max_seqs,
            long_prefill_tokens,
            scheduling: match by_priority {
                true => Scheduling::Priority,
                false => Scheduling::Fcfs,
            },
            host_tier,
            ..ModelConfig::default()
        },
    )
}

/// How a driver of the model spends the time between two actions.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pace {
    /// Every step is visited and checked.
    EachStep,
    /// Only what `next_wake` says.
    EachWake,
    /// Not at all.
    Late,
}

#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<Event>,
    counters: Vec<(Counters, BlockCensus, u64)>,
}

fn play_until(model: &mut Model, pace: Pace, now: Duration, events: &mut Vec<Event>) {
    while pace != Pace::Late
        && let Some(wake) = model.next_wake()
        && wake <= now
    {
        let new = model.advance(wake);
        assert!(
            new.iter().all(|event| event.at == wake),
            "{wake:?}: {new:?}"
        );
        events.extend(new);
        if pace == Pace::EachStep {
            model.check_invariants();
        }
    }
    events.extend(model.advance(now));
    model.check_invariants();
}

fn run(config: ModelConfig, actions: &[Action], pace: Pace) -> Outcome {
    let mut model = Model::new(ModelConfig {
        token_events: pace == Pace::EachStep,
        ..config
    });
    let mut now = Duration::ZERO;
    let mut outcome = Outcome {
        events: Vec::new(),
        counters: Vec::new(),
    };
    for (id, action) in actions.iter().enumerate() {
        match *action {
            Action::Submit {
                family,
                tokens,
                output_tokens,
                named,
                priority,
            } => {
                let named_tokens = tokens + if named { output_tokens } else { 0 };
                // One's answer may be another's prompt.
                let names = family * 1000..family * 1000 + named_tokens / config.block_tokens;
                let request = Request {
                    id: RequestId(id as u64),
                    blocks: names.map(BlockHash).collect(),
                    prompt_tokens: tokens,
                    output_tokens,
                    priority,
                };
                model.submit(now, request).expect("it fits");
            }
            Action::Abort { nth } => {
                model.abort(RequestId(nth));
            }
            Action::Wait { millis } => now += Duration::from_millis(millis),
            Action::Restart => {
                model.restart(now);
            }
            Action::ResetPrefixCache => model.reset_prefix_cache(),
        }
        play_until(&mut model, pace, now, &mut outcome.events);
        let seen = (*model.counters(), model.census(), model.host_blocks());
        outcome.counters.push(seen);
    }
    now += Duration::from_secs(3600);
    play_until(&mut model, pace, now, &mut outcome.events);
    assert_eq!((model.running(), model.waiting()), (0, 0), "all have ended");
    outcome
        .events
        .retain(|event| event.kind != EventKind::Token);
    outcome
}

proptest! {
    // What goes wrong here goes wrong rarely.
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn sleeping_until_the_next_event_misses_nothing(
        config in config(),
        actions in prop::collection::vec(action(), 1..60),
    ) {
        let watched = run(config, &actions, Pace::EachStep);
        prop_assert_eq!(&run(config, &actions, Pace::EachWake), &watched);
        prop_assert_eq!(&run(config, &actions, Pace::Late), &watched);
    }
}

#[test]
fn a_long_decode_is_a_few_wakes() {
    let mut model = Model::new(ModelConfig {
        token_events: false,
        ..ModelConfig::default()
    });
    let request = Request {
        id: RequestId(1),
        blocks: Vec::new(),
        prompt_tokens: 100,
        output_tokens: 1000,
        priority: 0,
    };
    model.submit(Duration::ZERO, request).unwrap();
    let mut wakes = 0;
    while let Some(at) = model.next_wake() {
        model.advance(at);
        wakes += 1;
    }
    assert_eq!(model.counters().steps, 1000);
    // Arrival, first token, and 999 steps looked at 512 at a time.
    assert_eq!(wakes, 4);
}

#[test]
fn an_abort_brings_the_next_event_forward() {
    let mut model = Model::new(ModelConfig {
        token_events: false,
        max_seqs: 1,
        ..ModelConfig::default()
    });
    for id in [1, 2] {
        let request = Request {
            id: RequestId(id),
            blocks: Vec::new(),
            prompt_tokens: 10,
            output_tokens: 400,
            priority: 0,
        };
        model.submit(Duration::ZERO, request).unwrap();
    }
    let now = Duration::from_secs(1);
    model.advance(now);
    assert!(model.next_wake().unwrap() > now + Duration::from_secs(1));
    assert!(model.abort(RequestId(1)));
    // Its step runs to the end; only then is the other admitted.
    let mut events = model.advance(now);
    while events.is_empty() {
        let wake = model.next_wake().unwrap();
        assert!(wake < now + Duration::from_millis(40), "{wake:?}");
        events = model.advance(wake);
    }
    assert_eq!(events[0].id, RequestId(2));
}
