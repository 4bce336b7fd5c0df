//! One program of the control plane, as a child of this process.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::installation;

/// Of the log of a program that has not started.
const LOG_LINES_SHOWN: usize = 20;

/// Killed when dropped.
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program of the installation; its output goes to `logs/NAME.log` there.
    pub fn start(name: &str, program: &str, arguments: &[String]) -> Program {
        let installation = installation();
        let logs = installation.join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).unwrap();
        let path = installation.join("bin").join(program);
        let child = Command::new(&path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!(
                "{} does not run ({error}): `cargo xtask cluster` builds it",
                path.display()
            )
        });
        let name = name.to_owned();
        Program { name, child, log }
    }

    /// Fails where it has ended by itself.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{status}\n{}", self.last_words());
        }
    }

    /// What it said last.
    pub fn last_words(&self) -> String {
        let said = std::fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        format!("{} said, in {}:\n{last}", self.name, self.log.display())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
