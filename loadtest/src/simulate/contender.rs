//! What a router is to the simulator: it hears of everything a real one could know, and says where
//! each request goes.

use std::sync::Arc;
use std::time::Duration;

use warmgate_routing::block::PromptBlocks;
use warmgate_routing::exchange::{Heard, Letter};

/// An endpoint of the simulated fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointIx(pub usize);

/// A request of the simulated population.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestIx(pub usize);

/// What a router is told about its fleet before anything happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FleetSpec {
    /// Endpoints, all alike.
    pub endpoints: usize,
    /// Gateway replicas, this one included.
    pub replicas: usize,
    /// Tokens of a block.
    pub block_tokens: u64,
    /// Device cache of each, in tokens.
    pub device_tokens: u64,
    /// Host tier of each, in tokens; 0 for none. Engines do not report it.
    pub host_tier_tokens: u64,
    /// Seed of the router's own chance.
    pub seed: u64,
}

/// One request as a router sees it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Its name.
    pub id: RequestIx,
    /// Conversation, where the client says.
    pub session: Option<u64>,
    /// The prompt.
    pub prompt: &'a Arc<PromptBlocks>,
    /// Its length.
    pub prompt_tokens: u64,
}

/// A router's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub endpoint: EndpointIx,
    /// Prompt tokens that the router believes to be cached there, in all tiers.
    pub predicted_tokens: u64,
}

/// What an answer says about its own cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Length of the prompt.
    pub prompt_tokens: u64,
    /// Of these, from a cache, whatever tier.
    pub cached_tokens: u64,
}

/// One reading of an engine's metrics page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauges {
    /// Requests in the batch.
    pub running: u32,
    /// Requests waiting for a place in it.
    pub waiting: u32,
    /// Share of the device cache in use by running requests, 0..=1.
    pub kv_usage: f64,
    /// Prompt tokens looked up in the device cache since the start.
    pub prefix_queries: u64,
    /// Prompt tokens found there since the start.
    pub prefix_hits: u64,
    /// When the process started.
    pub started_at: Duration,
}

/// A routing policy with all the state it keeps. One for each gateway replica.
pub trait Contender {
    /// Where the request goes now; it is sent there at once. None where nobody takes requests.
    fn route(&mut self, arrival: &Arrival<'_>, now: Duration) -> Option<Route>;

    /// Its first token has come.
    fn first_token(&mut self, id: RequestIx, now: Duration);

    /// It has ended: with usage where it was answered and engines tell, without where it was cut
    /// off.
    fn ended(&mut self, id: RequestIx, usage: Option<Usage>, now: Duration);

    /// A metrics page was read.
    fn scraped(&mut self, _endpoint: EndpointIx, _gauges: &Gauges, _now: Duration) {}

    /// The endpoint takes requests, or does not.
    fn ready(&mut self, endpoint: EndpointIx, is_ready: bool, now: Duration);

    /// What other replicas should hear since the last call.
    fn letters(&mut self) -> Vec<Letter> {
        Vec::new()
    }

    /// Another replica's letter has come. [`Heard::Gap`]: its sender has to tell everything.
    fn hear(&mut self, _letter: &Letter, _now: Duration) -> Heard {
        Heard::Ignored
    }

    /// The letter that tells everything; none from who does not write letters.
    fn underway(&mut self) -> Option<Letter> {
        None
    }

    /// Panics where its books contradict themselves; `is_idle` when nothing is in flight anywhere.
    fn check(&self, is_idle: bool);
}
