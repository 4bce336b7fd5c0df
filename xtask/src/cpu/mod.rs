//! CPU of a whole gateway process for each request, as ratios from one run.
//!
//! One worker thread each, kept at saturation by more connections than it can serve: a bare Pingora
//! round robin, this gateway with `--policy round_robin`, and this gateway with its default. All
//! three stand in front of the same simulated engines, which answer at once, and take turns, so
//! that a busy machine is unfair to all alike. Times are the kernel's account of the process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::leash::free_ports;
use crate::process::Killed;

mod load;
mod process_time;
mod table;

use load::{Load, Totals};
use table::Measured;

/// Which sizes, how often, how many.
#[derive(clap::Args)]
pub struct Args {
    /// Sizes of prompts in KiB
    #[arg(long, value_delimiter = ',', default_value = "1,32,128")]
    prompt_kib: Vec<usize>,
    /// Rounds; each measures every gateway once at every size
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Requests of one measurement at 1 KiB; at 128 KiB a fifth of that
    #[arg(long, default_value_t = 20_000)]
    requests: usize,
    /// Folder of release binaries to measure, in place of building them
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
}

/// Engines behind each gateway.
const ENGINES: usize = 2;
/// Longest wait for a process to listen.
const START_LIMIT: Duration = Duration::from_secs(20);

struct Candidate {
    name: &'static str,
    address: SocketAddr,
    process: Killed,
}

/// Builds, starts, measures, prints.
pub fn run(root: &Path, args: &Args) -> Result<(), Failure> {
    let binaries = args.binaries.clone().map_or_else(|| build(root), Ok)?;
    let mut engines = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..ENGINES {
        let [address] = free_ports()?;
        let mut command = Command::new(binaries.join("warmgate-loadtest"));
        command
            .args(["engine", "--instant", "--model", "sim", "--listen"])
            .arg(address.to_string());
        engines.push(start(command, address)?);
        addresses.push(address);
    }
    let candidates = candidates(&binaries, &addresses)?;
    let mut measured = Measured::default();
    for round in 0..args.rounds {
        for &kib in &args.prompt_kib {
            // The kernel counts in steps of 10 ms: large prompts still need thousands.
            let requests = args.requests / (1 + kib / 32);
            let load = Load {
                prompt_bytes: kib << 10,
                connections: args.connections,
                requests,
            };
            for candidate in &candidates {
                let micros = measure(candidate, &load)?;
                println!(
                    "round {} {kib:>4} KiB {:<22} {micros:>8.1} us",
                    round + 1,
                    candidate.name
                );
                measured.note(kib, candidate.name, micros);
            }
        }
    }
    print!("\n{}", measured.render(candidates[0].name));
    Ok(())
}

/// CPU microseconds of the candidate's process for each request.
fn measure(candidate: &Candidate, load: &Load) -> Result<f64, Failure> {
    // Connections are opened and the index is warm before the clock is read.
    let warm_up = Load {
        requests: load.requests / 10 + load.connections,
        ..*load
    };
    load::run(candidate.address, &warm_up)?;
    let before = process_time::micros(candidate.process.id())?;
    let Totals { answered } = load::run(candidate.address, load)?;
    let spent = process_time::micros(candidate.process.id())? - before;
    Ok(spent / answered as f64)
}

fn candidates(binaries: &Path, engines: &[SocketAddr]) -> Result<Vec<Candidate>, Failure> {
    let [bare] = free_ports()?;
    let mut command = Command::new(binaries.join("examples/bare_round_robin"));
    command
        .arg(bare.to_string())
        .args(engines.iter().map(ToString::to_string));
    let mut all = vec![Candidate {
        name: "bare Pingora",
        address: bare,
        process: start(command, bare)?,
    }];
    for (name, policy) in [
        ("warmgate round_robin", "round_robin"),
        ("warmgate cost", "cost"),
    ] {
        let [address, admin] = free_ports()?;
        let mut command = Command::new(binaries.join("warmgate"));
        command.args(["serve", "--threads", "1", "--policy", policy]);
        command.args([
            "--listen",
            &address.to_string(),
            "--admin",
            &admin.to_string(),
        ]);
        for engine in engines {
            command.args(["--upstream", &format!("http://{engine}")]);
        }
        all.push(Candidate {
            name,
            address,
            process: start(command, address)?,
        });
    }
    Ok(all)
}

/// Builds the gateway, the load tester and the bare Pingora for release; the folder they are in.
pub fn build(root: &Path) -> Result<PathBuf, Failure> {
    let packages = ["-p", "warmgate", "-p", "warmgate-loadtest"];
    let kinds = ["--bins", "--example", "bare_round_robin"];
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(root)
        .args(["build", "--release", "--locked"])
        .args(packages)
        .args(kinds);
    let status = cargo
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err("the release build failed".to_owned());
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release"))
}

fn start(mut command: Command, address: SocketAddr) -> Result<Killed, Failure> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let process = Killed(child.map_err(|error| format!("cannot start {command:?}: {error}"))?);
    let deadline = Instant::now() + START_LIMIT;
    while std::net::TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            return Err(format!("{command:?} does not listen on {address}"));
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "no runtime here: a program that waits for another"
        )]
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(process)
}
