//! Servers that must not outlive the tool that started them, however it ends.
//!
//! A guard in this process would not run when Ctrl-C or `kill` ends it. So each server hangs on
//! a pipe: `conformance/leash.sh` ends it and all its children when the pipe's other end closes.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// Between two looks at a server that is starting.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// For one answer to `GET /health`.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Of the log of a server that did not start.
const LOG_LINES_SHOWN: usize = 20;

/// A server that ends when this value is dropped.
pub struct Leashed {
    name: String,
    log: PathBuf,
    leash: Child,
}

impl Leashed {
    /// Starts `command` with its output in `logs/name.log`.
    ///
    /// Errs where the log cannot be written or the leash does not start.
    pub fn start(
        root: &Path,
        logs: &Path,
        name: &str,
        command: &[&str],
    ) -> Result<Leashed, Failure> {
        let log = logs.join(format!("{name}.log"));
        let file = std::fs::create_dir_all(logs)
            .and_then(|()| File::create(&log))
            .map_err(|error| format!("{} cannot be written: {error}", log.display()))?;
        let output = file.try_clone().map_err(|error| error.to_string())?;
        let leash = Command::new(root.join("conformance/leash.sh"))
            .args(command)
            .current_dir(root)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(file)
            .spawn()
            .map_err(|error| format!("{name} did not start: {error}"))?;
        let name = name.to_owned();
        Ok(Leashed { name, log, leash })
    }

    /// Waits until `GET path` at `address` answers 200.
    ///
    /// Errs where the server ends before, or does not answer within `limit`.
    pub fn wait_until_ok(
        &mut self,
        address: SocketAddr,
        path: &str,
        limit: Duration,
    ) -> Result<(), Failure> {
        let begin = Instant::now();
        while !answers_ok(address, path) {
            let ended = self.leash.try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                return Err(self.complaint(&format!("ended while it started: {status}")));
            }
            if begin.elapsed() > limit {
                let limit_s = limit.as_secs();
                return Err(self.complaint(&format!("did not answer {path} within {limit_s} s")));
            }
            pause();
        }
        Ok(())
    }

    fn complaint(&self, what: &str) -> Failure {
        let said = std::fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        format!("{} {what}; {}:\n{last}", self.name, self.log.display())
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        drop(self.leash.stdin.take());
        // Nobody is left to hear that it could not be waited for.
        let _ = self.leash.wait();
    }
}

/// Ports of this machine that nothing listened on a moment ago, all different.
pub fn free_ports<const N: usize>() -> Result<[SocketAddr; N], Failure> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    let mut held = Vec::with_capacity(N);
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).map_err(|error| error.to_string())?;
        *address = listener.local_addr().map_err(|error| error.to_string())?;
        held.push(listener);
    }
    Ok(addresses)
}

#[allow(
    clippy::disallowed_methods,
    reason = "nothing tells when another program begins to listen, and no runtime is held up"
)]
fn pause() {
    std::thread::sleep(LOOK_EVERY);
}

fn answers_ok(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut status = [0; b"HTTP/1.1 200".len()];
        stream.read_exact(&mut status)?;
        Ok(&status == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

// The leash is made of Linux's tools, as vLLM for the CPU is made for Linux.
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    /// A child of a child that says when it is ended.
    const GRANDCHILD: &str =
        "bash -c 'trap \"echo ended; exit\" TERM; echo up; sleep infinity & wait'; true";

    fn read_until(log: &Path, word: &str) -> String {
        loop {
            let text = std::fs::read_to_string(log).unwrap();
            if text.contains(word) {
                return text;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_a_dropped_server_has_started_ends_as_well() {
        let logs = tempfile::tempdir().unwrap();
        let command = ["bash", "-c", GRANDCHILD];
        let server = Leashed::start(root(), logs.path(), "server", &command).unwrap();
        let log = logs.path().join("server.log");
        read_until(&log, "up");
        drop(server);
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(said.lines().any(|line| line == "ended"), "{said}");
    }

    #[test]
    fn a_server_that_ends_at_once_is_named_with_what_it_said() {
        let logs = tempfile::tempdir().unwrap();
        let command = ["bash", "-c", "echo no model here; exit 7"];
        let mut server = Leashed::start(root(), logs.path(), "server", &command).unwrap();
        let [nobody] = free_ports().unwrap();
        let failure = server
            .wait_until_ok(nobody, "/health", Duration::from_secs(60))
            .unwrap_err();
        for said in ["server ended", "status: 7", "no model here"] {
            assert!(failure.contains(said), "{said}: {failure}");
        }
    }

    #[test]
    fn only_200_is_an_answer() {
        for (status, is_ok) in [("200 OK", true), ("503 Service Unavailable", false)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = listener.local_addr().unwrap();
            let answer = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).unwrap();
                // In one piece: whoever asks leaves after the status.
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(answers_ok(address, "/health"), is_ok, "{status}");
            answer.join().unwrap();
        }
    }

    #[test]
    fn free_ports_differ() {
        let [a, b, c] = free_ports().unwrap();
        assert!(a != b && b != c && a != c && a.port() != 0);
    }
}
