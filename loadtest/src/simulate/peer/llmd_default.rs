//! llm-d (Gateway API Inference Extension's endpoint picker) as it comes: a weighted sum of queue,
//! KV use and matched share; the greatest wins, equals by chance.
//!
//! From github.com/llm-d/llm-d-router at ebab687 (22 August 2026), `pkg/epp/config/loader/defaults.go`
//! for plugins and weights, `pkg/epp/framework/plugins/scheduling/scorer/{queuedepth,prefix,
//! kvcacheutilization}` for scores, `.../dataproducer/approximateprefix/types.go` for the index.
//! Load is what was last scraped, and nothing else. The original sizes its index by the device
//! alone; here it includes the host tier.

use rand::rngs::SmallRng;

use super::super::contender::EndpointIx;
use super::rule::Rule;
use super::scene::{Candidate, Scene};

/// `queueScorerWeight`.
const QUEUE_WEIGHT: f64 = 2.0;
/// `kvCacheUtilizationScorerWeight`.
const KV_WEIGHT: f64 = 2.0;
/// `prefixCacheScorerWeight`.
const PREFIX_WEIGHT: f64 = 3.0;
/// `defaultMaxPrefixTokens`: what lies beyond is neither matched nor counted.
const PREFIX_TOKENS_MAX: u64 = 131_072;

pub(super) struct LlmdDefault;

impl Rule for LlmdDefault {
    fn pick(&mut self, scene: &Scene<'_>, rng: &mut SmallRng) -> EndpointIx {
        let waiting = |one: &Candidate| one.gauges.map_or(0, |gauges| gauges.waiting);
        let queues = || scene.candidates.iter().map(waiting);
        let least = queues().min().unwrap_or(0);
        let most = queues().max().unwrap_or(0);
        let queue = |one: &Candidate| match most - least {
            0 => 1.0,
            range => f64::from(most - waiting(one)) / f64::from(range),
        };
        let kv = |one: &Candidate| 1.0 - one.gauges.map_or(0.0, |gauges| gauges.kv_usage);
        let blocks = scene.blocks().min(PREFIX_TOKENS_MAX / scene.block_tokens);
        let prefix = |one: &Candidate| match blocks {
            0 => 0.0,
            blocks => one.matched_blocks.min(blocks) as f64 / blocks as f64,
        };
        let score = |one: &Candidate| {
            QUEUE_WEIGHT * queue(one) + KV_WEIGHT * kv(one) + PREFIX_WEIGHT * prefix(one)
        };
        scene.least(rng, |one| -score(one)).endpoint
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    #[test]
    fn a_full_match_outweighs_the_longest_queue_and_no_more() {
        let warm = Stage::new(3, 10, 0)
            .matched(0, 10)
            .gauges(0, 9, 0.0)
            .gauges(1, 0, 0.0);
        // 3 against 2.
        assert_eq!(warm.picks(&mut LlmdDefault), [0]);
        // 3 + 2 (1 - 0.6) against 2 + 2.
        let full = warm.clone().gauges(0, 9, 0.6);
        assert_eq!(full.picks(&mut LlmdDefault), [1, 2]);
        // 0.6 x 3 against 2.
        let half = warm.matched(0, 6);
        assert_eq!(half.picks(&mut LlmdDefault), [1, 2]);
    }

    #[test]
    fn own_requests_are_not_seen_until_they_are_scraped() {
        let busy = Stage::new(2, 10, 0).in_flight(0, 99).queued(0, 99_999);
        assert_eq!(busy.picks(&mut LlmdDefault), [0, 1]);
    }
}
