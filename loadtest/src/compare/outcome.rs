//! What one gateway is judged by.

use std::net::SocketAddr;

use serde::Serialize;

use super::account::Usage;
use crate::engine::EngineState;
use crate::report::{Quantiles, Summary};

/// One gateway under one load. Times are in the trace's time: as measured, multiplied by
/// `time_scale`. One line of `compare --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub gateway: String,
    /// Requests sent.
    pub requests: usize,
    /// Of these, failed.
    pub errors: usize,
    /// Turns not sent, because an earlier one of their conversation failed.
    pub skipped: usize,
    /// Sent more than [`LATE_MS`](crate::report::LATE_MS) after they were due: where there are any,
    /// the machine measured itself.
    pub late: usize,
    /// Prompt tokens that engines found in their caches, on the device or in the host tier, over
    /// all prompt tokens that reached them, by their own count, 0..=1.
    pub hit_ratio: Option<f64>,
    /// The same by `cached_tokens` in the answers that clients got; absent where none says.
    pub hit_ratio_reported: Option<f64>,
    /// Time to first token, seconds, of requests that succeeded.
    pub ttft_p50_s: Option<f64>,
    /// Likewise.
    pub ttft_p90_s: Option<f64>,
    /// Likewise.
    pub ttft_p99_s: Option<f64>,
    /// Time per output token after the first, seconds.
    pub tpot_p50_s: Option<f64>,
    /// Prompt tokens computed by the busiest engine over the mean of all: 1 is perfect.
    pub balance: Option<f64>,
    /// User and system time of the gateway's processes from before the first request until after
    /// the last, health checks and scrapes included. As measured, not scaled.
    pub router_cpu_s: f64,
    /// That for each request sent, in microseconds.
    pub router_cpu_us_per_request: Option<f64>,
    /// Sum of the gateway's processes' peaks of resident memory.
    pub router_peak_rss_bytes: u64,
    /// From the first request to the last answer, seconds in the trace's time.
    pub duration_s: f64,
    /// Arrivals and engines were that much faster than in the trace.
    pub time_scale: f64,
    /// Share of all processors of this machine that was busy meanwhile, with whatever, 0..=1.
    pub machine_busy: f64,
    /// The machine's load average over one minute, at the end.
    pub load_average: Option<f64>,
    /// Each engine, in order.
    pub endpoints: Vec<EndpointOutcome>,
}

/// One engine's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointOutcome {
    /// Where it listened.
    pub address: SocketAddr,
    /// Inference requests that reached it.
    pub requests: u64,
    /// Prompt tokens of these.
    pub prompt_tokens: u64,
    /// Of these, found in its cache on the device.
    pub cached_tokens: u64,
    /// Of these, loaded from its host tier.
    pub loaded_tokens: u64,
}

/// Everything that was measured of one gateway.
pub(super) struct Measured {
    pub summary: Summary,
    pub time_scale: f64,
    pub endpoints: Vec<EndpointOutcome>,
    /// Before the load and after it.
    pub usage: [Usage; 2],
    pub machine_busy: f64,
    pub load_average: Option<f64>,
}

impl EndpointOutcome {
    pub(super) fn of(address: SocketAddr, state: &EngineState) -> Self {
        Self {
            address,
            requests: state.received_total,
            prompt_tokens: state.prefix_queries_tokens_total,
            cached_tokens: state.prefix_hits_tokens_total,
            loaded_tokens: state.host_hits_tokens_total,
        }
    }

    /// Prompt tokens it had to compute.
    pub fn computed_tokens(&self) -> u64 {
        self.prompt_tokens
            .saturating_sub(self.cached_tokens + self.loaded_tokens)
    }
}

