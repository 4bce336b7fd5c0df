//! One page that shows runs side by side, readable anywhere, without script or network.

use super::chart::{Axis, Bar, COLOURS, Line, Scale, bar_chart, line_chart};
use super::series;
use super::summary::Summary;
use super::svg::escape;
use super::table::rows;
use crate::replay::Run;

/// Endpoints of one run that get a bar; a page of thousands could not be read.
const ENDPOINTS_SHOWN_MAX: usize = 128;
const STYLE: &str = include_str!("page.css");

/// The page for `runs`, in their order.
pub fn page(runs: &[Run]) -> String {
    let summaries: Vec<Summary> = runs.iter().map(Run::summary).collect();
    let sections = [
        section(
            "Time to first token",
            "Share of requests answered within x. Further left is better.",
            &ttft_cdf(runs),
        ),
        section(
            "Time to first token over the run",
            "Median (solid) and 90th percentile (dashed) by due time.",
            &ttft_over_time(runs),
        ),
        section(
            "Time per output token",
            "Share of requests at most this slow.",
            &tpot_cdf(runs),
        ),
        section(
            "Prefix cache hits over the run",
            "Cached share of all prompt tokens.",
            &hits(runs),
        ),
        section(
            "Work per endpoint",
            "Prompt tokens each endpoint had to compute; even bars are good balance.",
            &balance(&summaries),
        ),
    ];
    let header = legend(runs);
    let main = format!(
        "{}\n<div class=\"plots\">\n{}</div>\n",
        summary_table(&summaries),
        sections.concat()
    );
    document("Load test report", &header, &main)
}

/// A page of its own; `header` and `main` are HTML.
pub(super) fn document(title: &str, header: &str, main: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title}</h1>{header}</header>\n<main>\n{main}</main>\n</body>\n</html>\n"
    )
}

fn legend(runs: &[Run]) -> String {
    let items: String = runs
        .iter()
        .enumerate()
        .map(|(index, run)| {
            let meta = &run.meta;
            format!(
                "<li><span class=\"swatch c{}\"></span><b>{}</b> <span class=\"dim\">{}, model {}, {}</span></li>",
                index % COLOURS,
                escape(&meta.name),
                escape(&meta.target),
                escape(&meta.model),
                escape(&meta.load)
            )
        })
        .collect();
    format!("<ul class=\"legend\">{items}</ul>")
}

fn summary_table(summaries: &[Summary]) -> String {
    let names: String = summaries
        .iter()
        .map(|summary| format!("<th scope=\"col\">{}</th>", escape(&summary.name)))
        .collect();
    let body: String = rows(summaries)
        .iter()
        .map(|row| {
            let cells: String = row
                .cells
                .iter()
                .map(|cell| format!("<td>{}</td>", escape(cell)))
                .collect();
            format!(
                "<tr><th scope=\"row\">{}</th>{cells}</tr>\n",
                escape(row.label)
            )
        })
        .collect();
    format!(
        "<section class=\"wide\"><table><thead><tr><td></td>{names}</tr></thead>\n\
         <tbody>\n{body}</tbody></table></section>"
    )
}

/// A titled plot, or a line that says why there is none.
pub(super) fn section(title: &str, hint: &str, chart: &str) -> String {
    let chart = if chart.is_empty() {
        "<p class=\"dim\">not measured</p>"
    } else {
        chart
    };
    format!(
        "<section><h2>{}</h2><p class=\"dim\">{}</p>{chart}</section>\n",
        escape(title),
        escape(hint)
    )
}

fn lines(runs: &[Run], points: impl Fn(&Run) -> Vec<super::chart::Point>) -> Vec<Line> {
    let line = |(index, run): (usize, &Run)| Line {
        name: run.meta.name.clone(),
        run: index,
        dashed: false,
        points: points(run),
    };
    runs.iter().enumerate().map(line).collect()
}

fn share_axis() -> Axis {
    Axis {
        label: "share of requests",
        scale: Scale::Linear,
        max: Some(1.0),
    }
}

fn time_axis() -> Axis {
    Axis {
        label: "time of the run, s",
        scale: Scale::Linear,
        max: None,
    }
}

fn ms_axis(scale: Scale) -> Axis {
    Axis {
        label: "ms",
        scale,
        max: None,
    }
}

fn ttft_cdf(runs: &[Run]) -> String {
    let lines = lines(runs, |run| series::cumulative(run, |record| record.ttft_ms));
    line_chart(
        "time to first token, cumulative",
        &ms_axis(Scale::Log),
        &share_axis(),
        &lines,
    )
}

fn tpot_cdf(runs: &[Run]) -> String {
    let lines = lines(runs, |run| series::cumulative(run, |record| record.tpot_ms));
    line_chart(
        "time per output token, cumulative",
        &ms_axis(Scale::Linear),
        &share_axis(),
        &lines,
    )
}

fn ttft_over_time(runs: &[Run]) -> String {
    let mut all = lines(runs, |run| {
        series::over_time(run, 0.5, |record| record.ttft_ms)
    });
    let slow = lines(runs, |run| {
        series::over_time(run, 0.9, |record| record.ttft_ms)
    });
    all.extend(slow.into_iter().map(|line| Line {
        name: format!("{}, p90", line.name),
        dashed: true,
        ..line
    }));
    line_chart(
        "time to first token over time",
        &time_axis(),
        &ms_axis(Scale::Log),
        &all,
    )
}

fn hits(runs: &[Run]) -> String {
    let lines = lines(runs, series::hits_over_time);
    let percent = Axis {
        label: "% cached",
        scale: Scale::Linear,
        max: Some(100.0),
    };
    line_chart(
        "prefix cache hits over time",
        &time_axis(),
        &percent,
        &lines,
    )
}

fn balance(summaries: &[Summary]) -> String {
    let mut bars = Vec::new();
    for (run, summary) in summaries.iter().enumerate() {
        for share in summary.endpoints.iter().take(ENDPOINTS_SHOWN_MAX) {
            bars.push(Bar {
                label: share.endpoint.clone(),
                run,
                value: share.computed_tokens() as f64,
                title: format!(
                    "{}, {}: {} requests, {} of {} prompt tokens computed",
                    summary.name,
                    share.endpoint,
                    share.requests,
                    share.computed_tokens(),
                    share.prompt_tokens
                ),
            });
        }
    }
    bar_chart("prompt tokens computed by endpoint", &bars)
}
