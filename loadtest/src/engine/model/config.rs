//! What a simulated engine is built with: its size, its speed and its scheduler's flags.

use super::timing::Timing;

/// Size and speed of the modelled engine. Fields may be added: build it with
/// `..ModelConfig::default()`.
///
/// ```
/// use warmgate_loadtest::engine::{HostTier, ModelConfig, TierFill};
/// let config = ModelConfig {
///     block_tokens: 64,
///     capacity_blocks: 1_000_000 / 64,
///     host_tier: Some(HostTier { capacity_blocks: 4_000_000 / 64, ..HostTier::default() }),
///     ..ModelConfig::default()
/// };
/// assert_eq!(config.host_tier.map(|tier| tier.fill), Some(TierFill::WriteThrough));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelConfig {
    /// Tokens in one cache block, at least 1.
    pub block_tokens: u64,
    /// Blocks in the device's KV cache, at least 1.
    pub capacity_blocks: u64,
    /// Tokens computed in one step at most, at least 1 (vLLM: `max_num_batched_tokens`).
    pub max_batched_tokens: u64,
    /// Requests running at once at most (vLLM: `max_num_seqs`); more than `max_batched_tokens`
    /// count as that many, so that each can have its token in every step.
    pub max_seqs: usize,
    /// Most prompt tokens of one request in one step, at least 1 (vLLM:
    /// `--long-prefill-token-threshold`); none for no limit but the step's.
    pub long_prefill_tokens: Option<u64>,
    /// In which order waiting requests are admitted.
    pub scheduling: Scheduling,
    /// KV cache in host memory; none for an engine that keeps blocks on the device only.
    pub host_tier: Option<HostTier>,
    /// Cost of a step.
    pub timing: Timing,
    /// Whether every token is an event. Without, a request is heard of at its first token and at
    /// its end only, which saves a simulation most of its events.
    pub token_events: bool,
}

impl Default for ModelConfig {
    /// vLLM's defaults, 1,000,000 tokens of cache and no host tier.
    fn default() -> Self {
        Self {
            block_tokens: 16,
            capacity_blocks: 62_500,
            max_batched_tokens: 8192,
            max_seqs: 256,
            long_prefill_tokens: None,
            scheduling: Scheduling::Fcfs,
            host_tier: None,
            timing: Timing::default(),
            token_events: true,
        }
    }
}

/// Order of the waiting requests (vLLM: `--scheduling-policy`). Neither preempts a running one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Scheduling {
    /// First come, first served.
    #[default]
    Fcfs,
    /// By [`super::Request::priority`], lower first; first come, first served among equals.
    Priority,
}

/// Tokens a second over a host link of 25 GB/s (PCIe 4.0 x16 in practice) at 164 kB of KV a
/// token, the model of [`Timing::default`].
pub const HOST_LOAD_TOKENS_PER_S: f64 = 152_000.0;

/// KV cache in host memory, as of vLLM's `--kv-offloading-size`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostTier {
    /// Blocks it holds, at least 1.
    pub capacity_blocks: u64,
    /// Tokens a second copied back to the device, above 0; one copy after another.
    pub load_tokens_per_s: f64,
    /// When blocks enter it.
    pub fill: TierFill,
}

impl Default for HostTier {
    /// 4,000,000 tokens in blocks of 16, loaded at [`HOST_LOAD_TOKENS_PER_S`].
    fn default() -> Self {
        Self {
            capacity_blocks: 250_000,
            load_tokens_per_s: HOST_LOAD_TOKENS_PER_S,
            fill: TierFill::WriteThrough,
        }
    }
}

/// When blocks enter the host tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TierFill {
    /// A prompt's blocks when its prefill ends, and again at each later hit; generated tokens
    /// never. What the device holds of prompts the tier holds too (vLLM's offloading connector).
    #[default]
    WriteThrough,
    /// A block when the device evicts it; it leaves the tier when it is loaded back. No block is
    /// in both places, so the capacities add up.
    OnEviction,
}
