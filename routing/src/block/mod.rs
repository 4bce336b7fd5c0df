//! Blocks of the canonical prompt and their chained hashes.
//!
//! A block is a fixed number of bytes of the prompt, so that chains stay comparable for ever: two
//! prompts share a block hash exactly when they share the model, the salt and every byte up to the
//! end of that block. What is learned from engines is only how many tokens a byte is worth.

use std::num::NonZeroU32;

pub mod hasher;

pub use hasher::{BlockHasher, ChainRoot};

/// Hash of one block, chained with its parent: equal hash means equal prefix.
///
/// 64 bits of xxh3: with 10^8 live blocks the chance that any two collide is about 3 in 10,000,
/// and the price of a collision is one wrongly routed request.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct BlockHash(pub u64);

/// Bytes that a token is taken for until engines have reported better (ASCII English is about 4).
pub const NOMINAL_BYTES_PER_TOKEN: u32 = 4;

/// Block length in bytes of canonical prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSize(NonZeroU32);

impl BlockSize {
    /// From a number of tokens at [`NOMINAL_BYTES_PER_TOKEN`]; none where it is zero or overflows.
    #[must_use]
    pub fn from_tokens(tokens: u32) -> Option<BlockSize> {
        NonZeroU32::new(tokens.checked_mul(NOMINAL_BYTES_PER_TOKEN)?).map(BlockSize)
    }

    /// Length in bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0.get() as usize
    }
}

impl Default for BlockSize {
    /// 64 tokens: fine enough that the unmatched tail costs little, coarse enough that a
    /// 100k-token prompt is 1,600 blocks.
    fn default() -> BlockSize {
        BlockSize::from_tokens(64).expect("invariant: 64 tokens are neither zero nor too many")
    }
}

/// A prompt as routing sees it: the chain of its full blocks, and its length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptBlocks {
    /// One hash for each full block, in prompt order.
    pub hashes: Vec<BlockHash>,
    /// Length of the canonical prompt in bytes, the unfinished last block included.
    pub bytes: u64,
    /// Bytes of further prompts in the same request (a list of prompts): work, but not prefix.
    pub further_bytes: u64,
    /// The prompt was given as token ids: 4 bytes are exactly one token.
    pub is_token_ids: bool,
}
