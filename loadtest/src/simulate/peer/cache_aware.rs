//! The mechanism that SGLang's gateway and vLLM's router share: longest match, unless load is
//! uneven by two thresholds at once, or the match is short; then the fewest requests.

use std::collections::HashMap;

use rand::rngs::SmallRng;
use warmgate_routing::block::BlockHash;

use super::super::contender::{EndpointIx, FleetSpec};
use super::rule::{Peer, Rule};
use super::scene::{Candidate, Scene};

/// Characters that a token is taken for, to turn bounds of trees into tokens.
pub(super) const CHARS_PER_TOKEN: u64 = 4;

/// Constants of one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    /// Share of the prompt that must match for affinity; more than this.
    pub(super) cache: f64,
    /// Requests between the busiest and the idlest; more than this, and ...
    pub(super) balance_abs: u64,
    /// ... the busiest has more than this times the idlest's.
    pub(super) balance_rel: f64,
}

pub(super) struct CacheAware {
    thresholds: Thresholds,
    /// Who used each block last: of several who hold a prefix, the tree names that one. No larger
    /// than the population of the run.
    latest: HashMap<BlockHash, EndpointIx>,
}

impl CacheAware {
    /// One replica, its tree bounded at so many characters of each endpoint.
    pub(super) fn peer(
        fleet: &FleetSpec,
        thresholds: Thresholds,
        tree_chars: u64,
    ) -> Peer<CacheAware> {
        let rule = CacheAware {
            thresholds,
            latest: HashMap::new(),
        };
        Peer::with_memory(fleet, tree_chars / CHARS_PER_TOKEN, rule)
    }

    fn is_uneven(&self, scene: &Scene<'_>) -> bool {
        let loads = || scene.candidates.iter().map(|one| one.load.in_flight);
        let least = loads().min().unwrap_or(0);
        let most = loads().max().unwrap_or(0);
        most - least > self.thresholds.balance_abs
            && most as f64 > self.thresholds.balance_rel * least as f64
    }
}

impl Rule for CacheAware {
    fn pick(&mut self, scene: &Scene<'_>, rng: &mut SmallRng) -> EndpointIx {
        let deepest = scene.deepest();
        let matched = deepest[0].matched_blocks;
        if self.is_uneven(scene) || scene.matched_ratio(&deepest[0]) <= self.thresholds.cache {
            return scene.least(rng, |one| one.load.in_flight as f64).endpoint;
        }
        let last = &scene.arrival.prompt.hashes[matched as usize - 1];
        let latest = self.latest.get(last);
        let is_latest = |one: &&Candidate| Some(&one.endpoint) == latest;
        let holder = deepest.iter().find(is_latest).unwrap_or(&deepest[0]);
        holder.endpoint
    }

    fn sent(&mut self, scene: &Scene<'_>, to: &Candidate) {
        for &hash in &scene.arrival.prompt.hashes {
            self.latest.insert(hash, to.endpoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    fn rule() -> CacheAware {
        CacheAware {
            thresholds: Thresholds {
                cache: 0.3,
                balance_abs: 64,
                balance_rel: 1.5,
            },
            latest: HashMap::new(),
        }
    }

    #[test]
    fn a_match_counts_from_above_the_threshold() {
        let warm = Stage::new(3, 10, 0).matched(0, 4).in_flight(0, 60);
        assert_eq!(warm.picks(&mut rule()), [0]);
        assert_eq!(warm.matched(0, 3).picks(&mut rule()), [1, 2]);
    }

    #[test]
    fn both_thresholds_have_to_be_crossed_and_then_all_affinity_is_gone() {
        let warm = Stage::new(3, 10, 0).matched(0, 10);
        let loads = |busiest, idlest| {
            warm.clone()
                .in_flight(0, 100)
                .in_flight(1, busiest)
                .in_flight(2, idlest)
        };
        assert_eq!(loads(104, 40).picks(&mut rule()), [0], "64 apart");
        assert_eq!(loads(105, 40).picks(&mut rule()), [2]);
        assert_eq!(loads(300, 200).in_flight(0, 250).picks(&mut rule()), [0]);
    }

    #[test]
    fn of_several_holders_the_latest_is_named() {
        let mut rule = rule();
        let both = Stage::new(3, 10, 0).matched(0, 10).matched(1, 10);
        both.send(&mut rule, 1);
        assert_eq!(both.picks(&mut rule), [1]);
        both.send(&mut rule, 0);
        assert_eq!(both.picks(&mut rule), [0]);
    }
}
