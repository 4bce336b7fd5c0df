//! A page of metrics, read as far as these tests ask.

use std::fmt;

/// One page in Prometheus' text format.
#[derive(Clone, Debug)]
pub struct Page {
    text: String,
}

impl Page {
    /// Keeps the page.
    pub fn parse(text: &str) -> Page {
        Page {
            text: text.to_owned(),
        }
    }

    /// Sum over all series of that name whose labels have these values; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(name)
            .filter(|(series, _)| {
                labels
                    .iter()
                    .all(|(label, value)| series.contains(&format!("{label}=\"{value}\"")))
            })
            .map(|(_, value)| value)
            .sum()
    }

    /// How many series of that name there are.
    pub fn count(&self, name: &str) -> usize {
        self.series(name).count()
    }

    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.text.lines().filter_map(move |line| {
            let labels = line.strip_prefix(name)?;
            if !labels.starts_with(['{', ' ']) {
                return None;
            }
            let (labels, value) = labels.rsplit_once(' ')?;
            Some((labels, value.parse().ok()?))
        })
    }
}

impl fmt::Display for Page {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
