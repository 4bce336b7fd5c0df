//! A comparison on one page, readable anywhere, without script or network.

use super::super::chart::{Axis, COLOURS, Scale};
use super::super::html::{document, section};
use super::super::svg::escape;
use super::plot::{self, Drawn};
use super::table::{label, shown};
use super::{Comparison, Curves, Duel, Verdict};
use crate::simulate::grid::Capacities;

/// The page.
pub fn page(comparison: &Comparison) -> String {
    let means = comparison.means();
    let drawn = drawn(comparison, &means);
    let curves = comparison.curves.as_ref().map_or(String::new(), |curves| {
        curve_sections(comparison, curves, &drawn)
    });
    let bars: String = comparison
        .cells
        .iter()
        .map(|result| {
            section(
                &format!("Capacity, {}", result.cell),
                "Largest load with goodput of 90 %; longer is better.",
                &plot::capacities(result, &drawn),
            )
        })
        .collect();
    let main = format!(
        "{}\n{}\n<div class=\"plots\">\n{curves}{bars}</div>\n",
        matrix(comparison, &means),
        standings(comparison, &means),
    );
    let title = format!("Simulated capacity, {}", comparison.workload);
    document(&title, &header(comparison, &drawn), &main)
}

/// As many as can be told apart: the default, and the strongest of the others by their means.
fn drawn<'a>(comparison: &'a Comparison, means: &[Capacities]) -> Vec<Drawn<'a>> {
    let mut order: Vec<usize> = (0..comparison.entries.len()).collect();
    order.sort_by(|&a, &b| {
        let is_default = |index: usize| comparison.entries[index].is_default;
        (is_default(b).cmp(&is_default(a)))
            .then(means[b].goodput.total_cmp(&means[a].goodput))
            .then(a.cmp(&b))
    });
    order
        .into_iter()
        .take(COLOURS)
        .map(|index| Drawn {
            entry: &comparison.entries[index],
            index,
        })
        .collect()
}

fn header(comparison: &Comparison, drawn: &[Drawn<'_>]) -> String {
    let items: String = drawn
        .iter()
        .enumerate()
        .map(|(colour, one)| {
            format!(
                "<li><span class=\"swatch c{colour}\"></span><b>{}</b></li>",
                escape(&label(one.entry))
            )
        })
        .collect();
    let left_out = comparison.entries.len() - drawn.len();
    let note = if left_out > 0 {
        format!("; plots show the strongest, tables the other {left_out} as well")
    } else {
        String::new()
    };
    format!(
        "<p class=\"dim\">Virtual time{}{note}. A cell is endpoints x device cache + host tier, \
         in tokens of each endpoint.</p><ul class=\"legend\">{items}</ul>",
        escape(&comparison.settings)
    )
}

fn matrix(comparison: &Comparison, means: &[Capacities]) -> String {
    let heads: String = comparison
        .cells
        .iter()
        .map(|result| format!("<th scope=\"col\">{}</th>", result.cell))
        .collect();
    let rows: String = comparison
        .entries
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            let of_cells = comparison.cells.iter().map(|cell| cell.capacities[index]);
            let cells: String = of_cells
                .chain([means[index]])
                .map(|one| {
                    format!(
                        "<td>{} / {}</td>",
                        shown(one.goodput, 2),
                        shown(one.ttft_p90, 2)
                    )
                })
                .collect();
            format!(
                "<tr><th scope=\"row\">{}</th>{cells}</tr>\n",
                escape(&label(entry))
            )
        })
        .collect();
    format!(
        "<section class=\"wide\"><h2>Capacity</h2><p class=\"dim\">Largest load with goodput of \
         90 % / with TTFT p90 of 5 s; 1 is the load as recorded.</p><table><thead><tr><td></td>\
         {heads}<th scope=\"col\">geometric mean</th></tr></thead>\n<tbody>\n{rows}</tbody>\
         </table></section>"
    )
}

