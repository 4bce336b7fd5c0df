//! The gateway against a real API server: builds a control plane once, then runs the tests that
//! need one in a network of their own.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::Failure;
use crate::real_engine::{cache, succeed};

/// What to run.
#[derive(clap::Args)]
pub struct Args {
    /// Build what is missing, and run nothing
    #[arg(long)]
    install_only: bool,
    /// Build the gateway for release: for figures, tests do not need it
    #[arg(long)]
    release: bool,
    /// Arguments of the test program, after `--`: parts of tests' names, --nocapture and so on
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// Tests measure how soon something is known: several at once on few cores would measure one
/// another.
const TEST_THREADS: (&str, &str) = ("RUST_TEST_THREADS", "1");

/// Installs, builds, and runs the tests.
///
/// Errs where something cannot be built, where this machine allows no network namespaces, and
/// where a test fails.
pub fn run(root: &Path, args: &Args) -> Result<(), Failure> {
    let (installed, scripts) = (
        cache()?.join("warmgate/cluster"),
        root.join("conformance/cluster"),
    );
    succeed(Command::new(scripts.join("install.sh")).arg(&installed))?;
    if args.install_only {
        return Ok(());
    }
    let namespace = scripts.join("namespace.sh");
    // Asked before minutes of building.
    succeed(Command::new(&namespace).arg("true"))?;
    let data = TempDir::new().map_err(|error| format!("no temporary folder: {error}"))?;
    let mut tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells this program of itself would have build scripts run again that look at it,
    // and minutes of building follow.
    for (name, _) in std::env::vars_os() {
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if told
            .iter()
            .any(|start| name.to_string_lossy().starts_with(start))
        {
            tests.env_remove(name);
        }
    }
    tests
        .args(["test", "--locked", "--workspace"])
        .args(["--test", "cluster"])
        .args(args.release.then_some("--release"))
        .args([
            "--config",
            &runner(&root.join("conformance/leash.sh"), &namespace),
        ])
        .arg("--")
        .args(&args.arguments)
        .current_dir(root)
        .env("WARMGATE_CLUSTER", &installed)
        .env("WARMGATE_CLUSTER_DATA", data.path());
    if std::env::var_os(TEST_THREADS.0).is_none() {
        tests.env(TEST_THREADS.0, TEST_THREADS.1);
    }
    leashed(&mut tests)
}

/// Has cargo build out here, where there may be a network for it, and run tests in there.
fn runner(leash: &Path, namespace: &Path) -> String {
    let (leash, namespace) = (leash.display(), namespace.display());
    format!("target.'cfg(all())'.runner = ['{leash}', '{namespace}']")
}

/// The leash that cargo runs tests on listens to its standard input: control planes end with this
/// process, however it ends.
fn leashed(command: &mut Command) -> Result<(), Failure> {
    let mut child = command
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo did not start: {error}"))?;
    // `wait` closes it otherwise.
    let leash = child.stdin.take();
    let status = child.wait().map_err(|error| error.to_string())?;
    drop(leash);
    match status.success() {
        true => Ok(()),
        false => Err(format!("cluster tests: {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_is_a_setting_that_cargo_can_read() {
        let text = runner(Path::new("/a b/leash.sh"), Path::new("/a b/namespace.sh"));
        let setting = toml::de::DeTable::parse(&text).unwrap();
        let runner = &setting.get_ref()["target"].get_ref()["cfg(all())"].get_ref()["runner"];
        let words: Vec<_> = runner.get_ref().as_array().unwrap().iter().collect();
        let words: Vec<_> = words.iter().map(|word| word.get_ref().as_str()).collect();
        let expected = ["/a b/leash.sh", "/a b/namespace.sh"].map(Some);
        assert_eq!(words, expected);
    }
}
