//! What simulated fleets carried, policy by policy: tables for the terminal, and one page.
//!
//! A comparison shows every cell, those that the default loses too. Differences within
//! [`TIE_RATIO`] are ties: as much comes from the seed and from the steps of the search.

mod duel;
mod page;
mod plot;
mod table;

pub use self::duel::{Duel, TIE_RATIO, Verdict};
pub use self::page::page;
pub use self::table::{capacity_table, comparison_table, run_table};

use crate::simulate::grid::{Capacities, Cell};
use crate::simulate::outcome::Outcome;

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub policy: String,
    /// Whether it is what Warmgate does unless told otherwise.
    pub is_default: bool,
}

/// Policies in cells under one workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Name of the workload.
    pub workload: String,
    /// What is not as by default, for people.
    pub settings: String,
    /// The policies.
    pub entries: Vec<Entry>,
    /// What they carried in each cell.
    pub cells: Vec<CellResult>,
    /// What loads did to them in one cell; none where nobody asked.
    pub curves: Option<Curves>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub struct CellResult {
    /// Its size.
    pub cell: Cell,
    /// One for each entry.
    pub capacities: Vec<Capacities>,
}

/// Runs of all policies at the same loads.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// Where.
    pub cell: Cell,
    /// Multiples of the recorded load, ascending.
    pub loads: Vec<f64>,
    /// One for each entry, and in it one for each load.
    pub runs: Vec<Vec<Outcome>>,
}

impl Comparison {
    /// For each entry, the geometric mean over all cells.
    #[must_use]
    pub fn means(&self) -> Vec<Capacities> {
        (0..self.entries.len())
            .map(|entry| {
                let of_cells: Vec<Capacities> = self
                    .cells
                    .iter()
                    .map(|cell| cell.capacities[entry])
                    .collect();
                Capacities::geometric_mean(&of_cells)
            })
            .collect()
    }
}
