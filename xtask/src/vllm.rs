//! Whether conversations find their cache again on two real vLLM servers, and whether they
//! would have without this gateway's choice of endpoint.

use std::path::Path;

use crate::Failure;
use crate::leash::free_ports;
use crate::real_engine::{Args, Bench, wait_for_engine};

/// The default policy, and the one that must not do as well.
const POLICIES: [Option<&str>; 2] = [None, Some("round_robin")];

/// Starts two servers and the gateway, holds conversations under both policies, stops everything.
///
/// Errs where the default policy misses what it claims, where round robin reaches it as well
/// (then the workload shows nothing), and where either cannot be measured.
pub fn run(root: &Path, args: &Args) -> Result<(), Failure> {
    let bench = Bench::prepare(root, args)?;
    let [first, second] = free_ports()?;
    let mut engines = [
        bench.start_engine("vllm-1", first, &[])?,
        bench.start_engine("vllm-2", second, &[])?,
    ];
    eprintln!("two vLLM servers are starting: a minute or two");
    wait_for_engine(&mut engines[0], first)?;
    wait_for_engine(&mut engines[1], second)?;
    bench.print_circumstances()?;

    let mut shown = [false; POLICIES.len()];
    for (policy, shown) in POLICIES.into_iter().zip(&mut shown) {
        let [listen, admin] = free_ports()?;
        let mut flags = vec![
            format!("--listen={listen}"),
            format!("--upstream=http://{first}"),
            format!("--upstream=http://{second}"),
        ];
        flags.extend(policy.map(|name| format!("--policy={name}")));
        let _gateway = bench.start_gateway("gateway", admin, "/ready", &flags)?;
        println!();
        *shown = bench.judge(
            "conversations.py",
            &[
                format!("--gateway=http://{listen}"),
                format!("--engine=http://{first}"),
                format!("--name={}", policy.unwrap_or("default policy")),
            ],
        )?;
    }
    println!("\n{}", verdict(shown)?);
    Ok(())
}

fn verdict([by_default, by_round_robin]: [bool; POLICIES.len()]) -> Result<&'static str, Failure> {
    match (by_default, by_round_robin) {
        (true, false) => Ok("holds: every later turn finds its cache, and not by accident"),
        (false, _) => Err("does not hold: with the default policy a turn missed its cache".into()),
        (true, true) => Err("shows nothing: round robin does as well".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_difference_is_a_proof() {
        assert!(verdict([true, false]).is_ok());
        for shown in [[true, true], [false, true], [false, false]] {
            assert!(verdict(shown).is_err(), "{shown:?}");
        }
    }
}
