//! One step's batch is the unit of continuous batching; this says who gets how many tokens.

use super::request::RequestId;
use super::timing::StepWork;

/// What one request does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub id: RequestId,
    /// Tokens computed: a piece of the prompt, or 1 when decoding.
    pub tokens: u64,
}

/// The requests of one step and the budget left for more.
#[derive(Debug)]
pub(super) struct Batch {
    chunks: Vec<Chunk>,
    budget_tokens: u64,
    work: StepWork,
}

impl Batch {
    pub(super) fn new(budget_tokens: u64) -> Self {
        Self {
            chunks: Vec::new(),
            budget_tokens,
            work: StepWork::default(),
        }
    }

    pub(super) fn budget_tokens(&self) -> u64 {
        self.budget_tokens
    }

    /// Takes up to `wanted` prompt tokens that follow `context` computed ones; returns how many
    /// fit, possibly 0.
    pub(super) fn add_prefill(&mut self, id: RequestId, context: u64, wanted: u64) -> u64 {
        let tokens = wanted.min(self.budget_tokens);
        if tokens > 0 {
            self.budget_tokens -= tokens;
            self.work.prefill_tokens += tokens;
            // Token i of the chunk attends to context + i tokens.
            self.work.prefill_context_tokens += tokens * context + tokens * (tokens - 1) / 2;
            self.chunks.push(Chunk { id, tokens });
        }
        tokens
    }

    /// Takes one decode of a request that holds `context` tokens; false when the budget is spent.
    pub(super) fn add_decode(&mut self, id: RequestId, context: u64) -> bool {
        if self.budget_tokens == 0 {
            return false;
        }
        self.budget_tokens -= 1;
        self.work.decodes += 1;
        self.work.decode_context_tokens += context;
        self.chunks.push(Chunk { id, tokens: 1 });
        true
    }

    pub(super) fn work(&self) -> &StepWork {
        &self.work
    }

    pub(super) fn into_chunks(self) -> Vec<Chunk> {
        self.chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_cuts_a_prompt_and_then_refuses() {
        let mut batch = Batch::new(10);
        assert!(batch.add_decode(RequestId(1), 100));
        assert_eq!(batch.add_prefill(RequestId(2), 0, 20), 9);
        assert_eq!(batch.add_prefill(RequestId(3), 0, 1), 0);
        assert!(!batch.add_decode(RequestId(4), 1));
        assert_eq!(
            *batch.work(),
            StepWork {
                prefill_tokens: 9,
                prefill_context_tokens: 36,
                decodes: 1,
                decode_context_tokens: 100
            }
        );
        assert_eq!(batch.into_chunks().len(), 2);
    }
}
