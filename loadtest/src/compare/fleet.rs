//! Simulated engines as processes: fresh and alike for each gateway.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ask;
use super::error::CompareError;
use super::process::{Group, LOOK_PAUSE};
use crate::engine::EngineState;

/// Most engines behind one gateway: each is a process.
pub const ENDPOINTS_MAX: usize = 256;

/// Time for an engine to listen; it takes milliseconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// What an engine logs before its address.
const LISTENS_MARK: &str = "engine listens address=";
/// Name of the model that engines serve.
pub(super) const MODEL: &str = "sim";

/// How engines are started. What is absent is left to the engine's default.
#[derive(Clone, Debug, Default)]
pub struct EngineFlags {
    /// The program that has the `engine` command: this one.
    pub program: PathBuf,
    /// Engines, 1..=[`ENDPOINTS_MAX`].
    pub endpoints: usize,
    /// `--capacity-tokens`.
    pub capacity_tokens: Option<u64>,
    /// `--host-tier-tokens`.
    pub host_tier_tokens: Option<u64>,
    /// `--speed`, before the time scale.
    pub speed: Option<f64>,
    /// Any further flags, as they are.
    pub further: Vec<String>,
}

/// Running engines.
pub(super) struct Fleet {
    engines: Vec<Engine>,
}

struct Engine {
    group: Group,
    address: SocketAddr,
}

impl EngineFlags {
    fn command(&self, time_scale: f64) -> Command {
        let mut command = Command::new(&self.program);
        // Its address is in its log, whatever else the user wants to see.
        command
            .env("RUST_LOG", "info")
            .args(["engine", "--listen", "127.0.0.1:0", "--model", MODEL])
            .args(["--threads", "1"]);
        let speed = self.speed.unwrap_or(1.0) * time_scale;
        let tokens = |tokens: Option<u64>| tokens.map(|tokens| tokens.to_string());
        for (flag, value) in [
            ("--speed", Some(speed.to_string())),
            ("--capacity-tokens", tokens(self.capacity_tokens)),
            ("--host-tier-tokens", tokens(self.host_tier_tokens)),
        ] {
            command.args(value.iter().flat_map(|value| [flag, value]));
        }
        command.args(&self.further);
        command
    }
}

impl Fleet {
    /// Starts all engines and waits until each listens.
    ///
    /// # Errors
    /// Where one cannot be started or does not listen in time.
    pub(super) async fn start(
        flags: &EngineFlags,
        time_scale: f64,
        folder: &Path,
    ) -> Result<Self, CompareError> {
        let mut groups = Vec::with_capacity(flags.endpoints);
        for number in 1..=flags.endpoints {
            let name = format!("engine-{number}");
            groups.push(Group::start(&name, flags.command(time_scale), folder)?);
        }
        let mut engines = Vec::with_capacity(groups.len());
        for mut group in groups {
            let address = address(&mut group).await?;
            engines.push(Engine { group, address });
        }
        Ok(Self { engines })
    }

    /// Where they listen, in order.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.engines.iter().map(|engine| engine.address).collect()
    }

    /// What each counted, in the order of [`Fleet::addresses`].
    ///
    /// # Errors
    /// Where one does not say.
    pub(super) async fn states(&mut self) -> Result<Vec<EngineState>, CompareError> {
        let mut states = Vec::with_capacity(self.engines.len());
        for engine in &mut self.engines {
            engine.group.check_running()?;
            let wrong = |reason| CompareError::Engine {
                name: format!("engine at {}", engine.address),
                reason,
            };
            let (_, page) = ask::get(engine.address, "/sim/state")
                .await
                .map_err(wrong)?;
            let state = serde_json::from_slice(&page)
                .map_err(|error| wrong(format!("unreadable state: {error}")))?;
            states.push(state);
        }
        Ok(states)
    }

    /// Ends them all at once: nothing in them is worth waiting for.
    pub(super) fn end(self) {
        drop(self);
    }
}

/// Waits until an engine has logged where it listens.
async fn address(group: &mut Group) -> Result<SocketAddr, CompareError> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let log = group.log().unwrap_or_default();
        if let Some(address) = logged_address(&String::from_utf8_lossy(&log)) {
            return Ok(address);
        }
        group.check_running()?;
        if Instant::now() >= deadline {
            return Err(CompareError::Engine {
                name: "engine".to_owned(),
                reason: format!("does not listen after {} s", START_LIMIT.as_secs()),
            });
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// Nothing until the whole line is there.
fn logged_address(log: &str) -> Option<SocketAddr> {
    let (_, from_address) = log.split_once(LISTENS_MARK)?;
    let (address, _) = from_address.split_once('\n')?;
    address.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_passed_only_where_given() {
        let arguments = |flags: EngineFlags| -> String {
            let command = flags.command(4.0);
            let arguments: Vec<_> = command
                .get_args()
                .map(|word| word.to_string_lossy())
                .collect();
            arguments.join(" ")
        };
        let plain = arguments(EngineFlags::default());
        assert!(
            plain.ends_with("--model sim --threads 1 --speed 4"),
            "{plain}"
        );
        let full = arguments(EngineFlags {
            capacity_tokens: Some(5),
            host_tier_tokens: Some(6),
            speed: Some(0.5),
            further: vec!["--max-seqs".to_owned(), "3".to_owned()],
            ..EngineFlags::default()
        });
        assert!(
            full.ends_with("--speed 2 --capacity-tokens 5 --host-tier-tokens 6 --max-seqs 3"),
            "{full}"
        );
    }

    #[test]
    fn an_address_is_read_once_its_line_is_complete() {
        let line = "2026 INFO x: engine listens address=127.0.0.1:81";
        assert_eq!(logged_address(line), None, "the port may go on");
        let address = logged_address(&format!("{line}2\nmore"));
        assert_eq!(address, Some("127.0.0.1:812".parse().unwrap()));
    }
}
