//! Recorded traffic, as the load tester and the simulator want it.
//!
//! The format is the one Mooncake published (FAST'25), one JSON object a line, plain or gzip:
//!
//! | field | meaning |
//! |---|---|
//! | `timestamp` | arrival in ms |
//! | `input_length`, `output_length` | tokens |
//! | `hash_ids` | ids of the prompt's blocks; equal ids mean equal text |
//! | `hash_runs` | the same as `[[first, count], ...]`, short for long runs |
//! | `session_id`, `turn` | optional |
//! | `api_ms` | optional: how long the answer took when it was recorded |
//! | `input`, `output` | optional: the text itself instead of lengths and ids |
//!
//! A line without ids and text is a prompt that shares nothing.

mod block_guess;
mod line;
mod read;
mod text;
mod ticks;

use std::time::Duration;

pub use read::{LINE_BYTES_MAX, Trace, TraceError, TraceOptions, read_trace};
pub use text::{block_text, prompt_text};

/// One recorded request.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceRequest {
    /// Arrival since the first request of the trace.
    pub at: Duration,
    /// Length of the prompt; at least 1.
    pub input_tokens: u64,
    /// Length of the answer; at least 1.
    pub output_tokens: u64,
    /// The conversation it belongs to, if the trace says.
    pub session: Option<u64>,
    /// How long its answer took when it was recorded, if the trace says.
    pub took: Option<Duration>,
    /// What the prompt is made of.
    pub prompt: TracePrompt,
}

/// A recorded prompt.
#[derive(Clone, Debug, PartialEq)]
pub enum TracePrompt {
    /// Ids of consecutive blocks; the last may be cut by `input_tokens`, and what they do not
    /// cover is the request's own.
    Blocks(Vec<u64>),
    /// The text itself.
    Text(String),
}
