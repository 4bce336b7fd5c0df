//! Workloads for when no trace is at hand, each the extreme of something that traces show.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::trace::{Trace, TracePrompt, TraceRequest};

/// Tokens of a block of made-up prompts.
const BLOCK_TOKENS: u64 = 64;
/// Blocks that every conversation of a shape begins with: the system message.
const SYSTEM_BLOCKS: u64 = 32;
/// How long an answer is taken to have needed: a prefill, and so much for each token.
const RECORDED_TTFT: Duration = Duration::from_millis(1_500);
const RECORDED_TPOT: Duration = Duration::from_millis(20);

/// Kinds of made-up traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Applications with long system messages of their own and short conversations, by the clock:
    /// decided by balance.
    Chat,
    /// Agents with growing contexts, turn after turn: decided by staying where the cache is.
    Agents,
    /// Agents that now and then start many cold calls side by side: homes are blocked by work that
    /// has no home.
    Bursts,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Shape; 3] = [Shape::Chat, Shape::Agents, Shape::Bursts];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Shape::Chat => "chat",
            Shape::Agents => "agents",
            Shape::Bursts => "bursts",
        }
    }

    /// Traffic of this kind for `span`, from so many conversations (with [`Shape::Chat`]:
    /// requests), the same for the same seed.
    #[must_use]
    pub fn trace(self, conversations: u64, span: Duration, seed: u64) -> Trace {
        let mut maker = Maker {
            rng: SmallRng::seed_from_u64(seed),
            next_block: 1_000_000,
            requests: Vec::new(),
            span,
        };
        match self {
            Shape::Chat => maker.chat(conversations),
            Shape::Agents => maker.agents(conversations, &NO_SIDE_CALLS),
            Shape::Bursts => maker.agents(conversations, &MANY_SIDE_CALLS),
        }
        maker.requests.sort_by_key(|request| request.at);
        Trace {
            requests: maker.requests,
            block_tokens: BLOCK_TOKENS,
            too_long: 0,
        }
    }
}

/// How agents behave.
struct Habits {
    context_tokens: RangeInclusive<u64>,
    growth_tokens: u64,
    /// Side calls follow every so many turns; 0 for never.
    side_calls_every: u64,
    side_calls: RangeInclusive<u64>,
    side_call_tokens: RangeInclusive<u64>,
}

const NO_SIDE_CALLS: Habits = Habits {
    context_tokens: 10_000..=60_000,
    growth_tokens: 1_500,
    side_calls_every: 0,
    side_calls: 0..=0,
    side_call_tokens: 0..=0,
};

const MANY_SIDE_CALLS: Habits = Habits {
    context_tokens: 15_000..=40_000,
    growth_tokens: 800,
    side_calls_every: 3,
    side_calls: 6..=14,
    side_call_tokens: 10_000..=30_000,
};

struct Maker {
    rng: SmallRng,
    next_block: u64,
    requests: Vec<TraceRequest>,
    span: Duration,
}

impl Maker {
    fn fresh(&mut self, tokens: u64) -> Vec<u64> {
        let first = self.next_block;
        self.next_block += tokens.div_ceil(BLOCK_TOKENS);
        (first..self.next_block).collect()
    }

    /// Exponential, so that most are short and some are long; at least 16.
    fn answer_tokens(&mut self, mean: f64) -> u64 {
        let draw: f64 = self.rng.random_range(f64::EPSILON..1.0);
        (-mean * draw.ln()).max(16.0) as u64
    }

    fn seconds(&mut self, range: RangeInclusive<f64>) -> Duration {
        Duration::from_secs_f64(self.rng.random_range(range))
    }

    /// Adds a request and says when its answer was complete.
    fn ask(&mut self, at: Duration, session: Option<u64>, ids: &[u64], output: u64) -> Duration {
        let took = RECORDED_TTFT + RECORDED_TPOT * u32::try_from(output).unwrap_or(u32::MAX);
        self.requests.push(TraceRequest {
            at,
            input_tokens: ids.len() as u64 * BLOCK_TOKENS + self.rng.random_range(1..BLOCK_TOKENS),
            output_tokens: output,
            session,
            took: Some(took),
            prompt: TracePrompt::Blocks(ids.to_vec()),
        });
        at + took
    }

