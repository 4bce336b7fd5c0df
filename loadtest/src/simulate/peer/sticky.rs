//! A home for each session, whatever the load; for each beginning of a prompt where there is none.

use rand::rngs::SmallRng;

use super::super::contender::{EndpointIx, FleetSpec};
use super::prefix_hash::KEY_TOKENS;
use super::ring::Ring;
use super::rule::Rule;
use super::scene::Scene;

pub(super) struct Sticky {
    ring: Ring,
}

impl Sticky {
    pub(super) fn new(fleet: &FleetSpec) -> Sticky {
        Sticky {
            ring: Ring::new(fleet.endpoints),
        }
    }
}

impl Rule for Sticky {
    fn pick(&mut self, scene: &Scene<'_>, _rng: &mut SmallRng) -> EndpointIx {
        let session = scene.arrival.session;
        let key = session.unwrap_or_else(|| scene.prefix_key(KEY_TOKENS));
        self.ring.home(key, scene)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::{Stage, fleet};
    use super::*;

    #[test]
    fn a_session_has_one_home_whatever_it_says() {
        let mut rule = Sticky::new(&fleet(64));
        let home = Stage::new(64, 2, 0).session(7).picks(&mut rule);
        let other_prompt = Stage::new(64, 9, 500).session(7).in_flight(home[0], 99);
        assert_eq!(other_prompt.picks(&mut rule), home);
        let other_session = Stage::new(64, 2, 0).session(8);
        assert_ne!(other_session.picks(&mut rule), home);
        let none = Stage::new(64, 2, 0);
        assert_eq!(none.picks(&mut rule), none.picks(&mut rule));
    }
}
