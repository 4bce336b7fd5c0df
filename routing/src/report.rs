//! What engines say about themselves, in our words and units, whatever their metrics are called.

use serde::Serialize;

use crate::endpoint::Engine;
use crate::units::{Ratio, Tokens};

/// One reading of an engine's metrics. A series that engines leave out until first use is read as
/// zero by whoever builds this; `None` means that this engine has no such figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EngineReport {
    /// Whose names were understood.
    pub engine: Engine,
    /// Requests in the running batch.
    pub running: Option<u32>,
    /// Requests waiting for a place in it.
    pub waiting: Option<u32>,
    /// Share of the KV cache in use by requests that run (an idle engine with a full prefix cache says 0).
    pub kv_usage: Option<Ratio>,
    /// Tokens that the KV cache of the device can hold.
    pub capacity: Option<Tokens>,
    /// Prompt tokens looked up in the prefix cache since the engine started.
    pub prefix_queries: Option<Tokens>,
    /// Prompt tokens found there since the engine started; those in tiers behind the device may be
    /// counted in or not.
    pub prefix_hits: Option<Tokens>,
    /// Prompt tokens found in tiers behind the device, where they are not counted in `prefix_hits`.
    pub tier_hits: Option<Tokens>,
    /// Start of the engine's process in seconds since 1970; a change means a cold cache.
    pub process_start_s: Option<f64>,
}

impl EngineReport {
    /// A report that knows only whose page it was.
    #[must_use]
    pub fn empty(engine: Engine) -> EngineReport {
        EngineReport {
            engine,
            running: None,
            waiting: None,
            kv_usage: None,
            capacity: None,
            prefix_queries: None,
            prefix_hits: None,
            tier_hits: None,
            process_start_s: None,
        }
    }
}

/// One entry of an engine's `/v1/models`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ServedModel {
    /// The name that requests use.
    pub name: String,
    /// The base model, where this is a LoRA adapter.
    pub parent: Option<String>,
    /// Longest prompt and answer together, where the engine says.
    pub max_model_len: Option<Tokens>,
}
