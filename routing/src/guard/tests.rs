//! A route's guard as a whole: weights, trips, and what outlives a process.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::units::Tokens;

const GOOD: Observation = Observation::Begun {
    ttft: Duration::from_millis(100),
    is_stream: true,
    uncached: Tokens(100),
};
const BAD: Observation = Observation::Failed(ErrorClass::Connect);

fn start() -> Moment {
    #[expect(clippy::disallowed_methods, reason = "any start will do")]
    let steady = Instant::now();
    Moment {
        steady,
        unix_ms: 1_800_000_000_000,
    }
}

fn plan(weights: &[(&str, u32)], steps: &[(u32, u64)], on_breach: OnBreach) -> GuardPlan {
    let target = |&(name, weight): &(&str, u32)| GuardedTarget {
        name: name.into(),
        weight,
        serves: format!("pool of {name}"),
    };
    let step = |&(weight, hold_s): &(u32, u64)| Step { weight, hold_s };
    GuardPlan {
        targets: weights.iter().map(target).collect(),
        stable: 0,
        settings: GuardSettings {
            on_breach,
            ..GuardSettings::default()
        },
        steps: steps.iter().map(step).collect(),
    }
}

fn stepped() -> GuardPlan {
    let steps = [(1, 60), (5, 60), (100, 60)];
    plan(&[("stable", 90), ("canary", 10)], &steps, OnBreach::Out)
}

fn weights(guard: &RouteGuard) -> Vec<u32> {
    let places = 0..guard.plan().targets.len();
    places.map(|place| guard.weight(place)).collect()
}

fn pass(now: &mut Moment, seconds: u64) {
    now.steady += Duration::from_secs(seconds);
    now.unix_ms += seconds * 1_000;
}

/// Enough good requests for a verdict each second.
fn fine(guard: &RouteGuard, now: &mut Moment, seconds: u64) -> Vec<GuardEvent> {
    let mut events = Vec::new();
    for _ in 0..seconds {
        pass(now, 1);
        for place in [0, 1] {
            for _ in 0..50 {
                guard.observe(place, &GOOD, now.steady, *now);
            }
        }
        events.extend(guard.check(*now));
    }
    events
}

fn fail(guard: &RouteGuard, place: usize, now: Moment) -> Vec<GuardEvent> {
    let observe = |_| guard.observe(place, &BAD, now.steady, now);
    (0..20).filter_map(observe).collect()
}

#[test]
fn without_steps_a_trip_takes_one_weight_and_leaves_the_others() {
    let now = start();
    let three = [("stable", 70), ("canary", 20), ("other", 10)];
    let guard = RouteGuard::new(plan(&three, &[], OnBreach::Out), now);
    assert_eq!(weights(&guard), [70, 20, 10]);
    let events = fail(&guard, 1, now);
    assert_eq!(events.len(), 1);
    assert_eq!(&*events[0].target, "canary");
    assert_eq!(weights(&guard), [70, 0, 10]);
    assert_eq!(fail(&guard, 0, now), [], "stable has nobody to yield to");
    assert_eq!(weights(&guard), [70, 0, 10]);
    assert_eq!(guard.weight(3), 0, "no such target");
    assert_eq!(guard.observe(3, &BAD, now.steady, now), None);
}

#[test]
fn stable_takes_everything_where_nobody_else_is_left() {
    let now = start();
    let dark = plan(&[("stable", 0), ("canary", 10)], &[], OnBreach::Out);
    let guard = RouteGuard::new(dark, now);
    assert_eq!(weights(&guard), [0, 10]);
    fail(&guard, 1, now);
    assert_eq!(weights(&guard), [1, 0]);
}

#[test]
fn a_reset_gives_the_weight_back_and_forgets_what_was_under_way() {
    let mut now = start();
    let guard = RouteGuard::new(stepped(), now);
    let sent = now.steady;
    fail(&guard, 1, now);
    assert_eq!(weights(&guard), [100, 0]);
    pass(&mut now, 5);
    assert_eq!(guard.reset("stable", now), None);
    assert_eq!(guard.reset("nobody", now), None);
    let event = guard.reset("canary", now).unwrap();
    assert_eq!(event.event, RolloutEvent::Reset { weight: 1 });
    for _ in 0..100 {
        let straggler = Observation::Failed(ErrorClass::MidStream);
        assert_eq!(guard.observe(1, &straggler, sent, now), None);
    }
    assert_eq!(weights(&guard), [99, 1]);
}

#[test]
fn a_report_shows_what_was_seen_and_what_it_means() {
    let mut now = start();
    let guard = RouteGuard::new(stepped(), now);
    fine(&guard, &mut now, 1);
    let report = guard.report(now.steady);
    let [stable, canary] = report.as_slice() else {
        panic!("two targets");
    };
    assert_eq!((stable.weight, canary.weight), (99, 1));
    assert_eq!(stable.tally.counts.requests, 50);
    assert!(stable.canary.is_none());
    let (verdict, progress) = canary.canary.clone().unwrap();
    assert_eq!(verdict, Verdict::Fine { is_compared: true });
    assert_eq!((progress.step, progress.held_ms), (0, 1_000));
}

