//! What goes into the model.

use super::block_cache::BlockHash;

/// Names a request inside one model; never reused by its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What a caller wants computed.
#[derive(Clone, Debug)]
pub struct Request {
    /// Not used by any request that is still alive.
    pub id: RequestId,
    /// Full blocks of the prompt in order. Blocks past the prompt name the answer's: they become
    /// visible as they are generated. Without them generated tokens are dropped at the end.
    pub blocks: Vec<BlockHash>,
    /// Length of the prompt, at least 1.
    pub prompt_tokens: u64,
    /// Length of the answer, at least 1; the model always generates all of it.
    pub output_tokens: u64,
    /// Lower is admitted earlier (vLLM: body field `priority`); ignored under
    /// [`super::Scheduling::Fcfs`].
    pub priority: i64,
}

/// Why a request was not accepted. The client's fault; a retry cannot help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Prompt or answer without a token.
    #[error("prompt and answer need at least one token each")]
    Empty,
    /// More tokens than the whole cache holds.
    #[error("the request needs {needed} cache blocks but the engine has {capacity}")]
    TooLong {
        /// Blocks for prompt and answer.
        needed: u64,
        /// Blocks in the cache.
        capacity: u64,
    },
    /// The id belongs to a request that is still alive.
    #[error("request id {0:?} is in use")]
    DuplicateId(RequestId),
}
