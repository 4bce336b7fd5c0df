//! A home for each beginning of a prompt, by its hash, whatever the load.

use rand::rngs::SmallRng;

use super::super::contender::{EndpointIx, FleetSpec};
use super::ring::Ring;
use super::rule::Rule;
use super::scene::Scene;

/// Tokens of the prompt that are hashed: long enough to get past a system prompt.
pub(super) const KEY_TOKENS: u64 = 1_024;

pub(super) struct PrefixHash {
    ring: Ring,
}

impl PrefixHash {
    pub(super) fn new(fleet: &FleetSpec) -> PrefixHash {
        PrefixHash {
            ring: Ring::new(fleet.endpoints),
        }
    }
}

impl Rule for PrefixHash {
    fn pick(&mut self, scene: &Scene<'_>, _rng: &mut SmallRng) -> EndpointIx {
        self.ring.home(scene.prefix_key(KEY_TOKENS), scene)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::{Stage, fleet};
    use super::*;

    #[test]
    fn a_longer_prompt_stays_at_home_however_busy() {
        let mut rule = PrefixHash::new(&fleet(8));
        let home = Stage::new(8, 2, 0).picks(&mut rule);
        assert_eq!(home.len(), 1);
        let longer = Stage::new(8, 90, 0).in_flight(home[0], 500);
        assert_eq!(longer.picks(&mut rule), home);
    }

    #[test]
    fn homes_are_spread() {
        let mut rule = PrefixHash::new(&fleet(8));
        let mut homes = [0; 8];
        for prompt in 0..800 {
            homes[Stage::new(8, 2, prompt * 10).picks(&mut rule)[0]] += 1;
        }
        assert!(homes.iter().all(|&count| count > 50), "{homes:?}");
    }
}
