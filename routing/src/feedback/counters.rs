//! What the counters on two readings of an engine's metrics prove together, for engines whose answers
//! do not say what was cached.
//!
//! Between two readings the engine looked up so many prompt tokens and found so many of them. Where
//! the prompts are ours, we know how old each of their blocks was: a cache that found so many found
//! the youngest.

use super::answer::{Answer, Seen};
use crate::prefix::{Recall, Stamp};
use crate::units::{Blocks, Tokens};

/// Prompt tokens that make an interval worth a conclusion: requests at its ends, counted on one
/// side only, weigh little then.
const INTERVAL_TOKENS_MIN: Tokens = Tokens(32_768);
/// The engine's count of prompt tokens and ours may differ by this share; beyond, others use it too.
const FOREIGN_SHARE_MAX: f64 = 0.2;
/// Steps of recalls that are remembered; further ones are not counted, and the interval is dropped.
const STEPS_MAX: usize = 4_096;

/// One reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Prompt tokens looked up since the engine's start.
    pub(crate) queries: Tokens,
    /// Prompt tokens found, on whatever tier.
    pub(crate) hits: Tokens,
}

/// What was asked since a reading.
#[derive(Debug, Default)]
pub(super) struct Interval {
    since: Option<Counters>,
    prompt_tokens: Tokens,
    requests: u32,
    steps: Vec<(Blocks, u32, Stamp)>,
    /// When the first was sent, the last use before.
    before: Stamp,
}

/// What an interval proves.
#[derive(Debug, PartialEq)]
pub(super) struct Finding {
    /// All blocks asked for, those that were found and those that were not.
    pub(super) answer: Answer,
    /// Requests that asked.
    pub(super) requests: u32,
    /// When the first was sent, the last use before.
    pub(super) before: Stamp,
}

impl Interval {
    /// A request of so many tokens has been computed; these are the steps that prove something.
    pub(super) fn note_request(&mut self, recall: &Recall, settled: Stamp, prompt: Tokens) {
        if self.requests == 0 {
            self.before = recall.before;
        }
        self.prompt_tokens += prompt;
        self.requests += 1;
        let mut from = 0;
        for step in &recall.steps {
            if step.stamp <= settled && self.steps.len() <= STEPS_MAX {
                self.steps
                    .push((step.distance, step.upto.0 - from, step.stamp));
            }
            from = step.upto.0;
        }
    }

    /// Starts anew: what was asked before says nothing of what follows.
    pub(super) fn clear(&mut self) {
        *self = Interval::default();
    }

    /// The counters now. Returns what they prove, where enough was asked and nobody else asked.
    pub(super) fn close(
        &mut self,
        now: Counters,
        forgotten: Stamp,
        blocks_per_token: f64,
    ) -> Option<Finding> {
        let Some(since) = self.since else {
            self.clear();
            self.since = Some(now);
            return None;
        };
        let queries = now.queries.saturating_sub(since.queries);
        if queries.max(self.prompt_tokens) < INTERVAL_TOKENS_MIN {
            return None;
        }
        let asked = std::mem::take(self);
        self.since = Some(now);
        let foreign = queries.0.abs_diff(asked.prompt_tokens.0) as f64;
        if foreign > FOREIGN_SHARE_MAX * queries.as_f64() || asked.steps.len() > STEPS_MAX {
            return None;
        }
        let hits = now.hits.saturating_sub(since.hits);
        let mut found = (hits.as_f64() * blocks_per_token) as u32;
        let mut steps = asked.steps;
        steps.sort_unstable_by_key(|&(distance, ..)| distance);
        let mut answer = Answer::new();
        for (distance, blocks, stamp) in steps {
            let present = found.min(blocks);
            found -= present;
            if stamp > forgotten {
                answer.push(Seen {
                    distance,
                    present,
                    absent: blocks - present,
                    stamp,
                });
            }
        }
        Some(Finding {
            answer,
            requests: asked.requests,
            before: asked.before,
        })
    }
}
