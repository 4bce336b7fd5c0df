//! llm-d as its guides of 2026 set it up: those who hold four fifths of the prompt, unless all of
//! them are much busier than others; among the rest the fewest uncached tokens in flight.
//!
//! From github.com/llm-d/llm-d, `guides/agentic-serving/router/agentic-serving.values.yaml` (and
//! `guides/optimized-baseline/router/`, which differ in the calibrated throughput only), and
//! github.com/llm-d/llm-d-router at ebab687 (22 August 2026),
//! `pkg/epp/framework/plugins/scheduling/{filter/prefixcacheaffinity,scorer/tokenload}`. Tokens in
//! flight are released with the first token. Nothing is scraped.

use rand::rngs::SmallRng;

use super::super::contender::EndpointIx;
use super::rule::Rule;
use super::scene::{Candidate, Scene, least};

/// `affinityThreshold`.
const AFFINITY: f64 = 0.80;
/// `maxTTFTPenaltyMs`, in seconds: all holders this much slower than the rest lose their privilege.
const TTFT_PENALTY_S: f64 = 18.0;
/// `peakPrefillThroughput`, tokens a second; the engine modelled here does 15,000.
const PREFILL_TOKENS_PER_S: f64 = 15_928.0;
/// `tokenQueueThresholdDefault`: loads from here on are all alike.
const QUEUE_TOKENS_MAX: u64 = 4_194_304;

pub(super) struct Llmd2026;

impl Rule for Llmd2026 {
    fn pick(&mut self, scene: &Scene<'_>, rng: &mut SmallRng) -> EndpointIx {
        let is_holder = |one: &Candidate| scene.matched_ratio(one) >= AFFINITY;
        let (holders, others): (Vec<Candidate>, Vec<Candidate>) =
            scene.candidates.iter().partition(|one| is_holder(one));
        let ttft_s = |some: &[Candidate]| {
            let queued = some.iter().map(|one| one.load.queued_tokens).min();
            queued.map(|tokens| tokens as f64 / PREFILL_TOKENS_PER_S)
        };
        let is_too_slow = match (ttft_s(&holders), ttft_s(&others)) {
            (Some(holders), Some(others)) => holders - others > TTFT_PENALTY_S,
            _ => false,
        };
        let kept = if holders.is_empty() || is_too_slow {
            &scene.candidates
        } else {
            &holders
        };
        let load = |one: &Candidate| {
            let tokens = one.load.queued_tokens + one.uncached_tokens;
            tokens.min(QUEUE_TOKENS_MAX) as f64
        };
        let best = least(kept, rng, load).expect("invariant: somebody takes requests");
        best.endpoint
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn who_holds_four_fifths_is_kept_until_eighteen_seconds_behind() {
        let held = Stage::new(3, 10, 0).matched(0, 8).queued(0, 286_704);
        assert_eq!(held.picks(&mut Llmd2026), [0], "exactly 18 s");
        let late = held.clone().queued(0, 286_705);
        assert_eq!(late.picks(&mut Llmd2026), [1, 2]);
        let seven = held.matched(0, 7);
        assert_eq!(seven.picks(&mut Llmd2026), [1, 2], "less than four fifths");
    }

    #[test]
    fn among_holders_the_fewest_uncached_tokens_win() {
        let both = Stage::new(3, 10, 0).matched(0, 10).matched(1, 8);
        assert_eq!(both.picks(&mut Llmd2026), [0]);
        assert_eq!(both.queued(0, 2 * 512 + 1).picks(&mut Llmd2026), [1]);
    }
}
