//! Whether the OpenAI and the Anthropic client get the same bytes through the gateway as from
//! a real vLLM server directly.

use std::path::Path;

use crate::Failure;
use crate::leash::free_ports;
use crate::real_engine::{Args, Bench, wait_for_engine};

/// Starts a server and the gateway, runs every case of `conformance/clients/cases.py` both ways,
/// stops everything.
///
/// Errs where anything differs, and where it cannot be measured.
pub fn run(root: &Path, args: &Args) -> Result<(), Failure> {
    let bench = Bench::prepare(root, args)?;
    let [address, tap, listen, admin] = free_ports()?;
    let mut engine = bench.start_engine("vllm-1", address, &[])?;
    eprintln!("a vLLM server is starting: about a minute");
    wait_for_engine(&mut engine, address)?;
    bench.print_circumstances()?;
    println!();

    // The judge itself stands between gateway and engine, so there is no endpoint yet.
    let flags = [
        format!("--listen={listen}"),
        format!("--upstream=http://{tap}"),
    ];
    let _gateway = bench.start_gateway("gateway", admin, "/health", &flags)?;
    let same = bench.judge(
        "clients/judge.py",
        &[
            format!("--engine={address}"),
            format!("--gateway=http://{listen}"),
            format!("--tap={}", tap.port()),
        ],
    )?;
    if same {
        Ok(())
    } else {
        Err("the gateway changes what clients get".to_owned())
    }
}
