//! Whoever stands on the roster can be run, and breaks nothing: ours and the peers alike.

use std::collections::BTreeSet;
use std::time::Duration;

use warmgate_loadtest::simulate::capacity::run_at;
use warmgate_loadtest::simulate::contender::EndpointIx;
use warmgate_loadtest::simulate::roster::roster;
use warmgate_loadtest::simulate::scenario::{Fault, FaultKind, Scenario};
use warmgate_loadtest::simulate::synthetic::Shape;

use crate::fleet::{engine, workload};

/// Small caches, so that everything evicts; two replicas; a restart and a blip.
fn stormy() -> Scenario {
    let fault = |at_s, endpoint, kind| Fault {
        at: Duration::from_secs(at_s),
        endpoint: EndpointIx(endpoint),
        kind,
        lasts: Duration::from_secs(3),
    };
    Scenario {
        replicas: 2,
        exchange_lag: Some(Duration::from_millis(50)),
        faults: vec![
            fault(20, 0, FaultKind::Restart),
            fault(30, 1, FaultKind::Blip),
        ],
        check_states: true,
        ..Scenario::new(3, engine(150_000, 150_000, 512), 5)
    }
}

#[test]
fn everybody_answers_everything_and_the_same_seed_gives_the_same_numbers() {
    let workload = workload(Shape::Bursts, 8, 60, 5);
    let scenario = stormy();
    let mut requests = BTreeSet::new();
    for entrant in roster() {
        let outcome = || run_at(&scenario, &workload, 1.2, &entrant.maker, None);
        let (first, second) = (outcome(), outcome());
        assert_eq!(first, second, "{}", entrant.name);
        assert!(first.hit_ratio > 0.0, "{}: {first:?}", entrant.name);
        requests.insert(first.requests);
    }
    // In a closed loop slow answers mean fewer requests, but nobody may lose many.
    let most = requests.last().copied().unwrap_or_default();
    let least = requests.first().copied().unwrap_or_default();
    assert!(least > 20 && least * 2 > most, "{requests:?}");
}

#[test]
fn names_differ_and_one_is_the_default() {
    let roster = roster();
    let names: BTreeSet<&str> = roster.iter().map(|entrant| entrant.name.as_str()).collect();
    assert_eq!(names.len(), roster.len());
    let defaults = roster.iter().filter(|entrant| entrant.is_default);
    assert_eq!(defaults.count(), 1);
    assert!(roster[0].is_default);
}
