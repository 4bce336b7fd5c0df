//! One step's batch is the unit of continuous batching; this says who gets how many tokens.

use super::timing::StepWork;

/// The work of one step and the budget left for more.
#[derive(Debug)]
pub(super) struct Batch {
    budget_tokens: u64,
    work: StepWork,
}

impl Batch {
    pub(super) fn new(budget_tokens: u64) -> Self {
        Self {
            budget_tokens,
            work: StepWork::default(),
        }
    }

    pub(super) fn budget_tokens(&self) -> u64 {
        self.budget_tokens
    }

    /// Takes one token of each of `decodes` requests that hold `context` tokens together; they
    /// must fit.
    pub(super) fn add_decodes(&mut self, decodes: u64, context: u64) {
        debug_assert!(decodes <= self.budget_tokens, "decodes always fit a step");
        self.budget_tokens = self.budget_tokens.saturating_sub(decodes);
        self.work.decodes += decodes;
        self.work.decode_context_tokens += context;
    }

    /// Takes up to `wanted` prompt tokens that follow `context` computed ones; returns how many
    /// fit, possibly 0.
    pub(super) fn add_prefill(&mut self, context: u64, wanted: u64) -> u64 {
        let tokens = wanted.min(self.budget_tokens);
        if tokens > 0 {
            self.budget_tokens -= tokens;
            self.work.prefill_tokens += tokens;
            // Token i of the chunk attends to context + i tokens.
            self.work.prefill_context_tokens += tokens * context + tokens * (tokens - 1) / 2;
        }
        tokens
    }

    pub(super) fn work(&self) -> &StepWork {
        &self.work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_cuts_a_prompt_and_then_refuses() {
        let mut batch = Batch::new(10);
        batch.add_decodes(2, 100);
        assert_eq!(batch.add_prefill(5, 4), 4);
        assert_eq!(batch.add_prefill(0, 20), 4);
        assert_eq!(batch.add_prefill(0, 1), 0);
        assert_eq!(
            *batch.work(),
            StepWork {
                prefill_tokens: 8,
                prefill_context_tokens: 26 + 6,
                decodes: 2,
                decode_context_tokens: 100
            }
        );
        assert_eq!(batch.budget_tokens(), 0);
    }
}