impl Measured {
    pub(super) fn outcome(self) -> Outcome {
        let Self {
            summary,
            usage: [before, after],
            ..
        } = self;
        let seconds = |quantiles: Option<Quantiles>, pick: fn(&Quantiles) -> f64| {
            quantiles
                .as_ref()
                .map(|all| pick(all) / 1e3 * self.time_scale)
        };
        let router_cpu_s = (after.cpu_s - before.cpu_s).max(0.0);
        let per_request =
            |total: f64| (summary.requests > 0).then(|| total / summary.requests as f64);
        Outcome {
            requests: summary.requests,
            errors: summary.failed,
            skipped: summary.skipped,
            late: summary.late,
            hit_ratio: hit_ratio(&self.endpoints),
            hit_ratio_reported: summary.hit_ratio,
            ttft_p50_s: seconds(summary.ttft_ms, |all| all.p50),
            ttft_p90_s: seconds(summary.ttft_ms, |all| all.p90),
            ttft_p99_s: seconds(summary.ttft_ms, |all| all.p99),
            tpot_p50_s: seconds(summary.tpot_ms, |all| all.p50),
            balance: balance(&self.endpoints),
            router_cpu_s,
            router_cpu_us_per_request: per_request(router_cpu_s * 1e6),
            router_peak_rss_bytes: after.peak_rss_bytes,
            duration_s: summary.duration_s * self.time_scale,
            time_scale: self.time_scale,
            machine_busy: self.machine_busy,
            load_average: self.load_average,
            gateway: summary.name,
            endpoints: self.endpoints,
        }
    }
}

fn hit_ratio(endpoints: &[EndpointOutcome]) -> Option<f64> {
    let prompt: u64 = endpoints.iter().map(|one| one.prompt_tokens).sum();
    let computed: u64 = endpoints.iter().map(EndpointOutcome::computed_tokens).sum();
    (prompt > 0).then(|| (prompt - computed) as f64 / prompt as f64)
}

/// Engines that were never asked count: a gateway that forgets one is out of balance.
fn balance(endpoints: &[EndpointOutcome]) -> Option<f64> {
    let computed = endpoints.iter().map(EndpointOutcome::computed_tokens);
    let total: u64 = computed.clone().sum();
    let most = computed.max()?;
    (total > 0).then(|| most as f64 * endpoints.len() as f64 / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Record, Run, RunMeta};

    fn endpoint(prompt_tokens: u64, cached_tokens: u64) -> EndpointOutcome {
        // Half of it from each tier: where a token comes from makes no difference here.
        let loaded_tokens = cached_tokens / 2;
        EndpointOutcome {
            address: "127.0.0.1:1".parse().unwrap(),
            requests: 1,
            prompt_tokens,
            cached_tokens: cached_tokens - loaded_tokens,
            loaded_tokens,
        }
    }

    fn summary() -> Summary {
        let record = |ttft_ms| Record {
            ttft_ms: Some(ttft_ms),
            tpot_ms: Some(5.0),
            ..Record::default()
        };
        let meta = RunMeta {
            name: "it".to_owned(),
            target: String::new(),
            model: String::new(),
            load: String::new(),
            time_scale: 4.0,
            stream: true,
            started_at_s: 0.0,
            duration_s: 10.0,
            skipped: 0,
            version: String::new(),
        };
        let records = vec![record(100.0), record(500.0)];
        Run { meta, records }.summary()
    }

    #[test]
    fn latencies_are_in_the_traces_time_and_costs_are_not() {
        let usage = |cpu_s| Usage {
            processes: 1,
            cpu_s,
            peak_rss_bytes: 7,
        };
        let outcome = Measured {
            summary: summary(),
            time_scale: 4.0,
            endpoints: vec![endpoint(100, 40), endpoint(100, 80)],
            usage: [usage(1.0), usage(1.5)],
            machine_busy: 0.5,
            load_average: None,
        }
        .outcome();
        assert_eq!(
            (outcome.ttft_p50_s, outcome.ttft_p90_s),
            (Some(0.4), Some(2.0))
        );
        assert_eq!((outcome.tpot_p50_s, outcome.duration_s), (Some(0.02), 40.0));
        assert_eq!(
            (outcome.hit_ratio, outcome.hit_ratio_reported),
            (Some(0.6), None)
        );
        assert_eq!(outcome.balance, Some(1.5));
        assert_eq!(
            (outcome.router_cpu_s, outcome.router_peak_rss_bytes),
            (0.5, 7)
        );
        assert_eq!(outcome.router_cpu_us_per_request, Some(250_000.0));
    }

    #[test]
    fn an_engine_that_gets_nothing_is_out_of_balance() {
        assert_eq!(balance(&[endpoint(50, 0), endpoint(0, 0)]), Some(2.0));
        assert_eq!(balance(&[endpoint(0, 0)]), None);
        assert_eq!(hit_ratio(&[]), None);
    }
}
