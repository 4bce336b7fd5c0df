//! Medians and ratios of what was measured.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Microseconds by size and candidate, one for each round.
#[derive(Default)]
pub struct Measured {
    sizes: BTreeMap<usize, Vec<(&'static str, Vec<f64>)>>,
}

impl Measured {
    /// One measurement.
    pub fn note(&mut self, kib: usize, candidate: &'static str, micros: f64) {
        let size = self.sizes.entry(kib).or_default();
        match size.iter_mut().find(|(name, _)| *name == candidate) {
            Some((_, rounds)) => rounds.push(micros),
            None => size.push((candidate, vec![micros])),
        }
    }

    /// A Markdown table: each candidate's median, and its ratio to `floor` round by round.
    pub fn render(&self, floor: &str) -> String {
        let mut out = String::from(
            "| prompt | gateway | CPU per request, median (min-max) us | ratio, median (min-max) |\n|---|---|---|---|\n",
        );
        for (kib, size) in &self.sizes {
            let base = size
                .iter()
                .find(|(name, _)| *name == floor)
                .map(|(_, rounds)| rounds.as_slice());
            for (name, rounds) in size {
                let ratios = base
                    .unwrap_or_default()
                    .iter()
                    .zip(rounds)
                    .map(|(base, own)| own / base);
                let (micros, ratios) = (spread(rounds.iter().copied()), spread(ratios));
                let _ = writeln!(
                    out,
                    "| {kib} KiB | {name} | {:.1} ({:.1}-{:.1}) | {:.2} ({:.2}-{:.2}) |",
                    micros.1, micros.0, micros.2, ratios.1, ratios.0, ratios.2
                );
            }
        }
        out
    }
}

/// Least, median and greatest; zeros where there is nothing.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(least), Some(median), Some(greatest)) => (*least, *median, *greatest),
        _ => (0.0, 0.0, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let mut measured = Measured::default();
        for (bare, ours) in [(10.0, 20.0), (40.0, 60.0), (20.0, 30.0)] {
            measured.note(1, "bare", bare);
            measured.note(1, "ours", ours);
        }
        let table = measured.render("bare");
        assert!(
            table.contains("| 1 KiB | bare | 20.0 (10.0-40.0) | 1.00 (1.00-1.00) |"),
            "{table}"
        );
        assert!(
            table.contains("| 1 KiB | ours | 30.0 (20.0-60.0) | 1.50 (1.50-2.00) |"),
            "{table}"
        );
    }
}
