//! What the engine remembers about one request between submission and its last token.

use std::time::Duration;

use super::block_cache::BlockHash;

/// One request inside the model.
#[derive(Debug)]
pub(super) struct Sequence {
    pub arrived_at: Duration,
    /// Lower is admitted earlier.
    pub priority: i64,
    /// Full blocks of the prompt, then of the answer as far as the caller knows it.
    pub blocks: Vec<BlockHash>,
    pub prompt_tokens: u64,
    /// The answer is exactly this long.
    pub output_tokens: u64,
    /// Prompt tokens found in the cache at admission.
    pub cached_tokens: u64,
    /// Prompt tokens this request computed itself.
    pub prefilled_tokens: u64,
    /// Tokens whose KV exists: cached, computed, and generated ones fed back.
    pub computed_tokens: u64,
    pub generated_tokens: u64,
    /// Leading blocks of `blocks` that are visible and pinned by this request.
    pub pinned_blocks: usize,
    pub private_blocks: u64,
    pub reserved_blocks: u64,
}

impl Sequence {
    /// Prompt tokens still to compute; 0 once it decodes.
    pub(super) fn prefill_left(&self) -> u64 {
        self.prompt_tokens.saturating_sub(self.computed_tokens)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.generated_tokens == self.output_tokens
    }

    /// Blocks for the longest state the request can reach.
    pub(super) fn blocks_at_most(&self, block_tokens: u64) -> u64 {
        (self.prompt_tokens + self.output_tokens).div_ceil(block_tokens)
    }

    /// How many leading blocks a hit may cover: the last prompt token is always recomputed, since
    /// its logits give the first token (seen on vLLM: 64 tokens in blocks of 32 hit 32).
    pub(super) fn blocks_hit_at_most(&self, block_tokens: u64) -> usize {
        ((self.prompt_tokens - 1) / block_tokens) as usize
    }
}
