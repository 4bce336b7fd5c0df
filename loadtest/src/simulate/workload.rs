//! A trace as a simulator wants it: chained blocks of one length, and who waits for whom.

use std::sync::Arc;
use std::time::Duration;

use warmgate_routing::block::BlockHash;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::engine::BYTES_PER_TOKEN;
use crate::trace::{Trace, TracePrompt, TraceRequest};

/// Blocks that prompts are cut into unless told otherwise: long enough that hours of traffic are
/// simulated in seconds, short beside the prompts of traces.
pub const DEFAULT_BLOCK_TOKENS: u64 = 512;
/// Blocks of traces that hold text: their prompts are short.
const TEXT_BLOCK_TOKENS: u64 = 64;
/// How long an answer took, for each of its tokens, in a trace that does not say: about what the
/// modelled engine needs when it is busy. Only think times depend on it.
const ASSUMED_TPOT: Duration = Duration::from_millis(25);

/// One recorded request.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Its full blocks, chained: equal hash, equal prefix.
    pub chain: Arc<[BlockHash]>,
    /// Length of the prompt.
    pub prompt_tokens: u64,
    /// Length of the answer.
    pub output_tokens: u64,
    /// The conversation.
    pub session: Option<u64>,
    /// When it arrived in the recording.
    pub at: Duration,
    /// The turn of the same session that it waits for; none: it arrives by the clock.
    pub after: Option<After>,
}

/// What a turn waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct After {
    /// Position of the other turn in [`Workload::turns`].
    pub turn: usize,
    /// Which moment of it.
    pub moment: Moment,
    /// How long after that: think time.
    pub pause: Duration,
}

/// A moment in the life of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// When it was sent: for calls that run side by side.
    Sent,
    /// When its answer was complete.
    Ended,
}

/// A trace, ready to be multiplied into a population.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// In order of arrival.
    pub turns: Vec<Turn>,
    /// Tokens of a block.
    pub block_tokens: u64,
    /// Arrival of the last request.
    pub span: Duration,
}

/// Why a trace makes no workload. The caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// Blocks cannot be cut.
    #[error("--block-tokens must be a multiple of the trace's {trace} tokens, not {asked}")]
    BlockTokens {
        /// Length of the trace's blocks.
        trace: u64,
        /// Length asked for.
        asked: u64,
    },
}

impl Workload {
    /// From a trace. With sessions it is a closed loop: a turn waits for the one before, and load
    /// means copies of the population. Without, arrivals are by the clock.
    ///
    /// # Errors
    /// Where `block_tokens` is no multiple of the trace's.
    pub fn new(trace: &Trace, block_tokens: Option<u64>) -> Result<Workload, WorkloadError> {
        let is_text = |request: &TraceRequest| matches!(request.prompt, TracePrompt::Text(_));
        let holds_text = trace.requests.iter().any(is_text);
        let block_tokens = block_tokens.unwrap_or(match trace.block_tokens {
            _ if holds_text => TEXT_BLOCK_TOKENS,
            tokens if DEFAULT_BLOCK_TOKENS.is_multiple_of(tokens) => DEFAULT_BLOCK_TOKENS,
            tokens => tokens,
        });
        if !holds_text && !block_tokens.is_multiple_of(trace.block_tokens) {
            return Err(WorkloadError::BlockTokens {
                trace: trace.block_tokens,
                asked: block_tokens,
            });
        }
        let ids_per_block = (block_tokens / trace.block_tokens).max(1) as usize;
        let after = predecessors(&trace.requests);
        let turns: Vec<Turn> = trace
            .requests
            .iter()
            .zip(after)
            .map(|(request, after)| Turn {
                chain: chain(request, block_tokens, ids_per_block).into(),
                prompt_tokens: request.input_tokens,
                output_tokens: request.output_tokens,
                session: request.session,
                at: request.at,
                after,
            })
            .collect();
        Ok(Workload {
            span: turns.last().map_or(Duration::ZERO, |turn| turn.at),
            turns,
            block_tokens,
        })
    }

    /// Whether turns wait for each other.
    #[must_use]
    pub fn is_closed_loop(&self) -> bool {
        self.turns.iter().any(|turn| turn.after.is_some())
    }
}

