//! The plots of a comparison.

use super::super::chart::{Axis, Bar, Line, Point, Scale, bar_chart, line_chart};
use super::table::label;
use super::{CellResult, Curves, Entry};
use crate::simulate::outcome::Outcome;

/// An entry that is drawn.
pub(super) struct Drawn<'a> {
    pub entry: &'a Entry,
    /// Its place among all entries.
    pub index: usize,
}

/// A quantity against load; `dashed` is drawn in the same colours.
pub(super) fn against_load(
    name: &'static str,
    curves: &Curves,
    drawn: &[Drawn<'_>],
    y_axis: &Axis,
    solid: fn(&Outcome) -> f64,
    dashed: Option<fn(&Outcome) -> f64>,
) -> String {
    let x_axis = Axis {
        label: "load, 1 = as recorded",
        scale: Scale::Linear,
        max: None,
    };
    let mut lines = Vec::new();
    for of in [Some(solid), dashed].into_iter().flatten() {
        for (colour, one) in drawn.iter().enumerate() {
            lines.push(Line {
                name: label(one.entry),
                run: colour,
                dashed: lines.len() >= drawn.len(),
                points: points(curves, one.index, of),
            });
        }
    }
    line_chart(name, &x_axis, y_axis, &lines)
}

/// What never came has no place on the paper.
fn points(curves: &Curves, entry: usize, of: fn(&Outcome) -> f64) -> Vec<Point> {
    curves
        .loads
        .iter()
        .zip(&curves.runs[entry])
        .map(|(&x, run)| Point { x, y: of(run) })
        .filter(|point| point.y.is_finite())
        .collect()
}

/// One bar for each policy at the load of that number.
pub(super) fn imbalance(curves: &Curves, drawn: &[Drawn<'_>], load: usize) -> String {
    let bars: Vec<Bar> = drawn
        .iter()
        .enumerate()
        .map(|(colour, one)| {
            let value = curves.runs[one.index][load].imbalance;
            Bar {
                label: label(one.entry),
                run: colour,
                value,
                title: format!("{}: {value:.2} times the mean", one.entry.policy),
            }
        })
        .collect();
    bar_chart(
        "tokens computed by the busiest endpoint over the mean",
        &bars,
    )
}

/// One bar for each policy.
pub(super) fn capacities(result: &CellResult, drawn: &[Drawn<'_>]) -> String {
    let bars: Vec<Bar> = drawn
        .iter()
        .enumerate()
        .map(|(colour, one)| {
            let carried = result.capacities[one.index];
            Bar {
                label: label(one.entry),
                run: colour,
                value: carried.goodput,
                title: format!(
                    "{}: {:.2} by goodput, {:.2} by TTFT p90",
                    one.entry.policy, carried.goodput, carried.ttft_p90
                ),
            }
        })
        .collect();
    bar_chart(&format!("capacity, {}", result.cell), &bars)
}
