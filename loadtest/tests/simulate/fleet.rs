//! Small fleets under made-up traffic, for runs that take milliseconds.

use std::time::Duration;

use warmgate_loadtest::engine::{HostTier, ModelConfig};
use warmgate_loadtest::simulate::contender::Contender;
use warmgate_loadtest::simulate::outcome::Outcome;
use warmgate_loadtest::simulate::population::Population;
use warmgate_loadtest::simulate::run::{GiveUp, run};
use warmgate_loadtest::simulate::scenario::Scenario;
use warmgate_loadtest::simulate::synthetic::Shape;
use warmgate_loadtest::simulate::warmgate::Warmgate;
use warmgate_loadtest::simulate::workload::Workload;
use warmgate_routing::Policy;

/// An engine with so many tokens on its device and in its host tier.
pub(crate) fn engine(device_tokens: u64, host_tier_tokens: u64, block_tokens: u64) -> ModelConfig {
    let tier = HostTier {
        capacity_blocks: host_tier_tokens / block_tokens,
        ..HostTier::default()
    };
    ModelConfig {
        block_tokens,
        capacity_blocks: device_tokens / block_tokens,
        host_tier: (host_tier_tokens > 0).then_some(tier),
        token_events: false,
        ..ModelConfig::default()
    }
}

pub(crate) fn workload(shape: Shape, conversations: u64, span_s: u64, seed: u64) -> Workload {
    let trace = shape.trace(conversations, Duration::from_secs(span_s), seed);
    Workload::new(&trace, None).expect("blocks of 64 tokens are joined to 512")
}

/// The default policy, one router for each replica.
pub(crate) fn default_routers(scenario: &Scenario) -> Vec<Box<dyn Contender>> {
    (0..scenario.replicas)
        .map(|replica| -> Box<dyn Contender> {
            let fleet = scenario.fleet(replica);
            Box::new(Warmgate::new(&fleet, replica, Policy::default()))
        })
        .collect()
}

pub(crate) fn run_default(scenario: &Scenario, workload: &Workload, load: f64) -> Outcome {
    let population = Population::new(workload, load, scenario.seed);
    run(
        scenario,
        &population,
        default_routers(scenario),
        GiveUp::NEVER,
    )
}