/// Every hash depends on all before it, whether or not the trace's ids do.
fn chain(request: &TraceRequest, block_tokens: u64, ids_per_block: usize) -> Vec<BlockHash> {
    let full = (request.input_tokens / block_tokens) as usize;
    let mut parent = 0;
    let mut hash = |bytes: &[u8]| {
        parent = xxh3_64_with_seed(bytes, parent);
        BlockHash(parent)
    };
    match &request.prompt {
        TracePrompt::Blocks(ids) => ids
            .chunks_exact(ids_per_block)
            .take(full)
            .map(|ids| {
                let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
                hash(&bytes)
            })
            .collect(),
        TracePrompt::Text(text) => text
            .as_bytes()
            .chunks_exact(block_tokens as usize * BYTES_PER_TOKEN)
            .map(hash)
            .collect(),
    }
}

/// For each request the one of its session that it waits for: the last that had ended when it
/// arrived, or else, for calls side by side, the first of those underway.
fn predecessors(requests: &[TraceRequest]) -> Vec<Option<After>> {
    let mut sessions: std::collections::HashMap<u64, Vec<usize>> = std::collections::HashMap::new();
    let mut after = Vec::with_capacity(requests.len());
    for (turn, request) in requests.iter().enumerate() {
        let Some(session) = request.session else {
            after.push(None);
            continue;
        };
        let before = sessions.entry(session).or_default();
        let ended = before
            .iter()
            .map(|&other| (end(&requests[other]), other))
            .filter(|(end, _)| *end <= request.at)
            .max();
        after.push(match (ended, before.first()) {
            (Some((end, other)), _) => Some(After {
                turn: other,
                moment: Moment::Ended,
                pause: request.at - end,
            }),
            (None, Some(&first)) => Some(After {
                turn: first,
                moment: Moment::Sent,
                pause: request.at - requests[first].at,
            }),
            (None, None) => None,
        });
        before.push(turn);
    }
    after
}

fn end(request: &TraceRequest) -> Duration {
    let assumed = ASSUMED_TPOT * u32::try_from(request.output_tokens).unwrap_or(u32::MAX);
    request.at + request.took.unwrap_or(assumed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(at_ms: u64, session: Option<u64>, ids: &[u64]) -> TraceRequest {
        TraceRequest {
            at: Duration::from_millis(at_ms),
            input_tokens: ids.len() as u64 * 64 + 5,
            output_tokens: 4,
            session,
            took: Some(Duration::from_millis(100)),
            prompt: TracePrompt::Blocks(ids.to_vec()),
        }
    }

    fn workload(requests: Vec<TraceRequest>, block_tokens: Option<u64>) -> Workload {
        let trace = Trace {
            requests,
            block_tokens: 64,
            too_long: 0,
        };
        Workload::new(&trace, block_tokens).expect("the trace is a workload")
    }

    #[test]
    fn blocks_are_joined_and_equal_prefixes_stay_equal() {
        let fleet = workload(
            vec![
                request(0, None, &[1, 2, 3, 4, 5]),
                request(1, None, &[1, 2, 9, 4]),
            ],
            Some(128),
        );
        let [a, b] = [&fleet.turns[0].chain, &fleet.turns[1].chain];
        assert_eq!((a.len(), b.len()), (2, 2));
        assert_eq!(a[0], b[0]);
        assert_ne!(a[1], b[1]);
        assert!(!fleet.is_closed_loop());
    }

    #[test]
    fn a_turn_waits_for_the_last_that_had_ended_and_calls_side_by_side_for_none() {
        let one = Some(1);
        let fleet = workload(
            vec![
                request(0, one, &[1]),
                request(50, one, &[1]),
                request(160, one, &[1]),
                request(170, Some(2), &[1]),
            ],
            None,
        );
        let after: Vec<_> = fleet.turns.iter().map(|turn| turn.after).collect();
        let ms = Duration::from_millis;
        assert_eq!(after[0], None);
        assert_eq!(
            after[1],
            Some(After {
                turn: 0,
                moment: Moment::Sent,
                pause: ms(50)
            })
        );
        assert_eq!(
            after[2],
            Some(After {
                turn: 1,
                moment: Moment::Ended,
                pause: ms(10)
            })
        );
        assert_eq!(after[3], None);
    }

    #[test]
    fn blocks_that_cannot_be_joined_are_refused() {
        let trace = Trace {
            requests: vec![request(0, None, &[1])],
            block_tokens: 64,
            too_long: 0,
        };
        assert_eq!(
            Workload::new(&trace, Some(100)),
            Err(WorkloadError::BlockTokens {
                trace: 64,
                asked: 100
            })
        );
    }
}
