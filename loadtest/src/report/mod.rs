//! Turns runs into numbers, a table for the terminal, and one page that can be mailed.
//!
//! Latencies are of requests that succeeded; TTFT and end-to-end times count from the moment a
//! request was due. The page needs no script and no network.

mod chart;
mod html;
mod quantiles;
mod series;
pub mod simulated;
mod summary;
mod svg;
mod table;

use std::path::{Path, PathBuf};

pub use html::page;
pub use quantiles::Quantiles;
pub use summary::{EndpointShare, LATE_MS, Summary};
pub use table::table;
pub(crate) use table::{Row, lay_out};

use crate::replay::{Run, StoreError};

/// Reads the run in `dir`, or all runs in folders right below it in order of their names.
///
/// # Errors
/// When `dir` cannot be read or a run in it is broken. No run at all is an empty list.
pub fn load_runs(dir: &Path) -> Result<Vec<Run>, StoreError> {
    if Run::is_at(dir) {
        return Ok(vec![Run::load(dir)?]);
    }
    let at_dir = |source| StoreError::Io {
        path: dir.to_owned(),
        source,
    };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(dir)
        .map_err(at_dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(at_dir)?;
    folders.retain(|folder| Run::is_at(folder));
    folders.sort();
    folders.iter().map(|folder| Run::load(folder)).collect()
}
