//! Other programs, run so that a failure says what was run and what it said.

use std::path::Path;
use std::process::{Child, Command};

use crate::Failure;

/// Runs `cargo` at `root` and returns its standard output.
///
/// Errs when it cannot be started, ends with another status than 0, or does not print UTF-8.
pub fn cargo(root: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let shown = format!("cargo {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|error| format!("`{shown}` did not start: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{shown}`: {}\n{}", output.status, said.trim_end()));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("`{shown}` printed no UTF-8: {error}"))
}

/// A child that does not outlive its owner.
pub struct Killed(pub Child);

impl Killed {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_returned_and_failure_is_shown() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo(here, &["--version"]).unwrap().starts_with("cargo "));
        let failure = cargo(here, &["no-such-command"]).unwrap_err();
        assert!(failure.contains("`cargo no-such-command`"), "{failure}");
        assert!(failure.contains("no such command"), "{failure}");
    }
}
