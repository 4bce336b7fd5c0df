//! What an engine counts.

/// Totals since the model was made, restarts included; all only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Steps computed.
    pub steps: u64,
    /// Requests accepted.
    pub submitted: u64,
    /// Prompt tokens looked up in the device's prefix cache, at admission.
    pub prefix_queries_tokens: u64,
    /// Prompt tokens found there.
    pub prefix_hits_tokens: u64,
    /// Prompt tokens that the device lacked and the host tier was asked for, at admission; 0
    /// without a tier.
    pub host_queries_tokens: u64,
    /// Prompt tokens found in the host tier.
    pub host_hits_tokens: u64,
    /// Prompt tokens of requests that reached their first token: the sum of the next three.
    pub prompt_tokens: u64,
    /// Those computed.
    pub prompt_computed_tokens: u64,
    /// Those found on the device.
    pub prompt_device_tokens: u64,
    /// Those loaded from the host tier.
    pub prompt_host_tokens: u64,
    /// Tokens generated.
    pub generation_tokens: u64,
    /// Requests that got their whole answer.
    pub finished: u64,
    /// Requests aborted while waiting or running.
    pub aborted: u64,
}
