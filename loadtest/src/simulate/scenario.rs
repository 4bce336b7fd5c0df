//! What one run is made of besides its population and its router: engines, delays, faults.

use std::time::Duration;

use super::contender::{EndpointIx, FleetSpec};
use crate::engine::ModelConfig;

/// Interval of reading metrics pages. The strongest of the peers need this much; ours does not.
pub const DEFAULT_SCRAPE: Duration = Duration::from_millis(50);

/// A fleet and what happens to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Engines, all alike.
    pub endpoints: usize,
    /// Each of them.
    pub engine: ModelConfig,
    /// Gateway replicas; each request goes through one of them, by chance.
    pub replicas: usize,
    /// How long a letter takes from one replica to the others; none: they write none.
    pub exchange_lag: Option<Duration>,
    /// Interval of reading each engine's metrics.
    pub scrape_every: Duration,
    /// Share of metrics readings and letters that get lost, 0..=1.
    pub loss_ratio: f64,
    /// Whether answers say how much of their prompt was cached, as vLLM's do with
    /// `--enable-prompt-tokens-details`.
    pub tells_cached_tokens: bool,
    /// In any order.
    pub faults: Vec<Fault>,
    /// Of everything random that is not the population's.
    pub seed: u64,
    /// Check the state of every engine and router as the run goes on: slow, for tests.
    pub check_states: bool,
}

/// Something bad that happens to one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at: Duration,
    /// To whom.
    pub endpoint: EndpointIx,
    /// What.
    pub kind: FaultKind,
    /// How long the endpoint takes no requests.
    pub lasts: Duration,
}

/// Kinds of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The process dies with all that it runs and holds, and comes back cold.
    Restart,
    /// It is not ready for a while, and otherwise well.
    Blip,
}

impl Scenario {
    /// A fleet without faults, one gateway.
    #[must_use]
    pub fn new(endpoints: usize, engine: ModelConfig, seed: u64) -> Scenario {
        Scenario {
            endpoints,
            engine,
            replicas: 1,
            exchange_lag: None,
            scrape_every: DEFAULT_SCRAPE,
            loss_ratio: 0.0,
            tells_cached_tokens: true,
            faults: Vec::new(),
            seed,
            check_states: false,
        }
    }

    /// What the router of one replica is told.
    #[must_use]
    pub fn fleet(&self, replica: usize) -> FleetSpec {
        let block_tokens = self.engine.block_tokens;
        let tier = self.engine.host_tier.map_or(0, |tier| tier.capacity_blocks);
        FleetSpec {
            endpoints: self.endpoints,
            replicas: self.replicas,
            block_tokens,
            device_tokens: self.engine.capacity_blocks * block_tokens,
            host_tier_tokens: tier * block_tokens,
            seed: self.seed.wrapping_mul(31).wrapping_add(replica as u64),
        }
    }
}
