//! A seed replays a run, and what is measured says what happened.

use std::time::Duration;

use warmgate_loadtest::simulate::contender::EndpointIx;
use warmgate_loadtest::simulate::scenario::{Fault, FaultKind, Scenario};
use warmgate_loadtest::simulate::synthetic::Shape;

use crate::fleet::{engine, run_default, workload};

#[test]
fn the_same_seed_gives_the_same_numbers_and_another_does_not() {
    let workload = workload(Shape::Bursts, 12, 120, 1);
    let outcome = |seed| {
        let mut scenario = Scenario::new(3, engine(200_000, 400_000, 512), seed);
        scenario.replicas = 2;
        scenario.exchange_lag = Some(Duration::from_millis(50));
        run_default(&scenario, &workload, 1.3)
    };
    assert_eq!(outcome(7), outcome(7));
    assert_ne!(outcome(7), outcome(8));
}

#[test]
fn light_load_is_carried_and_too_much_is_not() {
    let workload = workload(Shape::Chat, 600, 300, 2);
    let scenario = Scenario::new(4, engine(500_000, 0, 512), 1);
    let light = run_default(&scenario, &workload, 0.5);
    let heavy = run_default(&scenario, &workload, 20.0);
    assert!(light.goodput > 0.98, "{light:?}");
    assert!(heavy.goodput < 0.5, "{heavy:?}");
    assert_eq!((light.broken, light.retried), (0, 0));
}

#[test]
fn a_restart_sends_again_what_had_not_begun_and_breaks_only_what_had() {
    let workload = workload(Shape::Agents, 30, 120, 3);
    let mut scenario = Scenario::new(3, engine(400_000, 0, 512), 1);
    scenario.check_states = true;
    let calm = run_default(&scenario, &workload, 1.0);
    scenario.faults = (0..3)
        .map(|endpoint| Fault {
            at: Duration::from_secs(40 + 5 * endpoint as u64),
            endpoint: EndpointIx(endpoint),
            kind: FaultKind::Restart,
            lasts: Duration::from_secs(3),
        })
        .collect();
    let stormy = run_default(&scenario, &workload, 1.0);
    assert_eq!((calm.broken, calm.retried), (0, 0));
    assert!(stormy.broken + stormy.retried as usize > 0, "{stormy:?}");
    assert!(stormy.hit_ratio < calm.hit_ratio, "{stormy:?} {calm:?}");
}

#[test]
fn replicas_that_talk_find_each_others_caches() {
    let workload = workload(Shape::Agents, 40, 200, 4);
    let hits = |replicas, exchange_lag: Option<u64>| {
        let mut scenario = Scenario::new(6, engine(400_000, 0, 512), 1);
        scenario.replicas = replicas;
        scenario.exchange_lag = exchange_lag.map(Duration::from_millis);
        run_default(&scenario, &workload, 1.0).hit_ratio
    };
    let (one, four, silent) = (hits(1, None), hits(4, Some(50)), hits(4, None));
    assert!(four > 0.97 * one, "one {one}, four that talk {four}");
    assert!(silent < 0.9 * one, "one {one}, four that do not {silent}");
}
