//! Least predicted time to first token: the uncached tokens queued there and my own.
//!
//! The plain form of what several routers approximate; no constants.

use rand::rngs::SmallRng;

use super::super::contender::EndpointIx;
use super::rule::Rule;
use super::scene::Scene;

pub(super) struct PredictedTtft;

impl Rule for PredictedTtft {
    fn pick(&mut self, scene: &Scene<'_>, rng: &mut SmallRng) -> EndpointIx {
        let cost = |one: &super::scene::Candidate| one.load.queued_tokens + one.uncached_tokens;
        scene.least(rng, |one| cost(one) as f64).endpoint
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn warmth_is_worth_exactly_its_tokens_of_queue() {
        let warm = Stage::new(3, 10, 0).matched(0, 8);
        assert_eq!(warm.picks(&mut PredictedTtft), [0]);
        let even = warm.clone().queued(0, 8 * 512);
        assert_eq!(even.picks(&mut PredictedTtft), [0, 1, 2]);
        let busy = warm.queued(0, 8 * 512 + 1);
        assert_eq!(busy.picks(&mut PredictedTtft), [1, 2]);
    }
}