fn standings(comparison: &Comparison, means: &[Capacities]) -> String {
    let cells = comparison.cells.iter();
    let rows: String = cells
        .map(|result| (result.cell.to_string(), result.capacities.as_slice()))
        .chain([("geometric mean".to_owned(), means)])
        .filter_map(|(name, carried)| {
            let good = standing(comparison, carried, |one| one.goodput)?;
            let p90 = standing(comparison, carried, |one| one.ttft_p90)?;
            Some(format!(
                "<tr><th scope=\"row\">{}</th>{good}{p90}</tr>\n",
                escape(&name)
            ))
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads = "<th>default</th><th>best other</th><th></th><th>ratio</th><th></th>";
    format!(
        "<section class=\"wide\"><h2>The default and the best of the others</h2>\
         <p class=\"dim\">By goodput, then by TTFT p90. Within 5 % is a tie.</p>\
         <table><thead><tr><td></td>{heads}{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table>\
         </section>"
    )
}

fn standing(
    comparison: &Comparison,
    carried: &[Capacities],
    of: fn(&Capacities) -> f64,
) -> Option<String> {
    let loads: Vec<f64> = carried.iter().map(of).collect();
    let duel = Duel::of(&comparison.entries, &loads)?;
    let word = duel.verdict().word();
    let word = match duel.verdict() {
        Verdict::Behind => format!("<b>{word}</b>"),
        Verdict::Ahead | Verdict::Tie => word.to_owned(),
    };
    Some(format!(
        "<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{word}</td>",
        shown(duel.default, 2),
        escape(duel.rival),
        shown(duel.rival_carries, 2),
        shown(duel.ratio, 2)
    ))
}

fn curve_sections(comparison: &Comparison, curves: &Curves, drawn: &[Drawn<'_>]) -> String {
    let axis = |label, scale, max| Axis { label, scale, max };
    let share = |label| axis(label, Scale::Linear, Some(1.0));
    let seconds = axis("s", Scale::Log, None);
    let cell = curves.cell;
    let latency = plot::against_load(
        "time to first token against load",
        curves,
        drawn,
        &seconds,
        |run| run.ttft_p50_s,
        Some(|run| run.ttft_p90_s),
    );
    let goodput = plot::against_load(
        "goodput against load",
        curves,
        drawn,
        &share("share of good requests"),
        |run| run.goodput,
        None,
    );
    let hits = plot::against_load(
        "hit ratio against load",
        curves,
        drawn,
        &share("share of prompt tokens"),
        |run| run.hit_ratio,
        Some(|run| run.tier_ratio),
    );
    let level = busiest_load(comparison, curves);
    let balance = plot::imbalance(curves, drawn, level);
    [
        section(
            &format!("Time to first token against load, {cell}"),
            "Median (solid) and 90th percentile (dashed).",
            &latency,
        ),
        section(
            &format!("Goodput against load, {cell}"),
            "Share of requests that met the objective.",
            &goodput,
        ),
        section(
            &format!("Hit ratio against load, {cell}"),
            "Prompt tokens found in caches (solid); of these, loaded from the host tier (dashed).",
            &hits,
        ),
        section(
            &format!("Balance at load {:.2}, {cell}", curves.loads[level]),
            "Prompt tokens computed by the busiest endpoint over the mean; 1 is even.",
            &balance,
        ),
    ]
    .concat()
}

/// The largest load that the default still carries; the smallest of all where it carries none.
fn busiest_load(comparison: &Comparison, curves: &Curves) -> usize {
    let result = comparison
        .cells
        .iter()
        .find(|result| result.cell == curves.cell);
    let carried = result.map_or(0.0, |result| {
        let both = comparison.entries.iter().zip(&result.capacities);
        both.filter(|(entry, _)| entry.is_default)
            .map(|(_, carried)| carried.goodput)
            .fold(0.0, f64::max)
    });
    let below = |load: &&f64| **load <= carried;
    curves.loads.iter().filter(below).count().saturating_sub(1)
}
