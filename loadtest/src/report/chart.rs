//! Axes, lines and bars from numbers.

use super::svg::{Anchor, Svg};

/// One point in the quantities' own units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub x: f64,
    pub y: f64,
}

/// One line of a plot.
pub(super) struct Line {
    pub name: String,
    /// Which run it belongs to; decides its colour.
    pub run: usize,
    pub dashed: bool,
    pub points: Vec<Point>,
}

/// How values become positions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Linear,
    Log,
}

/// What an axis shows.
pub(super) struct Axis {
    pub label: &'static str,
    pub scale: Scale,
    /// A fixed end, such as 1 for shares; else the data decides.
    pub max: Option<f64>,
}

/// Colours in the style sheet; runs beyond take them again.
pub(super) const COLOURS: usize = 8;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 44.0;
/// Ticks of a linear axis, about.
const TICKS: f64 = 5.0;
/// Decades of a logarithmic axis at most.
const DECADES_MAX: i32 = 12;

/// Lines over two axes. Empty when no line has a point.
pub(super) fn line_chart(label: &str, x_axis: &Axis, y_axis: &Axis, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    if points().next().is_none() {
        return String::new();
    }
    let x = Range::of(x_axis, points().map(|point| point.x));
    let y = Range::of(y_axis, points().map(|point| point.y));
    let at = |point: &Point| {
        (
            LEFT + x.place(point.x) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - y.place(point.y) * (HEIGHT - TOP - BOTTOM),
        )
    };
    let mut svg = Svg::new(WIDTH, HEIGHT, label);
    for tick in y.ticks() {
        let (_, height) = at(&Point { x: 0.0, y: tick });
        svg.line("grid", (LEFT, height), (WIDTH - RIGHT, height));
        svg.text(
            "tick",
            (LEFT - 6.0, height + 3.5),
            Anchor::End,
            &number(tick),
        );
    }
    for tick in x.ticks() {
        let (across, _) = at(&Point { x: tick, y: 0.0 });
        svg.line("grid", (across, TOP), (across, HEIGHT - BOTTOM));
        svg.text(
            "tick",
            (across, HEIGHT - BOTTOM + 14.0),
            Anchor::Middle,
            &number(tick),
        );
    }
    svg.text(
        "axis",
        ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 8.0),
        Anchor::Middle,
        x_axis.label,
    );
    svg.text("axis", (4.0, 11.0), Anchor::Start, y_axis.label);
    for line in lines {
        let places: Vec<(f64, f64)> = line.points.iter().map(at).collect();
        let dash = if line.dashed { " dashed" } else { "" };
        match places.as_slice() {
            [] => {}
            [only] => svg.dot(&format!("dot c{}", line.run % COLOURS), *only, &line.name),
            _ => {
                let class = format!("line c{}{dash}", line.run % COLOURS);
                svg.polyline(&class, &places, &line.name);
            }
        }
    }
    svg.finish()
}

/// One bar of a bar chart.
pub(super) struct Bar {
    pub label: String,
    pub run: usize,
    pub value: f64,
    pub title: String,
}

/// Horizontal bars, one below the other. Empty without bars.
pub(super) fn bar_chart(label: &str, bars: &[Bar]) -> String {
    const ROW: f64 = 20.0;
    const LABEL: f64 = 170.0;
    let max = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    if bars.is_empty() || max <= 0.0 {
        return String::new();
    }
    let mut svg = Svg::new(WIDTH, bars.len() as f64 * ROW + 8.0, label);
    for (index, bar) in bars.iter().enumerate() {
        let top = 4.0 + index as f64 * ROW;
        let label = shortened(&bar.label);
        svg.text("tick", (LABEL - 8.0, top + 13.0), Anchor::End, &label);
        let width = bar.value / max * (WIDTH - LABEL - 70.0);
        let class = format!("bar c{}", bar.run % COLOURS);
        svg.bar(&class, (LABEL, top + 2.0), (width, ROW - 5.0), &bar.title);
        svg.text(
            "tick",
            (LABEL + width + 6.0, top + 13.0),
            Anchor::Start,
            &number(bar.value),
        );
    }
    svg.finish()
}

