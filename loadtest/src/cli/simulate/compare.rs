//! Every policy in every cell: capacities, and curves for the page.

use warmgate_loadtest::report::simulated::{
    CellResult, Comparison, Curves, comparison_table, page,
};
use warmgate_loadtest::simulate::grid::{Cell, Question};

use super::super::{Failure, print};
use super::{Mean, Study, line};

/// Loads of the plots, as multiples of what the default carries in the cell that is plotted.
const PLOTTED: [f64; 7] = [0.25, 0.5, 0.7, 0.85, 1.0, 1.15, 1.3];

pub(super) fn run(study: &Study<'_>) -> Result<(), Failure> {
    let args = study.args;
    let cells = args.fleet.cells();
    let mut results: Vec<CellResult> = cells
        .iter()
        .map(|&cell| CellResult {
            cell,
            capacities: Vec::new(),
        })
        .collect();
    tracing::info!(
        cells = cells.len(),
        policies = study.entrants.len(),
        "searching for capacities"
    );
    study.ask(&cells, &[Question::Capacity], |place, answer| {
        if let Mean::Capacity(carried) = answer {
            if args.json {
                let entry = study.entry(place.entrant);
                print(&line::of_cell(cells[place.cell], &entry, carried)?)?;
            }
            results[place.cell].capacities.push(carried);
        }
        Ok(())
    })?;
    let mut comparison = Comparison {
        workload: args.source.name(),
        settings: args.fleet.settings(),
        entries: (0..study.entrants.len())
            .map(|entrant| study.entry(entrant))
            .collect(),
        cells: results,
        curves: None,
    };
    if !args.json {
        print(&comparison_table(&comparison))?;
    }
    if let Some(path) = &args.html {
        comparison.curves = Some(curves(study, cells[0], loads(study, &comparison))?);
        std::fs::write(path, page(&comparison))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        tracing::info!(page = %path.display(), "page written");
    }
    Ok(())
}

/// Those asked for, or some around what the default carries.
fn loads(study: &Study<'_>, comparison: &Comparison) -> Vec<f64> {
    let mut loads = study.args.load.clone();
    if loads.is_empty() {
        let first = &comparison.cells[0].capacities;
        let of_default = comparison.entries.iter().zip(first);
        let carried = of_default
            .filter(|(entry, _)| entry.is_default)
            .map(|(_, carried)| carried.goodput)
            .chain(first.iter().map(|carried| carried.goodput))
            .find(|carried| *carried > 0.0)
            .unwrap_or(1.0);
        loads = PLOTTED.iter().map(|share| share * carried).collect();
    }
    loads.sort_by(f64::total_cmp);
    loads
}

fn curves(study: &Study<'_>, cell: Cell, loads: Vec<f64>) -> Result<Curves, Failure> {
    tracing::info!(%cell, loads = loads.len(), "running the loads of the plots");
    let questions: Vec<Question> = loads.iter().copied().map(Question::Load).collect();
    let mut runs = vec![Vec::new(); study.entrants.len()];
    study.ask(&[cell], &questions, |place, answer| {
        if let Mean::Run(outcome) = answer {
            runs[place.entrant].push(*outcome);
        }
        Ok(())
    })?;
    Ok(Curves { cell, loads, runs })
}
