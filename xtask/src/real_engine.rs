//! Real vLLM servers on the CPU with the gateway in front, for the tools that judge it there.
//!
//! vLLM, PyTorch and the Python clients are installed once, into the user's cache: 2.5 GB.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Failure;
use crate::leash::Leashed;

/// Two servers that start at once on two busy cores have taken two minutes.
const ENGINE_STARTS_WITHIN: Duration = Duration::from_secs(600);
const GATEWAY_STARTS_WITHIN: Duration = Duration::from_secs(30);
/// Exit status of a judge that has measured, and found that the claim does not hold.
const NOT_SHOWN: i32 = 3;

/// Options of every tool that judges in front of a real engine.
#[derive(clap::Args)]
pub struct Args {
    /// A gateway that is already built, in place of building one for release
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
}

/// Where everything is, installed and built.
pub struct Bench<'a> {
    root: &'a Path,
    dir: PathBuf,
    gateway: PathBuf,
}

impl<'a> Bench<'a> {
    /// Installs vLLM where it is not yet, and builds the gateway.
    ///
    /// Errs where the machine lacks something, which is then named.
    pub fn prepare(root: &'a Path, args: &Args) -> Result<Bench<'a>, Failure> {
        let dir = cache()?.join("warmgate/vllm");
        let install = root.join("conformance/vllm/install.sh");
        succeed(Command::new(install).arg(&dir))?;
        let gateway = match &args.gateway {
            Some(built) => built.clone(),
            None => build(root)?,
        };
        Ok(Bench { root, dir, gateway })
    }

    /// Starts one vLLM server with further `flags`; it is not up yet.
    pub fn start_engine(
        &self,
        name: &str,
        address: SocketAddr,
        flags: &[&str],
    ) -> Result<Leashed, Failure> {
        let (dir, port) = (self.dir.to_string_lossy(), address.port().to_string());
        let mut command = vec!["conformance/vllm/serve.sh", &*dir, &port];
        command.extend(flags);
        Leashed::start(self.root, &self.logs(), name, &command)
    }

    /// Where servers log; what else a run leaves behind goes there as well.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Starts a script of `conformance/` that serves.
    pub fn start_script(&self, script: &str, arguments: &[String]) -> Result<Leashed, Failure> {
        let python = self.dir.join("venv/bin/python");
        let (python, path) = (python.to_string_lossy(), format!("conformance/{script}"));
        let mut command = vec![&*python, "-B", &path];
        command.extend(arguments.iter().map(String::as_str));
        Leashed::start(self.root, &self.logs(), script, &command)
    }

    /// Starts the gateway with `flags`, and waits until `GET path` of its admin port answers 200.
    pub fn start_gateway(
        &self,
        name: &str,
        admin: SocketAddr,
        path: &str,
        flags: &[String],
    ) -> Result<Leashed, Failure> {
        let (program, admin_flag) = (self.gateway.to_string_lossy(), format!("--admin={admin}"));
        let mut command = vec![&*program, "serve", &admin_flag];
        command.extend(flags.iter().map(String::as_str));
        let mut gateway = Leashed::start(self.root, &self.logs(), name, &command)?;
        gateway.wait_until_ok(admin, path, GATEWAY_STARTS_WITHIN)?;
        Ok(gateway)
    }

    /// Runs a judge of `conformance/`: whether the claim holds.
    ///
    /// Errs where the judge could not tell.
    pub fn judge(&self, script: &str, arguments: &[String]) -> Result<bool, Failure> {
        let mut command = self.python();
        let status = command
            .arg(format!("conformance/{script}"))
            .args(arguments)
            .status()
            .map_err(|error| format!("{script} did not start: {error}"))?;
        match status.code() {
            Some(0) => Ok(true),
            Some(NOT_SHOWN) => Ok(false),
            _ => Err(format!("conformance/{script}: {status}")),
        }
    }

    /// Runs a script of `conformance/`, and returns what it prints.
    pub fn measure(&self, script: &str, arguments: &[String]) -> Result<String, Failure> {
        let mut command = self.python();
        let output = command
            .arg(format!("conformance/{script}"))
            .args(arguments)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{script} did not start: {error}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!("conformance/{script}: {}", output.status)),
        }
    }

    /// Prints the machine and all versions, so that what follows can be quoted.
    pub fn print_circumstances(&self) -> Result<(), Failure> {
        succeed(self.python().arg("conformance/machine.py"))?;
        let version = Command::new(&self.gateway).arg("--version").output();
        let version =
            version.map_err(|error| format!("{} does not run: {error}", self.gateway.display()))?;
        let version = String::from_utf8_lossy(&version.stdout);
        println!("gateway   {}", version.trim());
        Ok(())
    }

    fn python(&self) -> Command {
        let mut command = Command::new(self.dir.join("venv/bin/python"));
        command
            .current_dir(self.root)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

/// Waits until an engine answers.
pub fn wait_for_engine(engine: &mut Leashed, address: SocketAddr) -> Result<(), Failure> {
    engine.wait_until_ok(address, "/health", ENGINE_STARTS_WITHIN)
}

/// Where this user's programs keep what they can get again.
pub fn cache() -> Result<PathBuf, Failure> {
    let from = |name, below| {
        let folder = std::env::var_os(name).map(PathBuf::from);
        folder
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(below))
    };
    from("XDG_CACHE_HOME", "")
        .or_else(|| from("HOME", ".cache"))
        .ok_or_else(|| {
            "neither XDG_CACHE_HOME nor HOME is set: where should it be installed?".to_owned()
        })
}

fn build(root: &Path) -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Takes minutes: its progress is shown.
    succeed(
        Command::new(cargo)
            .args(["build", "--release", "--locked", "--package", "warmgate"])
            .current_dir(root),
    )?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || root.join("target"),
        |folder| root.join(PathBuf::from(folder)),
    );
    Ok(target.join("release/warmgate"))
}

/// Runs a command to its end, with its output shown.
pub fn succeed(command: &mut Command) -> Result<(), Failure> {
    let status = command
        .status()
        .map_err(|error| format!("{command:?} did not start: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{command:?}: {status}"))
    }
}
