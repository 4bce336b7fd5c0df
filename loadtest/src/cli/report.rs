//! `warmgate-loadtest report`: runs side by side, as a table and as a page.

use std::path::PathBuf;

use clap::Args;
use warmgate_loadtest::replay::Run;
use warmgate_loadtest::report::{Summary, load_runs, page, table};

use super::{Failure, print};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Folders with a run, or with folders of runs.
    #[arg(value_name = "DIR", required = true)]
    dirs: Vec<PathBuf>,
    /// Where to write the page; report.html in the first folder when absent.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

pub(super) fn run(args: ReportArgs) -> Result<(), Failure> {
    let mut runs: Vec<Run> = Vec::new();
    for dir in &args.dirs {
        let found = load_runs(dir)?;
        if found.is_empty() {
            return Err(format!(
                "{} holds no run; write one with replay --out {0}",
                dir.display()
            )
            .into());
        }
        runs.extend(found);
    }
    let summaries: Vec<Summary> = runs.iter().map(Run::summary).collect();
    print(&table(&summaries))?;
    let path = args
        .html
        .unwrap_or_else(|| args.dirs[0].join("report.html"));
    std::fs::write(&path, page(&runs)).map_err(|error| format!("{}: {error}", path.display()))?;
    tracing::info!(page = %path.display(), "report written");
    Ok(())
}
