//! What became of each request, and what that is worth.

use std::time::Duration;

use serde::Serialize;

use crate::report::Quantiles;

/// A request is good when its first token comes within this ...
pub const TTFT_GOOD: Duration = Duration::from_secs(2);
/// ... and this for each prompt token that even an endless cache would not have had ...
pub const TTFT_GOOD_PER_FRESH_TOKEN: Duration = Duration::from_micros(100);
/// ... and its further tokens come this fast on average.
pub const TPOT_GOOD: Duration = Duration::from_millis(100);
/// Share of good requests that a load must have to be carried.
pub const GOODPUT_CARRIED: f64 = 0.9;
/// TTFT that 90 % of requests must meet in the other measure of capacity.
pub const TTFT_P90_CARRIED: Duration = Duration::from_secs(5);

/// One measured request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// When it was due.
    pub due: Duration,
    /// Prompt tokens.
    pub prompt_tokens: u64,
    /// Of these, new even to an endless cache.
    pub fresh_tokens: u64,
    /// Of these, cached where it went, host tier included; none where it had no answer.
    pub cached_tokens: Option<u64>,
    /// Of these, loaded from the host tier.
    pub loaded_tokens: u64,
    /// What the router believed to be cached there.
    pub predicted_tokens: u64,
    /// From due to first token; none where there was none.
    pub ttft: Option<Duration>,
    /// Mean time between tokens; none where there were fewer than two.
    pub tpot: Option<Duration>,
    /// Where its answer came from.
    pub endpoint: usize,
    /// Whether the whole answer came.
    pub is_complete: bool,
}

impl Measured {
    /// Whether it met the objective.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let fresh = u32::try_from(self.fresh_tokens).unwrap_or(u32::MAX);
        let limit = TTFT_GOOD + TTFT_GOOD_PER_FRESH_TOKEN * fresh;
        self.is_complete
            && self.ttft.is_some_and(|ttft| ttft <= limit)
            && self.tpot.is_none_or(|tpot| tpot <= TPOT_GOOD)
    }

    /// Whether its first token came later than the other measure allows.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.ttft.is_none_or(|ttft| ttft > TTFT_P90_CARRIED)
    }
}

/// One run in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Requests measured.
    pub requests: usize,
    /// Share of them that was good.
    pub goodput: f64,
    /// Share of them whose first token came later than [`TTFT_P90_CARRIED`].
    pub late: f64,
    /// Median time to first token in seconds.
    pub ttft_p50_s: f64,
    /// 90th percentile.
    pub ttft_p90_s: f64,
    /// 99th percentile.
    pub ttft_p99_s: f64,
    /// Median over requests of the mean time between tokens, in seconds.
    pub tpot_p50_s: f64,
    /// Share of prompt tokens that were cached, host tier included.
    pub hit_ratio: f64,
    /// Share of prompt tokens that came from the host tier.
    pub tier_ratio: f64,
    /// Most tokens computed by one endpoint over the mean.
    pub imbalance: f64,
    /// Mean absolute error of the tokens that the router believed to be cached.
    pub prediction_error_tokens: f64,
    /// Requests that were sent again because their endpoint died.
    pub retried: u64,
    /// Requests that got no whole answer.
    pub broken: usize,
    /// The run was ended early because its criterion could not be met any more.
    pub gave_up: bool,
}

impl Outcome {
    /// Sums up `measured` over `endpoints`.
    #[must_use]
    pub fn of(measured: &[Measured], endpoints: usize, retried: u64, gave_up: bool) -> Outcome {
        let requests = measured.len();
        let share = |count: usize| count as f64 / requests.max(1) as f64;
        let seconds = |value: Option<Duration>| value.map(|value| value.as_secs_f64());
        // Who never got a token waited longer than anybody who did.
        let ttft = Quantiles::of(
            measured
                .iter()
                .map(|one| seconds(one.ttft).unwrap_or(f64::INFINITY))
                .collect(),
        );
        let tpot = Quantiles::of(
            measured
                .iter()
                .filter_map(|one| seconds(one.tpot))
                .collect(),
        );
        let of_ttft = |pick: fn(&Quantiles) -> f64| ttft.as_ref().map_or(f64::NAN, pick);
        let answered = || measured.iter().filter(|one| one.cached_tokens.is_some());
        let cached = |one: &Measured| one.cached_tokens.unwrap_or(0);
        let prompt: u64 = answered().map(|one| one.prompt_tokens).sum();
        let of_prompt = |tokens: u64| tokens as f64 / prompt.max(1) as f64;
        let mut computed = vec![0_u64; endpoints];
        for one in answered() {
            computed[one.endpoint] += one.prompt_tokens - cached(one);
        }
        let most = computed.iter().max().copied().unwrap_or(0) as f64;
        let mean = computed.iter().sum::<u64>() as f64 / endpoints.max(1) as f64;
        let error: u64 = answered()
            .map(|one| one.predicted_tokens.abs_diff(cached(one)))
            .sum();
        Outcome {
            requests,
            goodput: share(measured.iter().filter(|one| one.is_good()).count()),
            late: share(measured.iter().filter(|one| one.is_late()).count()),
            ttft_p50_s: of_ttft(|ttft| ttft.p50),
            ttft_p90_s: of_ttft(|ttft| ttft.p90),
            ttft_p99_s: of_ttft(|ttft| ttft.p99),
            tpot_p50_s: tpot.map_or(f64::NAN, |tpot| tpot.p50),
            hit_ratio: of_prompt(answered().map(cached).sum()),
            tier_ratio: of_prompt(answered().map(|one| one.loaded_tokens).sum()),
            imbalance: if mean > 0.0 { most / mean } else { 1.0 },
            prediction_error_tokens: error as f64 / answered().count().max(1) as f64,
            retried,
            broken: measured.iter().filter(|one| !one.is_complete).count(),
            gave_up,
        }
    }
}