/// A label that fits; its end tells pods apart.
fn shortened(label: &str) -> String {
    const CHARS_MAX: usize = 27;
    let count = label.chars().count();
    if count <= CHARS_MAX {
        return label.to_owned();
    }
    let end: String = label.chars().skip(count - CHARS_MAX + 1).collect();
    format!("\u{2026}{end}")
}

/// The stretch of values an axis covers.
struct Range {
    min: f64,
    max: f64,
    scale: Scale,
}

impl Range {
    fn of(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, 0.0), |(low, high), value| {
                (value.min(low), value.max(high))
            });
        match axis.scale {
            Scale::Linear => {
                let max = axis.max.unwrap_or(high);
                Self {
                    min: 0.0,
                    max: if max > 0.0 { max } else { 1.0 },
                    scale: axis.scale,
                }
            }
            Scale::Log => {
                let top = high.max(1e-3).log10().ceil() as i32;
                let bottom = low.max(1e-3).log10().floor() as i32;
                let bottom = bottom.min(top - 1).max(top - DECADES_MAX);
                Self {
                    min: f64::from(bottom),
                    max: f64::from(top),
                    scale: axis.scale,
                }
            }
        }
    }

    /// 0..=1 along the axis.
    fn place(&self, value: f64) -> f64 {
        let value = match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(1e-9).log10(),
        };
        ((value - self.min) / (self.max - self.min)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Log => (self.min as i32..=self.max as i32)
                .map(|power| 10_f64.powi(power))
                .collect(),
            Scale::Linear => {
                let raw = self.max / TICKS;
                let magnitude = 10_f64.powf(raw.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0]
                    .into_iter()
                    .map(|factor| factor * magnitude)
                    .find(|step| *step >= raw)
                    .unwrap_or(raw);
                let count = (self.max / step + 1e-9).floor() as usize;
                (0..=count).map(|index| index as f64 * step).collect()
            }
        }
    }
}

/// A number as short as it can be read.
fn number(value: f64) -> String {
    let (scaled, unit) = match value {
        value if value >= 1e9 => (value / 1e9, "G"),
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e4 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let decimals = if unit.is_empty() { 3 } else { 1 };
    let text = format!("{scaled:.decimals$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(scale: Scale, values: &[f64]) -> Range {
        Range::of(
            &Axis {
                label: "",
                scale,
                max: None,
            },
            values.iter().copied(),
        )
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let linear = range(Scale::Linear, &[3.0, 47.0]);
        assert_eq!(linear.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0]);
        let log = range(Scale::Log, &[7.0, 1200.0]);
        assert_eq!(log.ticks(), [1.0, 10.0, 100.0, 1000.0, 10_000.0]);
    }

    #[test]
    fn odd_values_stay_on_the_paper() {
        for scale in [Scale::Linear, Scale::Log] {
            for values in [
                &[0.0][..],
                &[0.0, 0.0],
                &[1e-30, 1e30],
                &[5.0],
                &[f64::INFINITY],
            ] {
                let range = range(scale, values);
                assert!(range.ticks().len() <= 14, "{values:?}");
                for value in values {
                    assert!((0.0..=1.0).contains(&range.place(*value)), "{values:?}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.25, 100.0, 9999.0, 12_000.0, 2_500_000.0].map(number);
        assert_eq!(shown, ["0", "0.25", "100", "9999", "12k", "2.5M"]);
    }

    #[test]
    fn long_labels_keep_their_ends() {
        assert_eq!(shortened(&"a".repeat(27)), "a".repeat(27));
        assert_eq!(
            shortened(&format!("{}:8000", "a".repeat(40)))
                .chars()
                .count(),
            27
        );
        assert!(shortened(&format!("{}:8000", "a".repeat(40))).ends_with("a:8000"));
    }

    #[test]
    fn nothing_to_show_is_nothing() {
        let axis = |scale| Axis {
            label: "x",
            scale,
            max: None,
        };
        let chart = line_chart("none", &axis(Scale::Log), &axis(Scale::Linear), &[]);
        assert!(chart.is_empty());
        assert!(bar_chart("none", &[]).is_empty());
    }
}
