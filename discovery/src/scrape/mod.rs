//! From a metrics page to an [`EngineReport`]: which engine wrote it, and what its figures say.
//!
//! ```
//! use warmgate_discovery::scrape::read_page;
//! let page = "vllm:num_requests_running{engine=\"0\"} 3\nvllm:num_requests_running{engine=\"1\"} 4\n";
//! let report = read_page(page, None)?;
//! assert_eq!((report.running, report.waiting), (Some(7), Some(0)));
//! # Ok::<(), warmgate_discovery::scrape::PageError>(())
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;

use warmgate_routing::endpoint::Engine;
use warmgate_routing::report::EngineReport;
use warmgate_routing::units::{Ratio, Tokens};

pub(crate) mod engines;
pub(crate) mod name_table;
pub mod prometheus_text;

use name_table::{Absent, Capacity, Count, NameTable, Series, Usage};
use prometheus_text::{Sample, samples};

/// Most bytes of a metrics page. A recorded SGLang page has 0.1 MB, and each rank adds to it.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most series of a page that are of use here; a few for each rank of data parallelism.
pub const SERIES_MAX: usize = 4_096;

/// A page that tells nothing about an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// No series of any engine that is known here.
    #[error(
        "no series of a known engine on the page; set `engine`, or look whether the address is that of an engine"
    )]
    NoEngine,
    /// The page of another engine than the configured one.
    #[error("the page is of {found:?}, not of {expected:?} as configured")]
    OtherEngine {
        /// As configured.
        expected: Engine,
        /// As the names say.
        found: Engine,
    },
    /// More than [`SERIES_MAX`] series of use.
    #[error("more than {SERIES_MAX} series of use on the page")]
    TooManySeries,
}

/// What the page says. With `engine` set a page without any of its names is an idle engine that
/// has shown nothing yet; without, the engine is the one whose names are the most on the page.
///
/// # Errors
/// Where the page is nobody's, somebody else's, or has too many series.
pub fn read_page(page: &str, engine: Option<Engine>) -> Result<EngineReport, PageError> {
    let found = whose(page);
    let table = match (engine, found) {
        (None, None) => return Err(PageError::NoEngine),
        (None, Some(found)) => found,
        (Some(expected), Some(found)) if found.engine != expected && !has_names(page, expected) => {
            let found = found.engine;
            return Err(PageError::OtherEngine { expected, found });
        }
        (Some(expected), _) => engines::table(expected),
    };
    Ok(Figures::of(page, table)?.report())
}

fn whose(page: &str) -> Option<&'static NameTable> {
    let mut seen = [0_usize; engines::TABLES.len()];
    for sample in samples(page).flatten() {
        for (count, table) in seen.iter_mut().zip(engines::TABLES) {
            *count += usize::from(is_of(sample.name, table));
        }
    }
    let counted = seen.into_iter().zip(engines::TABLES);
    let (count, table) = counted.max_by_key(|(count, _)| *count)?;
    (count > 0).then_some(table)
}

fn has_names(page: &str, engine: Engine) -> bool {
    let table = engines::table(engine);
    samples(page)
        .flatten()
        .any(|sample| is_of(sample.name, table))
}

fn is_of(name: &str, table: &NameTable) -> bool {
    let mut prefixes = table.name_prefixes.iter();
    prefixes.any(|prefix| name.starts_with(prefix))
}

/// Python's client library, and others after it, show this for every process.
const PROCESS_START: Series = name_table::series("process_start_time_seconds");

/// The samples of a page that its table names.
struct Figures<'a> {
    table: &'static NameTable,
    samples: Vec<Sample<'a>>,
}

