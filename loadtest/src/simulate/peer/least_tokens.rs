//! Fewest prompt tokens in flight, cached or not: balance of work with an eye on nothing else.

use rand::rngs::SmallRng;

use super::super::contender::EndpointIx;
use super::rule::Rule;
use super::scene::Scene;

pub(super) struct LeastTokens;

impl Rule for LeastTokens {
    fn pick(&mut self, scene: &Scene<'_>, rng: &mut SmallRng) -> EndpointIx {
        scene
            .least(rng, |one| one.load.prompt_tokens as f64)
            .endpoint
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn tokens_count_and_requests_do_not() {
        let stage = Stage::new(2, 10, 0)
            .prompts(0, 1_000)
            .in_flight(0, 1)
            .prompts(1, 999)
            .in_flight(1, 50);
        assert_eq!(stage.picks(&mut LeastTokens), [1]);
    }
}
