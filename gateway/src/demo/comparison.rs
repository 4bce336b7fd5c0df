//! Two runs of the same load, as a table and as a verdict.

use std::fmt;

use warmgate_loadtest::report::{EndpointShare, Quantiles, Summary};

use super::{BASELINE_POLICY, DemoError};

/// What clients saw of each.
pub(super) struct Comparison {
    pub(super) baseline: Summary,
    pub(super) warm: Summary,
}

impl Comparison {
    /// Whether the default policy did what it is for.
    ///
    /// # Errors
    /// Where requests failed, or its hit ratio is not above the baseline's.
    pub(super) fn verdict(&self) -> Result<(), DemoError> {
        let runs = [&self.baseline, &self.warm];
        let failed = runs.iter().map(|run| run.failed + run.skipped).sum();
        if failed > 0 {
            let requests = runs.iter().map(|run| run.requests + run.skipped).sum();
            return Err(DemoError::Failed { failed, requests });
        }
        let [baseline, warm] = runs.map(|run| run.hit_ratio.unwrap_or(0.0));
        if warm > baseline {
            return Ok(());
        }
        Err(DemoError::NotBetter {
            warm,
            policy: BASELINE_POLICY,
            baseline,
        })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |label: &str, cell: &dyn Fn(&Summary) -> String| {
            let (baseline, warm) = (cell(&self.baseline), cell(&self.warm));
            writeln!(f, "{label:34} {baseline:>22} {warm:>22}")
        };
        row("", &|run| run.name.clone())?;
        row("requests", &|run| run.requests.to_string())?;
        row("failed", &|run| (run.failed + run.skipped).to_string())?;
        row("prompt tokens found in a cache", &|run| {
            run.hit_ratio
                .map_or_else(absent, |ratio| format!("{:.1} %", ratio * 100.0))
        })?;
        row("time to first token p50, ms", &|run| millis(run, |q| q.p50))?;
        row("time to first token p90, ms", &|run| millis(run, |q| q.p90))?;
        row("time to first token p99, ms", &|run| millis(run, |q| q.p99))?;
        row("answer complete p50, ms", &|run| {
            run.e2e_ms.map_or_else(absent, |q| format!("{:.0}", q.p50))
        })?;
        row("requests on each endpoint", &|run| {
            each(run, |share| share.requests.to_string())
        })?;
        row("computed on each, 1000 tokens", &|run| {
            each(run, |share| (share.computed_tokens() / 1_000).to_string())
        })?;
        row("busiest endpoint over mean", &|run| {
            run.imbalance()
                .map_or_else(absent, |times| format!("{times:.2}"))
        })
    }
}

fn absent() -> String {
    "-".to_owned()
}

fn millis(run: &Summary, pick: fn(&Quantiles) -> f64) -> String {
    run.ttft_ms
        .as_ref()
        .map_or_else(absent, |q| format!("{:.0}", pick(q)))
}

fn each(run: &Summary, cell: fn(&EndpointShare) -> String) -> String {
    let cells: Vec<String> = run.endpoints.iter().map(cell).collect();
    cells.join(" / ")
}

#[cfg(test)]
mod tests {
    use warmgate_loadtest::replay::{Record, Run, RunMeta};

    use super::*;

    fn run(cached_tokens: u64, error: Option<&str>) -> Summary {
        let meta = RunMeta {
            name: format!("{cached_tokens} cached"),
            target: String::new(),
            model: String::new(),
            load: String::new(),
            time_scale: 1.0,
            stream: true,
            started_at_s: 0.0,
            duration_s: 1.0,
            skipped: 0,
            version: String::new(),
        };
        let record = Record {
            ttft_ms: Some(12.0),
            prompt_tokens: Some(4_000),
            cached_tokens: Some(cached_tokens),
            endpoint: Some("127.0.0.1:1".to_owned()),
            error: error.map(str::to_owned),
            ..Record::default()
        };
        Run {
            meta,
            records: vec![record],
        }
        .summary()
    }

    fn verdict(baseline: Summary, warm: Summary) -> Result<(), DemoError> {
        Comparison { baseline, warm }.verdict()
    }

    #[test]
    fn only_more_hits_without_failures_convince() {
        assert!(verdict(run(1_000, None), run(1_001, None)).is_ok());
        for warm in [999, 1_000] {
            let error = verdict(run(1_000, None), run(warm, None)).unwrap_err();
            assert!(matches!(error, DemoError::NotBetter { .. }), "{error}");
        }
        let error = verdict(run(0, Some("cut")), run(4_000, None)).unwrap_err();
        assert!(
            matches!(
                error,
                DemoError::Failed {
                    failed: 1,
                    requests: 2
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn both_runs_stand_side_by_side() {
        let (baseline, warm) = (run(1_000, None), run(3_000, None));
        insta::assert_snapshot!(Comparison { baseline, warm });
    }
}
