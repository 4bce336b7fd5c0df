//! A command with all its children, as one process group that ends with the comparison.
//!
//! It is killed when its handle is dropped, on every path that unwinds. For the paths that do not
//! (the comparison itself is killed), a shell in a group of its own holds the reading end of a
//! pipe: the kernel closes the other end with this process, and the shell kills the group.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::{Instant, sleep};

use super::account::{self, Usage};
use super::error::CompareError;

/// Pause between two looks at processes that are starting or ending.
pub(super) const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Of a log, in the message about a process that failed.
const LOG_LINES_SHOWN: usize = 12;
/// Longest end of a log that is read for it.
const LOG_BYTES_SHOWN: usize = 16 * 1024;

/// How a group came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It ended when it was told to.
    Asked,
    /// It did not, and was killed.
    Killed,
}

/// A running process group.
pub(super) struct Group {
    name: String,
    log: PathBuf,
    leader: Child,
    leash: Child,
}

impl Group {
    /// Starts `command` as the leader of a group, with its output in `folder/name.log`.
    ///
    /// # Errors
    /// Where the log cannot be written or a process cannot be started.
    pub(super) fn start(
        name: &str,
        mut command: Command,
        folder: &Path,
    ) -> Result<Self, CompareError> {
        let log = folder.join(format!("{name}.log"));
        let failed = |source| CompareError::Start {
            name: name.to_owned(),
            source,
        };
        let output = File::create(&log).map_err(failed)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .process_group(0);
        let mut leader = command.spawn().map_err(failed)?;
        let leash = leash(leader.id()).inspect_err(|_| end(&mut leader));
        Ok(Self {
            name: name.to_owned(),
            log,
            leash: leash.map_err(failed)?,
            leader,
        })
    }

    /// Its log so far.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn log(&self) -> std::io::Result<Vec<u8>> {
        std::fs::read(&self.log)
    }

    /// Nothing while its leader runs, else an error that says how it ended and what it said last.
    pub(super) fn check_running(&mut self) -> Result<(), CompareError> {
        let looked = self.leader.try_wait();
        let ended = looked.map_err(|source| CompareError::Start {
            name: self.name.clone(),
            source,
        })?;
        match ended {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// What it costs so far.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub(super) fn usage(&self) -> Result<Usage, CompareError> {
        account::usage(self.leader.id()).map_err(CompareError::Account)
    }

    /// Tells all its processes to end, kills what is left after `limit`, and waits until none is.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub(super) async fn stop(&mut self, limit: Duration) -> Result<End, CompareError> {
        let deadline = Instant::now() + limit;
        let mut how = End::Asked;
        signal(self.leader.id(), Signal::TERM);
        while self.usage()?.processes > 0 {
            if Instant::now() >= deadline {
                how = End::Killed;
                signal(self.leader.id(), Signal::KILL);
            }
            sleep(LOOK_PAUSE).await;
        }
        Ok(how)
    }

    /// The end of its log, for people.
    pub(super) fn last_words(&self) -> String {
        let log = self.log().unwrap_or_default();
        let end = &log[log.len().saturating_sub(LOG_BYTES_SHOWN)..];
        let text = String::from_utf8_lossy(end);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    fn ended(&self, status: ExitStatus) -> CompareError {
        CompareError::Ended {
            name: self.name.clone(),
            status,
            said: self.last_words(),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The leash first: the group's number is free once its leader has been waited for.
        let _ = self.leash.kill();
        let _ = self.leash.wait();
        end(&mut self.leader);
    }
}

/// Kills a leader and its group.
fn end(leader: &mut Child) {
    signal(leader.id(), Signal::KILL);
    // It cannot be waited for twice only where it has ended.
    let _ = leader.wait();
}

/// A group that has ended hears nothing, which is no failure.
fn signal(leader: u32, signal: Signal) {
    if let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, signal);
    }
}

/// What kills the group when this process is gone.
fn leash(leader: u32) -> std::io::Result<Child> {
    Command::new("sh")
        .args(["-c", "read -r _; kill -s KILL -- \"-$0\""])
        .arg(leader.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, folder: &Path) -> Group {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Group::start("it", command, folder).unwrap()
    }

    fn wait_for(group: &Group, word: &str) {
        while !String::from_utf8_lossy(&group.log().unwrap()).contains(word) {
            std::thread::yield_now();
        }
    }

    // It turns without `sleep`: a child that a shell has forked, but that is not `sleep` yet, has
    // the shell's trap, and a signal that comes then is lost.
    const CHILDREN: &str =
        "sh -c 'trap \"echo child ended; exit\" TERM; echo up; while :; do :; done' & wait";

    #[tokio::test]
    async fn children_are_told_to_end_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let mut group = start(CHILDREN, folder.path());
        wait_for(&group, "up");
        assert!(group.usage().unwrap().processes >= 2);
        assert_eq!(
            group.stop(Duration::from_secs(60)).await.unwrap(),
            End::Asked
        );
        assert_eq!(group.usage().unwrap().processes, 0);
        assert!(group.last_words().contains("child ended"));
    }

    #[tokio::test]
    async fn who_does_not_listen_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; echo up; while :; do sleep 1000 & wait; done";
        let mut group = start(script, folder.path());
        wait_for(&group, "up");
        assert_eq!(group.stop(Duration::ZERO).await.unwrap(), End::Killed);
        assert_eq!(group.usage().unwrap().processes, 0);
    }

    #[test]
    fn a_dropped_group_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let group = start(CHILDREN, folder.path());
        wait_for(&group, "up");
        let leader = group.leader.id();
        drop(group);
        // Killed processes end when the kernel gets to it.
        while account::usage(leader).unwrap().processes > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn processor_time_and_memory_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo up; sleep 1000";
        let group = start(script, folder.path());
        wait_for(&group, "up");
        let usage = group.usage().unwrap();
        assert!(
            usage.cpu_s > 0.0 && usage.peak_rss_bytes > 100_000,
            "{usage:?}"
        );
    }

    #[test]
    fn an_early_end_is_told_with_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut group = start("echo no such flag; exit 7", folder.path());
        let error = loop {
            if let Err(error) = group.check_running() {
                break error.to_string();
            }
            std::thread::yield_now();
        };
        for word in ["it ended", "7", "no such flag"] {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
}
