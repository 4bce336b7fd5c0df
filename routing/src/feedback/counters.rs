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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockHash;
    use crate::endpoint::EndpointId;
    use crate::prefix::PrefixIndex;

    /// Two prompts of 40 blocks, asked for again: the second was used last.
    fn recalls() -> [Recall; 2] {
        let (index, at) = (PrefixIndex::default(), EndpointId(0));
        let prompts = [0, 1_000].map(|from| (from..from + 40).map(BlockHash).collect::<Vec<_>>());
        for prompt in &prompts {
            index.insert(prompt, at);
        }
        [1, 0].map(|which: usize| index.insert(&prompts[which], at))
    }

    fn counters(queries: u64, hits: u64) -> Counters {
        Counters {
            queries: Tokens(queries),
            hits: Tokens(hits),
        }
    }

    /// Two requests of half an interval's tokens each, and what the engine counts then.
    fn proven(queries: u64, hits: u64) -> Option<Finding> {
        let mut interval = Interval::default();
        let none = interval.close(counters(7, 5), Stamp::default(), 1.0);
        assert_eq!(none, None, "a first reading proves nothing");
        for recall in &recalls() {
            let half = Tokens(INTERVAL_TOKENS_MIN.0 / 2);
            interval.note_request(recall, recall.before, half);
        }
        interval.close(counters(7 + queries, 5 + hits), Stamp::default(), 1.0)
    }

    #[test]
    fn what_was_found_is_the_youngest_of_what_was_asked_for() {
        let all = INTERVAL_TOKENS_MIN.0;
        for hits in [0, 30, 40, 60, 80, 500] {
            let finding = proven(all, hits).expect("all of it is ours");
            let found: u32 = finding.answer.iter().map(|seen| seen.present).sum();
            assert_eq!(u64::from(found), hits.min(80));
            let absent: u32 = finding.answer.iter().map(|seen| seen.absent).sum();
            assert_eq!(found + absent, 80);
            let distances = finding.answer.iter().map(|seen| seen.distance);
            assert!(distances.is_sorted(), "youngest first");
            let whole = finding.answer.iter().take_while(|seen| seen.absent == 0);
            let rest = finding.answer.iter().skip(whole.count() + 1);
            assert!(rest.into_iter().all(|seen| seen.present == 0));
        }
    }

    #[test]
    fn a_share_of_others_is_borne_up_to_the_limit() {
        let all = INTERVAL_TOKENS_MIN.0;
        let most = (all as f64 / (1.0 - FOREIGN_SHARE_MAX)) as u64;
        assert!(proven(most, 40).is_some());
        assert!(proven(most + 2, 40).is_none(), "too many of others");
        let least = (all as f64 / (1.0 + FOREIGN_SHARE_MAX)) as u64 + 1;
        assert!(proven(least, 40).is_some());
        assert!(proven(least - 2, 40).is_none(), "ours went elsewhere");
    }

    #[test]
    fn an_interval_lasts_until_enough_was_asked_and_drops_what_is_too_much() {
        let recall = &recalls()[0];
        let mut interval = Interval::default();
        interval.close(counters(0, 0), Stamp::default(), 1.0);
        let short = INTERVAL_TOKENS_MIN.0 - 1;
        interval.note_request(recall, recall.before, Tokens(short));
        let early = interval.close(counters(short, 40), Stamp::default(), 1.0);
        assert_eq!(early, None);
        interval.note_request(recall, recall.before, Tokens(1));
        let finding = interval.close(counters(short + 1, 40), Stamp::default(), 1.0);
        assert_eq!(finding.map(|finding| finding.requests), Some(2));

        for (requests, is_kept) in [(STEPS_MAX, true), (STEPS_MAX + 1, false)] {
            interval.close(counters(short + 1, 40), Stamp::default(), 1.0);
            interval.clear();
            interval.close(counters(0, 0), Stamp::default(), 1.0);
            for _ in 0..requests {
                interval.note_request(recall, recall.before, Tokens(100));
            }
            let asked = requests as u64 * 100;
            let finding = interval.close(counters(asked, 0), Stamp::default(), 1.0);
            assert_eq!(finding.is_some(), is_kept, "{requests} steps");
        }
    }
}
