//! A run in numbers, for tables, tests and the demo.

use std::collections::BTreeMap;

use super::quantiles::Quantiles;
use crate::replay::{Record, Run};

/// A request sent later than this many ms is counted as late: the load tester had no room for it.
pub const LATE_MS: f64 = 100.0;

/// Everything a run is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Name of the run.
    pub name: String,
    /// Requests sent.
    pub requests: usize,
    /// Of these, failed.
    pub failed: usize,
    /// Turns without an answer because an earlier one of their session failed or the run stopped.
    pub skipped: usize,
    /// Sent more than [`LATE_MS`] after they were due.
    pub late: usize,
    /// Seconds from the start to the last answer.
    pub duration_s: f64,
    /// Prompt tokens of requests whose server told how many were cached.
    pub prompt_tokens: u64,
    /// Of these, found in a prefix cache.
    pub cached_tokens: u64,
    /// `cached_tokens / prompt_tokens`, 0..=1; none when no server told.
    pub hit_ratio: Option<f64>,
    /// Tokens generated.
    pub output_tokens: u64,
    /// Time to first token in ms.
    pub ttft_ms: Option<Quantiles>,
    /// Time per output token in ms.
    pub tpot_ms: Option<Quantiles>,
    /// End-to-end time in ms.
    pub e2e_ms: Option<Quantiles>,
    /// What each endpoint got, by address; empty when responses did not name it.
    pub endpoints: Vec<EndpointShare>,
}

/// One endpoint's part of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointShare {
    /// `host:port`.
    pub endpoint: String,
    /// Requests it answered.
    pub requests: usize,
    /// Prompt tokens of these.
    pub prompt_tokens: u64,
    /// Of these, found in its prefix cache.
    pub cached_tokens: u64,
}

impl EndpointShare {
    /// Prompt tokens it had to compute.
    pub fn computed_tokens(&self) -> u64 {
        self.prompt_tokens.saturating_sub(self.cached_tokens)
    }
}

impl Summary {
    /// Of a run.
    pub fn of(run: &Run) -> Self {
        let records = &run.records;
        let told = || {
            records
                .iter()
                .filter(|record| record.cached_tokens.is_some())
        };
        let prompt_tokens = told().filter_map(|record| record.prompt_tokens).sum();
        let cached_tokens = told().filter_map(|record| record.cached_tokens).sum();
        Self {
            name: run.meta.name.clone(),
            requests: records.len(),
            failed: records
                .iter()
                .filter(|record| record.error.is_some())
                .count(),
            skipped: run.meta.skipped,
            late: records
                .iter()
                .filter(|record| record.late_ms > LATE_MS)
                .count(),
            duration_s: run.meta.duration_s,
            prompt_tokens,
            cached_tokens,
            hit_ratio: (prompt_tokens > 0).then(|| cached_tokens as f64 / prompt_tokens as f64),
            output_tokens: records.iter().map(|record| record.output_tokens).sum(),
            ttft_ms: of_successes(records, |record| record.ttft_ms),
            tpot_ms: of_successes(records, |record| record.tpot_ms),
            e2e_ms: of_successes(records, |record| Some(record.e2e_ms)),
            endpoints: shares(records),
        }
    }

    /// Requests answered per second.
    pub fn requests_per_s(&self) -> f64 {
        per_second(self.requests - self.failed, self.duration_s)
    }

    /// Tokens generated per second.
    pub fn output_tokens_per_s(&self) -> f64 {
        per_second(self.output_tokens as usize, self.duration_s)
    }

    /// The busiest endpoint's computed prompt tokens over the mean of all endpoints seen: 1 is
    /// perfect balance. None with no endpoint or nothing computed.
    pub fn imbalance(&self) -> Option<f64> {
        let computed = self.endpoints.iter().map(EndpointShare::computed_tokens);
        let total: u64 = computed.clone().sum();
        let max = computed.max()?;
        (total > 0).then(|| max as f64 * self.endpoints.len() as f64 / total as f64)
    }
}

fn per_second(count: usize, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

/// Percentiles over requests that succeeded.
fn of_successes(records: &[Record], value: impl Fn(&Record) -> Option<f64>) -> Option<Quantiles> {
    let successes = records.iter().filter(|record| record.error.is_none());
    Quantiles::of(successes.filter_map(value).collect())
}

fn shares(records: &[Record]) -> Vec<EndpointShare> {
    let mut by_endpoint: BTreeMap<&str, EndpointShare> = BTreeMap::new();
    for record in records {
        let Some(endpoint) = &record.endpoint else {
            continue;
        };
        let share = by_endpoint.entry(endpoint).or_default();
        share.requests += 1;
        share.prompt_tokens += record.prompt_tokens.unwrap_or(0);
        share.cached_tokens += record.cached_tokens.unwrap_or(0);
    }
    let named = |(endpoint, share): (&str, EndpointShare)| EndpointShare {
        endpoint: endpoint.to_owned(),
        ..share
    };
    by_endpoint.into_iter().map(named).collect()
}
