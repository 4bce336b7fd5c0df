//! Results as lines of JSON, whose fields scripts rely on.

use serde::Serialize;
use warmgate_loadtest::report::simulated::Entry;
use warmgate_loadtest::simulate::grid::{Capacities, Cell};
use warmgate_loadtest::simulate::outcome::Outcome;

#[derive(Serialize)]
struct Run<'a> {
    policy: &'a str,
    default: bool,
    load: f64,
    goodput: f64,
    ttft_p50_s: f64,
    ttft_p90_s: f64,
    tpot_p50_s: f64,
    hit_ratio: f64,
    requests: usize,
}

#[derive(Serialize)]
struct Capacity<'a> {
    policy: &'a str,
    default: bool,
    #[serde(flatten)]
    carried: Capacities,
}

#[derive(Serialize)]
struct OfCell<'a> {
    #[serde(flatten)]
    cell: Cell,
    #[serde(flatten)]
    capacity: Capacity<'a>,
}

/// A policy at a load. Numbers that are not finite become null.
pub(super) fn run(entry: &Entry, load: f64, run: &Outcome) -> serde_json::Result<String> {
    line(&Run {
        policy: &entry.policy,
        default: entry.is_default,
        load,
        goodput: run.goodput,
        ttft_p50_s: run.ttft_p50_s,
        ttft_p90_s: run.ttft_p90_s,
        tpot_p50_s: run.tpot_p50_s,
        hit_ratio: run.hit_ratio,
        requests: run.requests,
    })
}

/// What a policy carries.
pub(super) fn capacity(entry: &Entry, carried: Capacities) -> serde_json::Result<String> {
    line(&capacity_of(entry, carried))
}

/// What a policy carries in one of several cells.
pub(super) fn of_cell(
    cell: Cell,
    entry: &Entry,
    carried: Capacities,
) -> serde_json::Result<String> {
    line(&OfCell {
        cell,
        capacity: capacity_of(entry, carried),
    })
}

fn capacity_of(entry: &Entry, carried: Capacities) -> Capacity<'_> {
    Capacity {
        policy: &entry.policy,
        default: entry.is_default,
        carried,
    }
}

fn line(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(format!("{}\n", serde_json::to_string(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use warmgate_loadtest::simulate::outcome::Measured;

    #[test]
    fn what_is_infinite_is_null() {
        let nothing: &[Measured] = &[];
        let outcome = Outcome {
            ttft_p90_s: f64::INFINITY,
            ..Outcome::of(nothing, 1, 0, false)
        };
        let entry = Entry {
            policy: "cost".to_owned(),
            is_default: true,
        };
        let line = run(&entry, 1.5, &outcome).unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(
            value["ttft_p90_s"].is_null() && value["tpot_p50_s"].is_null(),
            "{line}"
        );
        assert_eq!(value["load"], 1.5);
    }
}