fn reread(guard: &RouteGuard) -> SavedGuard {
    let written = serde_json::to_string_pretty(&guard.save()).unwrap();
    let read: SavedGuard = serde_json::from_str(&written).unwrap();
    assert_eq!(read, guard.save());
    read
}

#[test]
fn a_restart_in_the_middle_of_a_hold_goes_on_there() {
    let mut now = start();
    let guard = RouteGuard::new(stepped(), now);
    fine(&guard, &mut now, 60 + 40);
    assert_eq!(weights(&guard), [95, 5]);
    let saved = reread(&guard);
    pass(&mut now, 3_600);
    let next = RouteGuard::new(stepped(), now);
    assert_eq!(weights(&next), [99, 1]);
    next.resume(&saved, now).unwrap();
    assert_eq!(weights(&next), [95, 5]);
    assert_eq!(fine(&next, &mut now, 19), []);
    assert_eq!(fine(&next, &mut now, 1).len(), 1);
    assert_eq!(weights(&next), [0, 100]);
}

#[test]
fn a_trip_outlives_the_process() {
    let mut now = start();
    let guard = RouteGuard::new(stepped(), now);
    fail(&guard, 1, now);
    let saved = reread(&guard);
    pass(&mut now, 10);
    let next = RouteGuard::new(stepped(), now);
    next.resume(&saved, now).unwrap();
    assert_eq!(weights(&next), [100, 0]);
    assert_eq!(fine(&next, &mut now, 200), []);
}

#[test]
fn another_plan_begins_anew() {
    let now = start();
    let guard = RouteGuard::new(stepped(), now);
    fail(&guard, 1, now);
    let saved = reread(&guard);
    type Change = fn(&mut GuardPlan);
    let changes: [Change; 5] = [
        |plan| plan.settings.error_rate_max = 0.06,
        |plan| plan.steps[2].hold_s += 1,
        |plan| plan.settings.on_breach = OnBreach::LastGoodStep,
        |plan| plan.targets[1].serves = "llama-c".to_owned(),
        |plan| plan.targets[0].weight = 91,
    ];
    for change in changes {
        let mut other = stepped();
        change(&mut other);
        let next = RouteGuard::new(other, now);
        assert_eq!(next.resume(&saved, now), Err(NotResumed::OtherPlan));
        assert_eq!(weights(&next), [99, 1]);
    }
}

#[test]
fn a_damaged_state_changes_nothing() {
    let now = start();
    let guard = RouteGuard::new(stepped(), now);
    for (name, step) in [("canary", 3), ("nobody", 0), ("stable", 0)] {
        let mut saved = guard.save();
        let progress = Progress {
            step,
            ..Progress::default()
        };
        saved.canaries.insert(name.to_owned(), progress);
        assert_eq!(guard.resume(&saved, now), Err(NotResumed::Impossible));
        assert_eq!(weights(&guard), [99, 1]);
    }
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Fine,
    Fail,
    Idle,
    Reset,
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => Just(Act::Fine),
        2 => Just(Act::Fail),
        3 => Just(Act::Idle),
        1 => Just(Act::Reset),
        1 => Just(Act::Restart),
    ];
    proptest::collection::vec(act, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Weights rise only while the canary is fine, never after a trip without a reset, and are those
    /// of a step or none.
    #[test]
    fn weights_only_move_as_they_may(acts in acts(), is_kept in any::<bool>()) {
        let on_breach = if is_kept { OnBreach::LastGoodStep } else { OnBreach::Out };
        let mut plan = stepped();
        plan.settings.on_breach = on_breach;
        let mut now = start();
        let mut guard = RouteGuard::new(plan.clone(), now);
        let mut is_tripped = false;
        for act in acts {
            let before = guard.weight(1);
            let mut is_fine = matches!(act, Act::Fine);
            match act {
                Act::Fine => {
                    pass(&mut now, 29);
                    fine(&guard, &mut now, 1);
                }
                Act::Fail => is_tripped |= !fail(&guard, 1, now).is_empty(),
                Act::Idle => {
                    pass(&mut now, 30);
                    let (verdict, _) = guard.report(now.steady)[1].canary.clone().unwrap();
                    is_fine = matches!(verdict, Verdict::Fine { .. });
                    guard.check(now);
                }
                Act::Reset => {
                    prop_assert_eq!(guard.reset("canary", now).is_some(), is_tripped);
                    is_tripped = false;
                }
                Act::Restart => {
                    let saved = guard.save();
                    guard = RouteGuard::new(plan.clone(), now);
                    prop_assert_eq!(guard.resume(&saved, now), Ok(()));
                    prop_assert_eq!(guard.weight(1), before);
                    prop_assert_eq!(guard.save(), saved);
                }
            }
            let after = guard.weight(1);
            prop_assert!([0, 1, 5, 100].contains(&after));
            prop_assert_eq!(guard.weight(0) + after, 100);
            if after > before {
                prop_assert!(is_fine || matches!(act, Act::Reset), "{:?}", act);
                prop_assert!(!is_tripped);
            }
        }
    }
}