    fn chat(&mut self, requests: u64) {
        const APPLICATIONS: u64 = 120;
        const OPEN_MAX: usize = 400;
        let applications: Vec<Vec<u64>> = (0..APPLICATIONS)
            .map(|_| {
                let tokens = self.rng.random_range(2_000..20_000);
                self.fresh(tokens)
            })
            .collect();
        let mut open: Vec<Vec<u64>> = Vec::new();
        let mut due: Vec<f64> = (0..requests).map(|_| self.rng.random()).collect();
        due.sort_by(f64::total_cmp);
        for share in due {
            let is_follow_up = !open.is_empty() && self.rng.random_bool(0.45);
            let own = self.rng.random_range(200..6_000);
            let mut ids = if is_follow_up {
                let place = self.rng.random_range(0..open.len());
                open.swap_remove(place)
            } else {
                // The square favours the first ones, as popularity does.
                let draw: f64 = self.rng.random();
                applications[(draw * draw * APPLICATIONS as f64) as usize].clone()
            };
            ids.extend(self.fresh(own));
            let output = self.answer_tokens(180.0);
            self.ask(self.span.mul_f64(share), None, &ids, output);
            if open.len() < OPEN_MAX && self.rng.random_bool(0.8) {
                open.push(ids);
            }
        }
    }

    fn agents(&mut self, sessions: u64, habits: &Habits) {
        for session in 0..sessions {
            let mut at = self.span.mul_f64(self.rng.random_range(0.0..0.8));
            let context = self.rng.random_range(habits.context_tokens.clone());
            let mut ids: Vec<u64> = (0..SYSTEM_BLOCKS).collect();
            ids.extend(self.fresh(context));
            let mut turn = 0;
            while at < self.span {
                turn += 1;
                let output = self.answer_tokens(250.0);
                let mut end = self.ask(at, Some(session), &ids, output);
                let every = habits.side_calls_every;
                if every > 0 && turn % every == 0 {
                    end = self.side_calls(session, end, habits);
                }
                let growth = self.answer_tokens(habits.growth_tokens as f64);
                ids.extend(self.fresh(growth));
                at = end + self.seconds(0.2..=15.0);
            }
        }
    }

    /// Cold prompts side by side; returns when the last was answered.
    fn side_calls(&mut self, session: u64, from: Duration, habits: &Habits) -> Duration {
        let mut last = from;
        for _ in 0..self.rng.random_range(habits.side_calls.clone()) {
            let tokens = self.rng.random_range(habits.side_call_tokens.clone());
            let mut ids: Vec<u64> = (0..SYSTEM_BLOCKS).collect();
            ids.extend(self.fresh(tokens));
            let at = from + self.seconds(0.02..=0.3);
            let output = self.answer_tokens(200.0);
            last = last.max(self.ask(at, Some(session), &ids, output));
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::workload::{Moment, Workload};

    #[test]
    fn the_same_seed_makes_the_same_traffic_and_another_does_not() {
        for shape in Shape::ALL {
            let span = Duration::from_secs(100);
            let trace = shape.trace(20, span, 1);
            assert_eq!(trace, shape.trace(20, span, 1), "{shape:?}");
            assert_ne!(trace, shape.trace(20, span, 2), "{shape:?}");
        }
    }

    #[test]
    fn bursts_run_side_by_side_and_turns_one_after_the_other() {
        let trace = Shape::Bursts.trace(5, Duration::from_secs(200), 3);
        let workload = Workload::new(&trace, Some(64)).expect("blocks are not joined");
        let after = |moment| {
            workload
                .turns
                .iter()
                .filter(|turn| turn.after.is_some_and(|after| after.moment == moment))
                .count()
        };
        assert!(after(Moment::Ended) > 50, "{}", after(Moment::Ended));
        let burst = workload.turns.iter().filter_map(|turn| turn.after);
        let mut waiting_for = std::collections::HashMap::new();
        for after in burst {
            *waiting_for.entry(after.turn).or_insert(0) += 1;
        }
        assert!(waiting_for.values().any(|&calls| calls >= 6));
    }
}
