//! Simulated results in a terminal.

use super::super::table::{Row, lay_out};
use super::{Comparison, Duel, Entry};
use crate::simulate::grid::Capacities;
use crate::simulate::outcome::Outcome;

/// Cells side by side; more are put below.
const CELLS_ABREAST: usize = 6;
/// Stands where nothing was measured.
const ABSENT: &str = "-";

/// One row for each run of a policy at a load.
pub fn run_table(runs: &[(Entry, f64, Outcome)]) -> String {
    let heads = [
        "load",
        "good",
        "TTFT p50, s",
        "p90",
        "p99",
        "TPOT p50, ms",
        "hit",
        "from tier",
        "busiest/mean",
        "requests",
        "broken",
    ];
    let rows = runs
        .iter()
        .map(|(entry, load, run)| Row {
            label: label(entry),
            cells: vec![
                shown(*load, 2),
                percent(run.goodput),
                shown(run.ttft_p50_s, 2),
                shown(run.ttft_p90_s, 2),
                shown(run.ttft_p99_s, 2),
                shown(run.tpot_p50_s * 1e3, 1),
                percent(run.hit_ratio),
                percent(run.tier_ratio),
                shown(run.imbalance, 2),
                run.requests.to_string(),
                run.broken.to_string(),
            ],
        })
        .collect();
    lay_out(heads.map(str::to_owned).to_vec(), rows)
}

/// One row for each policy.
pub fn capacity_table(results: &[(Entry, Capacities)]) -> String {
    let heads = ["goodput >= 90 %", "TTFT p90 <= 5 s"];
    let rows = results
        .iter()
        .map(|(entry, carried)| Row {
            label: label(entry),
            cells: vec![shown(carried.goodput, 2), shown(carried.ttft_p90, 2)],
        })
        .collect();
    lay_out(heads.map(str::to_owned).to_vec(), rows)
}

/// All cells, their geometric means, and where the default stands in each.
pub fn comparison_table(comparison: &Comparison) -> String {
    let mut out = format!(
        "{}: largest load with goodput >= 90 % / with TTFT p90 <= 5 s; 1 = as recorded{}\n",
        comparison.workload, comparison.settings
    );
    let means = comparison.means();
    let mut columns: Vec<(String, &[Capacities])> = comparison
        .cells
        .iter()
        .map(|cell| (cell.cell.to_string(), cell.capacities.as_slice()))
        .collect();
    columns.push(("geom. mean".to_owned(), &means));
    for abreast in columns.chunks(CELLS_ABREAST) {
        out.push('\n');
        out.push_str(&matrix(&comparison.entries, abreast));
    }
    let standings = standings(&comparison.entries, &columns);
    if !standings.is_empty() {
        out.push('\n');
        let heads = [
            "by goodput",
            "best other",
            "",
            "ratio",
            "",
            "by TTFT p90",
            "best other",
            "",
            "ratio",
            "",
        ];
        out.push_str(&lay_out(heads.map(str::to_owned).to_vec(), standings));
    }
    out
}

fn matrix(entries: &[Entry], columns: &[(String, &[Capacities])]) -> String {
    let rows = entries
        .iter()
        .enumerate()
        .map(|(index, entry)| Row {
            label: label(entry),
            cells: columns
                .iter()
                .map(|(_, carried)| {
                    let one = carried[index];
                    format!("{} / {}", shown(one.goodput, 2), shown(one.ttft_p90, 2))
                })
                .collect(),
        })
        .collect();
    lay_out(columns.iter().map(|(name, _)| name.clone()).collect(), rows)
}

fn standings(entries: &[Entry], columns: &[(String, &[Capacities])]) -> Vec<Row<String>> {
    let half = |carried: &[Capacities], of: fn(&Capacities) -> f64| {
        let loads: Vec<f64> = carried.iter().map(of).collect();
        let duel = Duel::of(entries, &loads)?;
        Some([
            shown(duel.default, 2),
            duel.rival.to_owned(),
            shown(duel.rival_carries, 2),
            shown(duel.ratio, 2),
            duel.verdict().word().to_owned(),
        ])
    };
    columns
        .iter()
        .filter_map(|(name, carried)| {
            let good = half(carried, |one| one.goodput)?;
            let p90 = half(carried, |one| one.ttft_p90)?;
            Some(Row {
                label: name.clone(),
                cells: good.into_iter().chain(p90).collect(),
            })
        })
        .collect()
}

/// The default stands out.
pub(super) fn label(entry: &Entry) -> String {
    let mark = if entry.is_default { " (default)" } else { "" };
    format!("{}{mark}", entry.policy)
}

fn percent(ratio: f64) -> String {
    if ratio.is_finite() {
        format!("{:.1} %", ratio * 100.0)
    } else {
        ABSENT.to_owned()
    }
}

/// Infinite is what never came.
pub(super) fn shown(value: f64, digits: usize) -> String {
    if value.is_finite() {
        format!("{value:.digits$}")
    } else {
        ABSENT.to_owned()
    }
}
