//! What Warmgate is good for, shown in a minute on one machine.

use thiserror::Error;

use crate::cli::DemoArgs;

/// Why the demonstration ended early.
#[derive(Debug, Error)]
#[error("the demonstration is not built yet")]
pub struct DemoError;

/// Runs it.
///
/// # Errors
/// Always, for now.
pub fn run(_: &DemoArgs) -> Result<(), DemoError> {
    Err(DemoError)
}
