//! Several runs side by side in a terminal.

use super::quantiles::Quantiles;
use super::summary::Summary;

/// One row: what it is and a cell for each column.
pub(crate) struct Row<L = &'static str> {
    pub label: L,
    pub cells: Vec<String>,
}

/// A table with one column for each run, for a terminal.
pub fn table(summaries: &[Summary]) -> String {
    let names = summaries
        .iter()
        .map(|summary| summary.name.clone())
        .collect();
    lay_out(names, rows(summaries))
}

/// Rows under the names of their columns, which are as wide as what is in them.
pub(crate) fn lay_out<L: AsRef<str> + Default>(
    names: Vec<String>,
    mut rows: Vec<Row<L>>,
) -> String {
    rows.insert(
        0,
        Row {
            label: L::default(),
            cells: names,
        },
    );
    let label_width = rows
        .iter()
        .map(|row| row.label.as_ref().len())
        .max()
        .unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].cells.len())
        .map(|column| {
            rows.iter()
                .map(|row| row.cells[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in &rows {
        out.push_str(&format!("{:label_width$}", row.label.as_ref()));
        for (cell, width) in row.cells.iter().zip(&widths) {
            out.push_str(&format!("  {cell:>width$}"));
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    out
}

/// The rows, without the names.
pub(super) fn rows(summaries: &[Summary]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |label, cell: &dyn Fn(&Summary) -> String| {
        rows.push(Row {
            label,
            cells: summaries.iter().map(cell).collect(),
        });
    };
    row("requests", &|one| one.requests.to_string());
    row("failed", &|one| one.failed.to_string());
    row("skipped", &|one| one.skipped.to_string());
    row("sent late", &|one| one.late.to_string());
    row("duration, s", &|one| format!("{:.1}", one.duration_s));
    row("requests/s", &|one| format!("{:.2}", one.requests_per_s()));
    row("output tokens/s", &|one| {
        format!("{:.0}", one.output_tokens_per_s())
    });
    row("hit ratio", &|one| percent(one.hit_ratio));
    row("TTFT p50, ms", &|one| millis(one.ttft_ms, |q| q.p50));
    row("TTFT p90, ms", &|one| millis(one.ttft_ms, |q| q.p90));
    row("TTFT p99, ms", &|one| millis(one.ttft_ms, |q| q.p99));
    row("TPOT p50, ms", &|one| millis(one.tpot_ms, |q| q.p50));
    row("TPOT p90, ms", &|one| millis(one.tpot_ms, |q| q.p90));
    row("TPOT p99, ms", &|one| millis(one.tpot_ms, |q| q.p99));
    row("end to end p50, ms", &|one| millis(one.e2e_ms, |q| q.p50));
    row("end to end p90, ms", &|one| millis(one.e2e_ms, |q| q.p90));
    row("end to end p99, ms", &|one| millis(one.e2e_ms, |q| q.p99));
    row("endpoints", &|one| one.endpoints.len().to_string());
    row("busiest / mean", &|one| match one.imbalance() {
        Some(imbalance) => format!("{imbalance:.2}"),
        None => ABSENT.to_owned(),
    });
    rows
}

/// Stands where nothing was measured.
const ABSENT: &str = "-";

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(
        || ABSENT.to_owned(),
        |ratio| format!("{:.1} %", ratio * 100.0),
    )
}

fn millis(quantiles: Option<Quantiles>, pick: fn(&Quantiles) -> f64) -> String {
    match quantiles.as_ref().map(pick) {
        None => ABSENT.to_owned(),
        Some(ms) if ms >= 100.0 => format!("{ms:.0}"),
        Some(ms) => format!("{ms:.1}"),
    }
}
