//! How an engine's metric names map to an [`EngineReport`](warmgate_routing::report::EngineReport).

use warmgate_routing::endpoint::Engine;

/// One engine's names.
#[derive(Debug)]
pub(crate) struct NameTable {
    pub engine: Engine,
    /// Beginnings of series names that only this engine uses.
    pub name_prefixes: &'static [&'static str],
    /// Where it shows its metrics, likeliest first.
    pub places: &'static [Place],
    /// Labels whose values tell copies of one figure apart: the largest copy counts. Along every
    /// other label (ranks of data parallelism, models) figures are summed.
    pub copy_labels: &'static [&'static str],
    pub running: Option<Count>,
    pub waiting: Option<Count>,
    /// The first that is on the page counts; of several ranks, the fullest.
    pub kv_usage: &'static [Usage],
    /// The first that is on the page counts.
    pub capacity: &'static [Capacity],
    pub prefix_queries: Option<Count>,
    pub prefix_hits: Option<Count>,
    /// Hits in tiers behind the device, where `prefix_hits` leaves them out.
    pub tier_hits: Option<Count>,
}

/// A path, on the endpoint's own port unless one is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub path: &'static str,
    pub port: Option<u16>,
}

/// A series, or the part of it that carries one label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Series {
    pub name: &'static str,
    pub label: Option<(&'static str, &'static str)>,
}

/// A number of requests or tokens.
#[derive(Debug)]
pub(crate) struct Count {
    /// Sums of series; the first sum with a member on the page counts.
    pub any_of: &'static [&'static [Series]],
    pub absent: Absent,
}

/// What it means that a series is not on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// The engine shows it from first use on.
    Zero,
    /// This version or backend has no such figure.
    Unknown,
}

/// The share of the KV cache in use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Usage {
    /// As reported, 0 to 1.
    Share(Series),
    /// `used` (zero where absent) out of `of`, both in tokens.
    Part { used: Series, of: Series },
}

/// The size of the KV cache in tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Capacity {
    /// As reported.
    Tokens(Series),
    /// Blocks, and tokens in each, as two series.
    Blocks { blocks: Series, tokens_each: Series },
    /// As a label of an information series.
    LabelTokens {
        series: Series,
        tokens: &'static str,
    },
    /// Blocks, and tokens in each, as two labels of an information series.
    LabelBlocks {
        series: Series,
        blocks: &'static str,
        tokens_each: &'static str,
    },
}

/// A whole series.
pub(crate) const fn series(name: &'static str) -> Series {
    Series { name, label: None }
}

/// The part of a series where `label` is `value`.
pub(crate) const fn labelled(
    name: &'static str,
    label: &'static str,
    value: &'static str,
) -> Series {
    Series {
        name,
        label: Some((label, value)),
    }
}

/// A path on the endpoint's own port.
pub(crate) const fn at(path: &'static str) -> Place {
    Place { path, port: None }
}
