//! The comparison as its users run it: gateways given by their command lines, in front of engine
//! processes. The gateway here is `examples/forward.rs`, which cargo builds with the tests.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_warmgate-loadtest");

/// Where cargo puts examples: beside the folder of this test.
fn forward() -> String {
    let test = std::env::current_exe().expect("a test is a file");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/test");
    let forward = profile.join("examples/forward");
    assert!(
        forward.exists(),
        "{} is missing: a run of all tests builds it, and cargo build -p warmgate-loadtest --example forward",
        forward.display()
    );
    forward.display().to_string()
}

/// Four requests, one after the other: the second pair repeats the first.
fn trace(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("trace.jsonl");
    let mut file = std::fs::File::create(&path).expect("room for a trace");
    for (at_ms, first_block) in [(0, 1), (2000, 5), (4000, 1), (6000, 5)] {
        let ids: Vec<u64> = (first_block..first_block + 4).collect();
        writeln!(
            file,
            r#"{{"timestamp":{at_ms},"input_length":2048,"output_length":3,"hash_ids":{ids:?}}}"#
        )
        .expect("room for a trace");
    }
    path
}

/// Forty times as fast as recorded, so that a test takes less than a second.
const QUICK: [&str; 6] = ["--time-scale", "40", "--settle-s", "0", "--endpoints", "2"];

fn compare(trace: &Path, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .arg("compare")
        .arg("--trace")
        .arg(trace)
        .args(QUICK)
        .args(arguments)
        .output()
        .expect("the binary starts")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn each_gateway_gets_the_load_and_fresh_engines() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let (trace, forward) = (trace(&folder), forward());
    let commas = format!("commas={forward} {{listen}} {{upstreams}}");
    let one = format!("one={forward} {{listen}} $(echo {{upstreams_space}} | cut -d' ' -f1)");
    let output = compare(
        &trace,
        &[
            "--json",
            "--out",
            &out.display().to_string(),
            "--gateway",
            &commas,
            "--gateway",
            &one,
        ],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let outcomes = lines(&output);
    let names: Vec<&Value> = outcomes.iter().map(|one| &one["gateway"]).collect();
    assert_eq!(names, ["commas", "one"]);
    for outcome in &outcomes {
        assert_eq!(
            (&outcome["requests"], &outcome["errors"]),
            (&4.into(), &0.into())
        );
        assert_eq!(
            outcome["hit_ratio"], outcome["hit_ratio_reported"],
            "{outcome}"
        );
        assert_eq!(outcome["time_scale"], 40.0);
        let seconds = ["ttft_p50_s", "ttft_p90_s", "ttft_p99_s", "tpot_p50_s"];
        assert!(
            seconds.iter().all(|key| outcome[*key].as_f64() > Some(0.0)),
            "{outcome}"
        );
        assert!(
            outcome["router_peak_rss_bytes"].as_u64() > Some(100_000),
            "{outcome}"
        );
        assert!(
            outcome["router_cpu_us_per_request"].is_number(),
            "{outcome}"
        );
    }
    // Whichever engine it is: it gets everything, and finds the second pair in its cache.
    let [requests, others] = [0, 1].map(|at| &outcomes[1]["endpoints"][at]["requests"]);
    assert_eq!((requests, others), (&4.into(), &0.into()));
    assert!(
        outcomes[1]["hit_ratio"].as_f64() > Some(0.45),
        "{}",
        outcomes[1]
    );
    assert_eq!(outcomes[1]["balance"], 2.0);
    for kept in ["one/run.json", "one/one.log", "commas/engine-2.log"] {
        assert!(out.join(kept).exists(), "{kept}");
    }
    let report = Command::new(BINARY).arg("report").arg(&out).output();
    assert!(report.expect("the binary starts").status.success());
}

#[test]
fn a_configuration_file_is_made_and_a_table_is_printed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (trace, template) = (trace(&folder), folder.path().join("template"));
    // A script is a configuration file too; its middle line is repeated for each engine.
    let script = format!(
        "upstreams=\nupstreams=$upstreams,{{upstream}}\nexec {} {{listen}} ${{upstreams#,}}\n",
        forward()
    );
    std::fs::write(&template, script).expect("room for a template");
    let gateway = format!("sh {{config:{}}}", template.display());
    let output = compare(&trace, &["--gateway", &gateway]);
    assert!(output.status.success(), "{}", stderr(&output));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = |label: &str| {
        let line = table.lines().find(|line| line.starts_with(label));
        line.and_then(|line| line.split_whitespace().last())
            .map(str::to_owned)
    };
    assert!(
        table.lines().next().is_some_and(|line| line.trim() == "sh"),
        "{table}"
    );
    assert_eq!(row("requests").as_deref(), Some("4"), "{table}");
    assert_eq!(row("errors").as_deref(), Some("0"), "{table}");
    for label in [
        "hit ratio, engines",
        "TTFT p99, s",
        "router CPU, us/request",
        "load average",
    ] {
        assert!(row(label).is_some(), "{label}: {table}");
    }
}

