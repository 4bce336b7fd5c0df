//! This gateway beside other routers and proxies, as real processes under one load.
//!
//! Installs the others, builds this one for release, and gives `warmgate-loadtest compare` their
//! command lines; everything else is its flags.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::cpu;
use crate::real_engine::{cache, succeed};

/// Which gateways, and which load.
#[derive(clap::Args)]
pub struct Args {
    /// Measure these only; may be repeated or a list with commas
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = names())]
    only: Vec<String>,
    /// Folder of release binaries to measure, in place of building them
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Flags of `warmgate-loadtest compare`, after `--`: --trace FILE, --endpoints N and so on
    #[arg(last = true, value_name = "FLAG")]
    flags: Vec<String>,
}

/// A gateway: its name, the program that must be there, and the rest of its command line.
struct Peer {
    name: &'static str,
    /// Below the folder of built binaries, or of installed peers.
    program: Program,
    arguments: &'static str,
}

enum Program {
    Built(&'static str),
    Installed(&'static str),
}

/// Each with its own defaults, but for the policy where its name says one. `{configs}` is
/// `conformance/peers`.
const PEERS: [Peer; 9] = [
    Peer {
        name: "warmgate",
        program: Program::Built("warmgate"),
        arguments: "serve --listen {listen} --admin 127.0.0.1:{free_port} --upstream={upstream}",
    },
    Peer {
        name: "warmgate-round_robin",
        program: Program::Built("warmgate"),
        arguments: "serve --listen {listen} --admin 127.0.0.1:{free_port} --upstream={upstream} \
                    --policy round_robin",
    },
    Peer {
        name: "vllm-router",
        program: Program::Installed("vllm-router"),
        arguments: "--host {listen_host} --port {listen_port} --prometheus-port {free_port} \
                    --policy cache_aware --worker-urls {upstreams_space}",
    },
    Peer {
        name: "vllm-router-hash",
        program: Program::Installed("vllm-router"),
        arguments: "--host {listen_host} --port {listen_port} --prometheus-port {free_port} \
                    --policy consistent_hash --worker-urls {upstreams_space}",
    },
    Peer {
        name: "sglang-router",
        program: Program::Installed("sglang-router"),
        arguments: "launch --host {listen_host} --port {listen_port} --prometheus-port {free_port} \
                    --policy cache_aware --worker-urls {upstreams_space}",
    },
    Peer {
        name: "haproxy-session",
        program: Program::Installed("haproxy"),
        arguments: "-db -f {config:{configs}/haproxy_session.cfg}",
    },
    Peer {
        name: "haproxy-leastconn",
        program: Program::Installed("haproxy"),
        arguments: "-db -f {config:{configs}/haproxy.cfg}",
    },
    Peer {
        name: "envoy-least_request",
        program: Program::Installed("envoy"),
        arguments: "--disable-hot-restart --log-level warn -c {config:{configs}/envoy.yaml}",
    },
    Peer {
        name: "nginx-round_robin",
        program: Program::Installed("nginx"),
        arguments: "-p {folder} -c {config:{configs}/nginx.conf}",
    },
];

/// Installs, builds, measures.
///
/// Errs where something cannot be installed, built or measured. A proxy that cannot be had on this
/// machine is left out, and it is said.
pub fn run(root: &Path, args: &Args) -> Result<(), Failure> {
    let (installed, configs) = (
        cache()?.join("warmgate/peers"),
        root.join("conformance/peers"),
    );
    succeed(Command::new(configs.join("install.sh")).arg(&installed))?;
    let built = args.binaries.clone().map_or_else(|| cpu::build(root), Ok)?;
    let mut command = Command::new(built.join("warmgate-loadtest"));
    command.arg("compare");
    for peer in PEERS.iter().filter(|peer| args.wants(peer)) {
        let program = match peer.program {
            Program::Built(name) => built.join(name),
            Program::Installed(name) => installed.join("bin").join(name),
        };
        if program.exists() {
            command.args(["--gateway", &peer.command(&program, &configs)]);
        } else {
            eprintln!(
                "{} is left out: there is no {}",
                peer.name,
                program.display()
            );
        }
    }
    command
        .args(["--session-header", SESSION_HEADER])
        .args(&args.flags);
    succeed(Command::new(configs.join("versions.sh")).args([&installed, &built.join("warmgate")]))?;
    let status = command
        .status()
        .map_err(|error| format!("warmgate-loadtest did not start: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("warmgate-loadtest compare: {status}")),
    }
}

/// Which `haproxy_session.cfg` and vllm-router's hash look at. Every gateway gets it.
const SESSION_HEADER: &str = "x-session-id";

impl Args {
    fn wants(&self, peer: &Peer) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == peer.name)
    }
}

impl Peer {
    fn command(&self, program: &Path, configs: &Path) -> String {
        let arguments = self
            .arguments
            .replace("{configs}", &configs.display().to_string());
        // The shell gives way to it, so that it is the one that is told to end.
        format!("{}=exec '{}' {arguments}", self.name, program.display())
    }
}

fn names() -> impl clap::builder::TypedValueParser<Value = String> {
    clap::builder::PossibleValuesParser::new(PEERS.map(|peer| peer.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_told_where_to_listen_and_where_the_engines_are() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let configs = root.join("conformance/peers");
        for peer in &PEERS {
            let command = peer.command(Path::new("/bin/x"), &configs);
            assert!(command.starts_with(&format!("{}=exec '/bin/x' ", peer.name)));
            let config = command.split_once("{config:").map_or("", |(_, rest)| {
                rest.split_once('}').expect("a closing brace").0
            });
            let file = match config {
                "" => String::new(),
                path => std::fs::read_to_string(path).unwrap(),
            };
            let told = format!("{command}{file}");
            assert!(told.contains("{listen"), "{told}");
            assert!(told.contains("{upstream"), "{told}");
        }
    }

    #[test]
    fn all_are_wanted_unless_some_are_named() {
        let mut args = Args {
            only: vec![],
            binaries: None,
            flags: vec![],
        };
        assert!(PEERS.iter().all(|peer| args.wants(peer)));
        args.only.push("warmgate".to_owned());
        assert_eq!(PEERS.iter().filter(|peer| args.wants(peer)).count(), 1);
    }
}
