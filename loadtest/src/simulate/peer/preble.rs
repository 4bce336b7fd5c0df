//! Preble's E2: exploit the longest match where it is most of the prompt, else explore where the
//! load of the last minutes is least.
//!
//! Srivatsa et al., "Preble: Efficient Distributed Prompt Scheduling for LLM Serving", ICLR 2025
//! (arXiv 2407.00023), and github.com/WukLab/preble at 8e7906a (May 2024),
//! `preble/global_scheduler_with_time.py`. Load is seconds: of the prefill sent there within the
//! window, and of the decodes that run there.
//!
//! Left out are the price of eviction, as in the code unless asked for, and the moving of prefixes
//! away from who has 1.5 times the load of the idlest: sending single requests away by that rule
//! cost it all its capacity on agent sessions here, and gained nothing on conversations.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rand::rngs::SmallRng;
use warmgate_routing::block::PromptBlocks;

use super::super::contender::{EndpointIx, FleetSpec, RequestIx};
use super::rule::Rule;
use super::scene::{Candidate, Scene, least};
use crate::engine::{StepWork, Timing};

/// `window_duration`.
const WINDOW: Duration = Duration::from_secs(3 * 60);
/// `avg_topt_per_gpu` keeps so many observations; here of whole decodes.
const DECODES_KEPT: usize = 200;

pub(super) struct Preble {
    /// Prefills within the window.
    sent: VecDeque<(Duration, EndpointIx, f64)>,
    /// Seconds of them, by endpoint.
    prefill_s: Vec<f64>,
    began: HashMap<RequestIx, Duration>,
    decodes_s: VecDeque<f64>,
}

impl Preble {
    pub(super) fn new(fleet: &FleetSpec) -> Preble {
        Preble {
            sent: VecDeque::new(),
            prefill_s: vec![0.0; fleet.endpoints],
            began: HashMap::new(),
            decodes_s: VecDeque::new(),
        }
    }

    fn forget_old(&mut self, now: Duration) {
        while let Some(&(at, endpoint, seconds)) = self.sent.front() {
            if at + WINDOW >= now {
                break;
            }
            self.sent.pop_front();
            self.prefill_s[endpoint.0] -= seconds;
        }
    }

    fn load_s(&self, one: &Candidate) -> f64 {
        let mean_s = match self.decodes_s.len() {
            0 => 0.0,
            count => self.decodes_s.iter().sum::<f64>() / count as f64,
        };
        self.prefill_s[one.endpoint.0] + one.load.in_flight as f64 * mean_s
    }
}

/// What Preble fits to measurements of the engine beforehand: seconds to prefill so many tokens of
/// a prompt of that length.
fn prefill_s(tokens: u64, prompt_tokens: u64) -> f64 {
    let context = tokens * (prompt_tokens - tokens) + tokens * tokens / 2;
    let timing = Timing::default();
    let work = StepWork {
        prefill_tokens: tokens,
        prefill_context_tokens: context,
        ..StepWork::default()
    };
    timing.step_time(&work).as_secs_f64() - timing.step_s
}

impl Rule for Preble {
    fn pick(&mut self, scene: &Scene<'_>, rng: &mut SmallRng) -> EndpointIx {
        self.forget_old(scene.now);
        let prompt = scene.arrival.prompt_tokens;
        let holders = scene.deepest();
        let uncached = holders[0].uncached_tokens;
        if prompt - uncached > uncached {
            let holder = least(&holders, rng, |one| self.load_s(one))
                .expect("invariant: somebody matches most");
            return holder.endpoint;
        }
        let cost = |one: &Candidate| self.load_s(one) + prefill_s(one.uncached_tokens, prompt);
        scene.least(rng, cost).endpoint
    }

    fn sent(&mut self, scene: &Scene<'_>, to: &Candidate) {
        let seconds = prefill_s(to.uncached_tokens, scene.arrival.prompt_tokens);
        self.sent.push_back((scene.now, to.endpoint, seconds));
        self.prefill_s[to.endpoint.0] += seconds;
    }

    fn first_token(&mut self, id: RequestIx, _from: EndpointIx, now: Duration) {
        self.began.insert(id, now);
    }

    fn ended(&mut self, id: RequestIx, _prompt: &PromptBlocks, _on: EndpointIx, now: Duration) {
        let Some(began) = self.began.remove(&id) else {
            return;
        };
        self.decodes_s.push_back((now - began).as_secs_f64());
        if self.decodes_s.len() > DECODES_KEPT {
            self.decodes_s.pop_front();
        }
    }

    fn check_idle(&self) {
        assert!(self.began.is_empty(), "decodes that nobody runs");
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::{Stage, fleet};
    use super::*;

    const LATER: Duration = Duration::from_secs(181);

    #[test]
    fn a_match_of_more_than_half_is_exploited_whatever_the_load() {
        let mut rule = Preble::new(&fleet(3));
        Stage::new(3, 500, 1_000).send(&mut rule, 0);
        let most = Stage::new(3, 10, 0).matched(0, 6);
        assert_eq!(most.picks(&mut rule), [0]);
        let half = most.matched(0, 5);
        assert_eq!(half.picks(&mut rule), [1, 2]);
    }

    #[test]
    fn load_is_forgotten_after_the_window() {
        let mut rule = Preble::new(&fleet(2));
        let cold = Stage::new(2, 10, 0);
        cold.send(&mut rule, 0);
        assert_eq!(cold.picks(&mut rule), [1]);
        assert_eq!(cold.at(LATER).picks(&mut rule), [0, 1]);
    }

    #[test]
    fn running_decodes_are_load() {
        let mut rule = Preble::new(&fleet(2));
        let cold = Stage::new(2, 10, 0);
        cold.end(&mut rule, 0, Duration::from_secs(5));
        assert_eq!(cold.picks(&mut rule), [0, 1]);
        assert_eq!(cold.in_flight(0, 1).picks(&mut rule), [1]);
        rule.check_idle();
    }
}