impl<'a> Figures<'a> {
    fn of(page: &'a str, table: &'static NameTable) -> Result<Figures<'a>, PageError> {
        let is_of_use = |sample: &Sample<'_>| {
            sample.name == PROCESS_START.name
                || is_of(sample.name, table) && is_named(sample, table)
        };
        let found: Vec<_> = samples(page)
            .flatten()
            .filter(|sample| sample.value.is_finite() && is_of_use(sample))
            .take(SERIES_MAX + 1)
            .collect();
        if found.len() > SERIES_MAX {
            return Err(PageError::TooManySeries);
        }
        Ok(Figures {
            table,
            samples: found,
        })
    }

    fn report(&self) -> EngineReport {
        let table = self.table;
        let requests = |count: &Option<Count>| {
            let total = self.count(count.as_ref()?)?;
            Some(u32::try_from(total).unwrap_or(u32::MAX))
        };
        let tokens = |count: &Option<Count>| self.count(count.as_ref()?).map(Tokens);
        EngineReport {
            engine: table.engine,
            running: requests(&table.running),
            waiting: requests(&table.waiting),
            kv_usage: table.kv_usage.iter().find_map(|usage| self.usage(*usage)),
            capacity: table
                .capacity
                .iter()
                .find_map(|capacity| self.capacity(*capacity)),
            prefix_queries: tokens(&table.prefix_queries),
            prefix_hits: tokens(&table.prefix_hits),
            tier_hits: tokens(&table.tier_hits),
            process_start_s: self.largest(PROCESS_START),
        }
    }

    fn count(&self, count: &Count) -> Option<u64> {
        let on_page = count.any_of.iter().find(|sum| {
            sum.iter()
                .any(|series| self.matching(*series).next().is_some())
        });
        match (on_page, count.absent) {
            (Some(sum), _) => {
                let total: f64 = sum.iter().filter_map(|series| self.total(*series)).sum();
                Some(whole(total))
            }
            (None, Absent::Zero) => Some(0),
            (None, Absent::Unknown) => None,
        }
    }

    fn usage(&self, usage: Usage) -> Option<Ratio> {
        let share = match usage {
            Usage::Share(series) => self.largest(series)?,
            Usage::Part { used, of } => {
                let of = self.total(of).filter(|of| *of > 0.0)?;
                self.total(used).unwrap_or(0.0) / of
            }
        };
        Some(Ratio::clamped(share))
    }

    fn capacity(&self, capacity: Capacity) -> Option<Tokens> {
        let tokens = match capacity {
            Capacity::Tokens(series) => self.total(series)?,
            Capacity::Blocks {
                blocks,
                tokens_each,
            } => self.total(blocks)? * self.largest(tokens_each)?,
            Capacity::LabelTokens { series, tokens } => {
                self.total_of(series, |sample| number(sample, tokens))?
            }
            Capacity::LabelBlocks {
                series,
                blocks,
                tokens_each,
            } => self.total_of(series, |sample| {
                Some(number(sample, blocks)? * number(sample, tokens_each)?)
            })?,
        };
        // An engine that is still measuring its memory shows none.
        (tokens >= 1.0).then(|| Tokens(whole(tokens)))
    }

    fn matching(&self, series: Series) -> impl Iterator<Item = &Sample<'a>> {
        self.samples
            .iter()
            .filter(move |sample| is_part(sample, series))
    }

    fn largest(&self, series: Series) -> Option<f64> {
        self.matching(series)
            .map(|sample| sample.value)
            .reduce(f64::max)
    }

    fn total(&self, series: Series) -> Option<f64> {
        self.total_of(series, |sample| Some(sample.value))
    }

    /// The sum over all labels but those of copies; of copies the largest.
    fn total_of(&self, series: Series, figure: impl Fn(&Sample<'a>) -> Option<f64>) -> Option<f64> {
        let mut groups: BTreeMap<Vec<(&str, Cow<'_, str>)>, f64> = BTreeMap::new();
        for sample in self.matching(series) {
            let Some(value) = figure(sample) else {
                continue;
            };
            let labels = sample.labels.iter();
            let mut group: Vec<_> = labels
                .filter(|(name, _)| !self.table.copy_labels.contains(name))
                .collect();
            group.sort_unstable();
            let largest = groups.entry(group).or_insert(value);
            *largest = largest.max(value);
        }
        groups.into_values().reduce(|sum, value| sum + value)
    }
}

fn is_named(sample: &Sample<'_>, table: &NameTable) -> bool {
    let counts = [
        &table.running,
        &table.waiting,
        &table.prefix_queries,
        &table.prefix_hits,
        &table.tier_hits,
    ];
    let counts = counts.into_iter().flatten();
    let counted = counts.flat_map(|count| count.any_of.iter().copied().flatten().copied());
    let usages = table.kv_usage.iter().flat_map(|usage| match *usage {
        Usage::Share(series) => [Some(series), None],
        Usage::Part { used, of } => [Some(used), Some(of)],
    });
    let capacities = table.capacity.iter().flat_map(|capacity| match *capacity {
        Capacity::Tokens(series)
        | Capacity::LabelTokens { series, .. }
        | Capacity::LabelBlocks { series, .. } => [Some(series), None],
        Capacity::Blocks {
            blocks,
            tokens_each,
        } => [Some(blocks), Some(tokens_each)],
    });
    counted
        .chain(usages.flatten())
        .chain(capacities.flatten())
        .any(|series| is_part(sample, series))
}

fn is_part(sample: &Sample<'_>, series: Series) -> bool {
    sample.name == series.name
        && series
            .label
            .is_none_or(|(name, value)| sample.labels.get(name).as_deref() == Some(value))
}

/// A label that holds a number; vLLM writes `None` where it has none.
fn number(sample: &Sample<'_>, label: &str) -> Option<f64> {
    let number: f64 = sample.labels.get(label)?.parse().ok()?;
    number.is_finite().then_some(number)
}

/// Gauges of broken exporters may be negative, or beyond what an integer holds: the cast saturates.
fn whole(value: f64) -> u64 {
    value.round() as u64
}
