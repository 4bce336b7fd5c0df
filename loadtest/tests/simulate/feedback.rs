//! What engines report makes predictions right: the mean error of the tokens believed to be cached
//! is at most a third of what it is without feedback.

use std::time::Duration;

use warmgate_loadtest::engine::ModelConfig;
use warmgate_loadtest::simulate::contender::{Contender, EndpointIx};
use warmgate_loadtest::simulate::population::Population;
use warmgate_loadtest::simulate::run::{GiveUp, run};
use warmgate_loadtest::simulate::scenario::{Fault, FaultKind, Scenario};
use warmgate_loadtest::simulate::synthetic::Shape;
use warmgate_loadtest::simulate::warmgate::Warmgate;
use warmgate_routing::router::RouterSettings;
use warmgate_routing::{Policy, Tokens};

use crate::fleet::{engine, workload};

/// Mean absolute error in tokens without and with feedback. The router is told `capacity` (none:
/// what engines report) and nothing of a host tier.
fn errors(model: ModelConfig, capacity: Option<u64>, faults: &[Fault]) -> (f64, f64) {
    let mut scenario = Scenario::new(4, model, 1);
    scenario.faults = faults.to_vec();
    let workload = workload(Shape::Agents, 40, 900, 5);
    let population = Population::new(&workload, 1.0, scenario.seed);
    let error = |feedback| {
        let settings = RouterSettings {
            capacity: capacity.map(Tokens),
            feedback,
            ..RouterSettings::default()
        };
        let fleet = scenario.fleet(0);
        let router = Warmgate::with(&fleet, 0, Policy::default(), settings);
        let routers: Vec<Box<dyn Contender>> = vec![Box::new(router)];
        run(&scenario, &population, routers, GiveUp::NEVER).prediction_error_tokens
    };
    (error(false), error(true))
}

fn check(name: &str, (without, with): (f64, f64)) {
    assert!(
        with <= without / 3.0,
        "{name}: {with:.0} with feedback, {without:.0} without"
    );
}

#[test]
fn eviction_that_nobody_announced_is_learned() {
    check(
        "a size four times too large",
        errors(engine(200_000, 0, 512), Some(800_000), &[]),
    );
}

#[test]
fn a_host_tier_that_nobody_declared_is_learned() {
    check(
        "a tier of four devices",
        errors(engine(200_000, 800_000, 512), None, &[]),
    );
}

#[test]
fn restarts_are_recovered_from() {
    let restarts: Vec<Fault> = (0..4)
        .map(|endpoint| Fault {
            at: Duration::from_secs(300 + 60 * endpoint as u64),
            endpoint: EndpointIx(endpoint),
            kind: FaultKind::Restart,
            lasts: Duration::from_secs(2),
        })
        .collect();
    let errors = errors(engine(200_000, 800_000, 512), None, &restarts);
    check("restarts, with a tier of four devices", errors);
}