#[test]
fn one_that_fails_does_not_take_the_others_with_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (trace, forward) = (trace(&folder), forward());
    let deaf = "deaf=exec sleep 1000 # {listen} {upstreams}";
    let output = compare(&trace, &["--ready-timeout-s", "0", "--gateway", deaf]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for word in ["deaf did not answer GET http://", "1 of 1 gateways"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let ends = "ends=echo no such thing; exit 7 # {listen} {upstreams}";
    let good = format!("good={forward} {{listen}} {{upstreams}}");
    let output = compare(&trace, &["--json", "--gateway", ends, "--gateway", &good]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for word in [
        "ends ended by itself",
        "7",
        "no such thing",
        "1 of 2 gateways",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    let outcomes = lines(&output);
    assert_eq!(outcomes.len(), 1, "{said}");
    assert_eq!(
        (&outcomes[0]["gateway"], &outcomes[0]["requests"]),
        (&"good".into(), &4.into())
    );
}

#[test]
fn what_was_started_ends_with_a_comparison_that_is_killed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (trace, told) = (trace(&folder), folder.path().join("pid"));
    let gateway = format!(
        "deaf=echo $$ >{0}.new; mv {0}.new {0}; exec sleep 1000 # {{listen}} {{upstreams}}",
        told.display()
    );
    let mut comparison = Command::new(BINARY)
        .arg("compare")
        .arg("--trace")
        .arg(&trace)
        .args(QUICK)
        .args(["--gateway", &gateway])
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    while !told.exists() {
        std::thread::yield_now();
    }
    let pid = std::fs::read_to_string(&told).expect("the gateway's number");
    comparison.kill().expect("it runs");
    comparison.wait().expect("it ends");
    // The test ends only where the gateway does; a zombie that nobody waits for has ended too.
    let status = Path::new("/proc").join(pid.trim()).join("status");
    while std::fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ")) {
        std::thread::yield_now();
    }
}

#[test]
fn an_interrupted_comparison_says_so_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (trace, told) = (trace(&folder), folder.path().join("up"));
    let gateway = format!(
        "deaf=touch {}; exec sleep 1000 # {{listen}} {{upstreams}}",
        told.display()
    );
    let comparison = Command::new(BINARY)
        .arg("compare")
        .arg("--trace")
        .arg(&trace)
        .args(QUICK)
        .args(["--gateway", &gateway])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    while !told.exists() {
        std::thread::yield_now();
    }
    let number = comparison.id().to_string();
    let interrupt = Command::new("kill").args(["-INT", &number]).status();
    assert!(interrupt.expect("kill exists").success());
    let output = comparison.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("interrupted"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn mistakes_are_told_before_anything_starts() {
    let good = "x={listen} {upstreams}";
    for (arguments, word) in [
        (vec!["--trace", "t"], "--gateway"),
        (vec!["--gateway", good], "--trace"),
        (
            vec!["--trace", "t", "--gateway", "r {listen}"],
            "{upstreams}",
        ),
        (
            vec!["--trace", "t", "--gateway", good, "--endpoints", "0"],
            "1..=256",
        ),
        (
            vec!["--trace", "t", "--gateway", good, "--endpoints", "257"],
            "1..=256",
        ),
    ] {
        let output = Command::new(BINARY)
            .arg("compare")
            .args(&arguments)
            .output();
        let output = output.expect("the binary starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            stderr(&output).contains(word),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}
