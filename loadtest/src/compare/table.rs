//! Gateways side by side in a terminal.

use super::outcome::Outcome;
use crate::report::{Row, lay_out};

/// A table with one column for each gateway, for a terminal.
pub fn table(outcomes: &[Outcome]) -> String {
    let names = outcomes.iter().map(|one| one.gateway.clone()).collect();
    lay_out(names, rows(outcomes))
}

fn rows(outcomes: &[Outcome]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |label, cell: &dyn Fn(&Outcome) -> String| {
        rows.push(Row {
            label,
            cells: outcomes.iter().map(cell).collect(),
        });
    };
    row("requests", &|one| one.requests.to_string());
    row("errors", &|one| one.errors.to_string());
    row("skipped", &|one| one.skipped.to_string());
    row("sent late", &|one| one.late.to_string());
    row("hit ratio, engines", &|one| percent(one.hit_ratio));
    row("hit ratio, answers", &|one| percent(one.hit_ratio_reported));
    row("TTFT p50, s", &|one| number(one.ttft_p50_s, 3));
    row("TTFT p90, s", &|one| number(one.ttft_p90_s, 3));
    row("TTFT p99, s", &|one| number(one.ttft_p99_s, 3));
    row("TPOT p50, ms", &|one| {
        number(one.tpot_p50_s.map(|s| s * 1e3), 1)
    });
    row("balance, max/mean", &|one| number(one.balance, 2));
    row("router CPU, s", &|one| number(Some(one.router_cpu_s), 2));
    row("router CPU, us/request", &|one| {
        number(one.router_cpu_us_per_request, 0)
    });
    row("router peak RSS, MiB", &|one| {
        number(Some(one.router_peak_rss_bytes as f64 / MIB), 0)
    });
    row("duration, s", &|one| number(Some(one.duration_s), 0));
    row("machine busy", &|one| percent(Some(one.machine_busy)));
    row("load average", &|one| number(one.load_average, 1));
    rows
}

const MIB: f64 = 1024.0 * 1024.0;

fn percent(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) => format!("{:.1} %", ratio * 100.0),
        None => ABSENT.to_owned(),
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    match value {
        Some(value) => format!("{value:.digits$}"),
        None => ABSENT.to_owned(),
    }
}

/// Stands where nothing was measured.
const ABSENT: &str = "-";
