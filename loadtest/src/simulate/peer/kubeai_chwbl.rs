//! kubeai's `PrefixHash`: consistent hashing of the prompt's beginning with bounded loads.
//!
//! From github.com/substratusai/kubeai at 2f32ef4 (July 2025): defaults in
//! `docs/reference/kubernetes-api.md` (`meanLoadFactor`, `replication`, `prefixCharLength`), the
//! walk in `internal/loadbalancer/balance_chwbl.go`. The 100 characters of its key are at most one
//! block here. The variant with a longer key is ours, to see what the key's length is worth.

use rand::rngs::SmallRng;

use super::super::contender::{EndpointIx, FleetSpec};
use super::ring::Ring;
use super::rule::Rule;
use super::scene::{Candidate, Scene};

/// An endpoint is passed over while it has more than this times the mean, this request included.
const LOAD_FACTOR: f64 = 1.25;
/// 100 characters.
pub(super) const KEY_TOKENS: u64 = 25;
/// The variant.
pub(super) const LONG_KEY_TOKENS: u64 = 1_024;

pub(super) struct KubeaiChwbl {
    ring: Ring,
    key_tokens: u64,
}

impl KubeaiChwbl {
    pub(super) fn new(fleet: &FleetSpec, key_tokens: u64) -> KubeaiChwbl {
        KubeaiChwbl {
            ring: Ring::new(fleet.endpoints),
            key_tokens,
        }
    }
}

impl Rule for KubeaiChwbl {
    fn pick(&mut self, scene: &Scene<'_>, _rng: &mut SmallRng) -> EndpointIx {
        let key = scene.prefix_key(self.key_tokens);
        let total: u64 = scene.candidates.iter().map(|one| one.load.in_flight).sum();
        let mean = (total + 1) as f64 / scene.candidates.len() as f64;
        let is_bounded = |one: &&Candidate| one.load.in_flight as f64 <= mean * LOAD_FACTOR;
        let fit = self.ring.from(key, scene).find(is_bounded);
        fit.map_or_else(|| self.ring.home(key, scene), |one| one.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::{Stage, fleet};
    use super::*;

    #[test]
    fn a_home_is_passed_over_from_above_its_bound_only() {
        let mut rule = KubeaiChwbl::new(&fleet(4), KEY_TOKENS);
        let stage = Stage::new(4, 10, 0);
        let [home] = stage.picks(&mut rule)[..] else {
            panic!("a hash has one home");
        };
        // Four on average with this request, so five are allowed.
        let others = (0..4)
            .filter(|&other| other != home)
            .fold(stage, |stage, other| {
                stage.in_flight(other, if other == (home + 1) % 4 { 4 } else { 3 })
            });
        assert_eq!(others.clone().in_flight(home, 5).picks(&mut rule), [home]);
        assert_ne!(others.in_flight(home, 6).picks(&mut rule), [home]);
    }

    #[test]
    fn only_the_beginning_of_a_prompt_is_its_key() {
        let mut short = KubeaiChwbl::new(&fleet(64), KEY_TOKENS);
        let mut long = KubeaiChwbl::new(&fleet(64), LONG_KEY_TOKENS);
        // Prompts of one and of three blocks with the same first.
        let (one, three) = (Stage::new(64, 1, 0), Stage::new(64, 3, 0));
        assert_eq!(one.picks(&mut short), three.picks(&mut short));
        assert_ne!(one.picks(&mut long), three.picks(&mut long));
    }
}
