//! Many seeds through small fleets with everything going wrong that can: invariants hold, whatever
//! the seed. A failure names its seed; `SEED=n cargo test -p warmgate-loadtest --test simulate`
//! replays it alone.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use warmgate_loadtest::engine::{Scheduling, TierFill};
use warmgate_loadtest::simulate::contender::EndpointIx;
use warmgate_loadtest::simulate::scenario::{Fault, FaultKind, Scenario};
use warmgate_loadtest::simulate::synthetic::Shape;

use crate::fleet::{engine, run_default, workload};

/// Enough to meet every combination below several times.
const SEEDS: u64 = 60;
const SPAN_S: u64 = 60;

#[test]
fn nothing_is_lost_doubled_or_left_over_whatever_the_seed() {
    let only = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..SEEDS, |seed: u64| seed..seed + 1) {
        let run = std::panic::catch_unwind(|| misadventure(seed));
        if let Err(panic) = run {
            eprintln!("replay with SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn misadventure(seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let shape = Shape::ALL[rng.random_range(0..Shape::ALL.len())];
    let tier_tokens = [0, 100_000, 400_000][rng.random_range(0..3)];
    let mut model = engine(150_000, tier_tokens, 512);
    if let Some(tier) = &mut model.host_tier
        && rng.random_bool(0.5)
    {
        tier.fill = TierFill::OnEviction;
    }
    if rng.random_bool(0.3) {
        model.scheduling = Scheduling::Priority;
        model.long_prefill_tokens = Some(2_048);
    }
    let endpoints = rng.random_range(1..=6);
    let mut scenario = Scenario::new(endpoints, model, seed);
    scenario.check_states = true;
    scenario.scrape_every = Duration::from_millis(rng.random_range(50..3_000));
    scenario.replicas = rng.random_range(1..=3);
    if rng.random_bool(0.7) {
        scenario.exchange_lag = Some(Duration::from_millis(rng.random_range(0..500)));
    }
    if rng.random_bool(0.5) {
        scenario.loss_ratio = rng.random_range(0.0..0.3);
    }
    for _ in 0..rng.random_range(0..6) {
        scenario.faults.push(Fault {
            at: Duration::from_millis(rng.random_range(0..SPAN_S * 1_000)),
            endpoint: EndpointIx(rng.random_range(0..endpoints)),
            kind: [FaultKind::Restart, FaultKind::Blip][rng.random_range(0..2)],
            lasts: Duration::from_millis(rng.random_range(0..20_000)),
        });
    }
    let conversations = rng.random_range(3..40);
    let workload = workload(shape, conversations, SPAN_S, seed);
    let outcome = run_default(&scenario, &workload, rng.random_range(0.5..2.5));
    let may_break = !scenario.faults.is_empty();
    assert!(outcome.broken == 0 || may_break, "{outcome:?}");
}
