//! SMG's `cache_aware` of 2026: the least busy of those who hold the longest match, and a gate that
//! spills single requests from a holder much busier than the mean.
//!
//! From github.com/smg-project/smg at f8daa88 (22 August 2026): defaults of the command line in
//! `model_gateway/src/main.rs` (`--cache-threshold`, `--spill-abs-threshold`,
//! `--spill-rel-threshold`, `--max-tree-size`), `gate_selected_candidate` and
//! `select_matched_candidate` in `model_gateway/src/policies/cache_aware.rs`. Its replicas can
//! synchronise their trees; here they do not. Its tree's bound is shared by all workers; here each
//! has an equal part.

use rand::rngs::SmallRng;

use super::super::contender::{Contender, EndpointIx, FleetSpec};
use super::cache_aware::CHARS_PER_TOKEN;
use super::rule::{Peer, Rule};
use super::scene::{Scene, least};

/// Share of the prompt that must match for affinity; more than this.
const CACHE_THRESHOLD: f64 = 0.3;
/// A holder with more requests than the mean and these ...
const SPILL_ABS: f64 = 64.0;
/// ... and than the mean times this is passed over.
const SPILL_REL: f64 = 1.5;
/// Characters of all workers in the tree.
const TREE_CHARS: u64 = 1 << 26;

pub(super) struct SmgSpill;

pub(super) fn new(fleet: &FleetSpec) -> Box<dyn Contender> {
    let tokens = TREE_CHARS / CHARS_PER_TOKEN / fleet.endpoints as u64;
    Box::new(Peer::with_memory(fleet, tokens, SmgSpill))
}

impl Rule for SmgSpill {
    fn pick(&mut self, scene: &Scene<'_>, rng: &mut SmallRng) -> EndpointIx {
        let idlest = scene.least(rng, |one| one.load.in_flight as f64).endpoint;
        let holders = scene.deepest();
        if scene.matched_ratio(&holders[0]) <= CACHE_THRESHOLD {
            return idlest;
        }
        let holder = least(&holders, rng, |one| one.load.in_flight as f64)
            .expect("invariant: somebody matches most");
        let sum: u64 = scene.candidates.iter().map(|one| one.load.in_flight).sum();
        let mean = sum as f64 / scene.candidates.len() as f64;
        let load = holder.load.in_flight as f64;
        if load > mean * SPILL_REL && load > mean + SPILL_ABS {
            return idlest;
        }
        holder.endpoint
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn one_request_spills_from_a_holder_far_above_the_mean() {
        // The mean is 50: 64 above it, and 65.
        let warm = Stage::new(4, 10, 0).matched(0, 10).in_flight(1, 50);
        let below = warm.clone().in_flight(0, 114).in_flight(2, 36);
        assert_eq!(below.picks(&mut SmgSpill), [0]);
        let above = warm.in_flight(0, 115).in_flight(2, 35);
        assert_eq!(above.picks(&mut SmgSpill), [3]);
    }

    #[test]
    fn the_idlest_of_the_holders_is_taken() {
        let both = Stage::new(3, 10, 0).matched(0, 10).matched(1, 10);
        assert_eq!(both.clone().picks(&mut SmgSpill), [0, 1]);
        assert_eq!(both.in_flight(0, 1).picks(&mut SmgSpill), [1]);
        let short = Stage::new(3, 10, 0).matched(0, 3).in_flight(0, 1);
        assert_eq!(short.picks(&mut SmgSpill), [1, 2]);
    }
}
