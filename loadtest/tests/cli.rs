//! The binary as scripts use it: an engine process, a replay against it, a report of it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_warmgate-loadtest");

/// An engine process; killed when dropped.
struct Engine {
    process: Child,
    url: String,
    /// The rest of its log; a closed pipe is not what this tests.
    _log: BufReader<std::process::ChildStderr>,
}

impl Engine {
    fn start(extra: &[&str]) -> Self {
        let mut process = Command::new(BINARY)
            .args(["engine", "--listen", "127.0.0.1:0", "--model", "sim"])
            .args(["--speed", "1000"])
            .args(extra)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut log = BufReader::new(process.stderr.take().expect("stderr is piped"));
        let mut line = String::new();
        while !line.contains("engine listens") {
            line.clear();
            let read = log.read_line(&mut line).expect("log lines are text");
            assert!(read > 0, "the engine ended before it listened");
        }
        let (_, address) = line
            .split_once("address=")
            .expect("the line names the address");
        Self {
            process,
            url: format!("http://{}", address.trim()),
            _log: log,
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn loadtest(args: &[&str]) -> Output {
    Command::new(BINARY)
        .args(args)
        .output()
        .expect("the binary starts")
}

fn succeed(args: &[&str]) -> String {
    let output = loadtest(args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("tables are text")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

#[test]
fn a_trace_and_a_synthetic_load_make_a_report() {
    let engine = Engine::start(&[]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = folder.path().join("trace.jsonl");
    let lines = [
        r#"{"timestamp":0,"input_length":64,"output_length":3,"hash_ids":[1,2,3,4]}"#,
        r#"{"timestamp":900,"input_length":640,"output_length":3,"hash_ids":[1,2]}"#,
    ];
    std::fs::write(&trace, lines.join("\n")).expect("room for two lines");
    let (recorded, synthetic) = (
        folder.path().join("recorded"),
        folder.path().join("synthetic"),
    );
    let table = succeed(&[
        "replay",
        "--target",
        &engine.url,
        "--trace",
        text(&trace),
        "--out",
        text(&recorded),
        "--max-input-tokens",
        "100",
        "--block-tokens",
        "16",
    ]);
    assert!(
        table
            .lines()
            .any(|line| line.split_whitespace().eq(["requests", "1"])),
        "{table}"
    );
    succeed(&[
        "replay",
        "--target",
        &engine.url,
        "--out",
        text(&synthetic),
        "--synthetic",
        "sessions=2,turns=2,shared=100,user=10,output=4,think_ms=0,rate=1000",
    ]);
    let table = succeed(&["report", text(folder.path())]);
    let requests = table
        .lines()
        .find(|line| line.starts_with("requests "))
        .expect("a row");
    assert!(
        requests.split_whitespace().eq(["requests", "1", "4"]),
        "{table}"
    );
    let page = std::fs::read_to_string(folder.path().join("report.html")).expect("a page");
    assert!(page.starts_with("<!doctype html>") && page.contains("synthetic"));
}

/// A fleet and traffic that are simulated in moments.
const TINY: [&str; 11] = [
    "simulate",
    "--synthetic",
    "chat",
    "--conversations",
    "60",
    "--span-s",
    "60",
    "--endpoints",
    "2",
    "--capacity-tokens",
    "60k",
];

fn lines(args: &[&str]) -> Vec<serde_json::Value> {
    let args = [&TINY[..], args].concat();
    succeed(&args)
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect()
}

fn fields(value: &serde_json::Value) -> Vec<&str> {
    let object = value.as_object().expect("every line is an object");
    let mut fields: Vec<&str> = object.keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

#[test]
fn a_simulation_tells_scripts_what_it_says_it_tells() {
    let runs = lines(&["--load", "0.5", "--load", "1", "--seed", "3", "--json"]);
    let policies: Vec<&str> = runs
        .iter()
        .filter_map(|run| run["policy"].as_str())
        .collect();
    assert_eq!(policies[..2], ["cost", "cost"], "a line for each load");
    assert!(policies.contains(&"preble") && policies.contains(&"vllm_router"));
    assert!(
        !policies.contains(&"random"),
        "ours are not among the peers"
    );
    for run in &runs {
        let expected = [
            "default",
            "goodput",
            "hit_ratio",
            "load",
            "policy",
            "requests",
            "tpot_p50_s",
            "ttft_p50_s",
            "ttft_p90_s",
        ];
        assert_eq!(fields(run), expected);
        assert_eq!(run["default"], run["policy"] == "cost");
        assert!(run["load"] == 0.5 || run["load"] == 1.0);
        assert!(
            run["requests"].as_u64().is_some_and(|count| count > 30),
            "{run}"
        );
        assert!(
            run["goodput"].as_f64().is_some_and(|share| share > 0.2),
            "{run}"
        );
        assert!(
            run["ttft_p50_s"].as_f64() <= run["ttft_p90_s"].as_f64(),
            "{run}"
        );
    }
    let flags = [
        "--load",
        "0.5",
        "1",
        "--seed",
        "3",
        "--json",
        "--threads",
        "1",
    ];
    assert_eq!(
        lines(&flags),
        runs,
        "the seed replays it, whatever the threads"
    );
}

#[test]
fn capacities_are_searched_for_each_policy_and_each_cell() {
    let policies = ["--policy", "default", "--policy", "sticky", "--seeds", "2"];
    let one = lines(&[&policies[..], &["--capacity", "--json"]].concat());
    assert_eq!(one.len(), 2);
    for line in &one {
        let expected = ["capacity_goodput", "capacity_ttft_p90", "default", "policy"];
        assert_eq!(fields(line), expected);
        assert!(
            line["capacity_goodput"]
                .as_f64()
                .is_some_and(|load| load > 0.0),
            "{line}"
        );
    }
    assert_eq!(
        (&one[0]["policy"], &one[0]["default"]),
        (&"cost".into(), &true.into())
    );
    let cells = ["--compare", "--host-tier-tokens", "0,100k", "--json"];
    let grid = lines(&[&policies[..], &cells].concat());
    assert_eq!(grid.len(), 4);
    assert_eq!(
        grid[0]["capacity_goodput"], one[0]["capacity_goodput"],
        "the same cell"
    );
    let tiers: Vec<_> = grid
        .iter()
        .map(|line| line["host_tier_tokens"].as_u64())
        .collect();
    assert_eq!(tiers, [Some(0), Some(0), Some(100_000), Some(100_000)]);
}

#[test]
fn a_comparison_makes_a_table_and_a_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("page.html");
    let flags = [
        "--compare",
        "--host-tier-tokens",
        "0,100k",
        "--policy",
        "default",
        "sticky",
        "--load",
        "0.5",
        "1",
        "--html",
        text(&page),
    ];
    let table = succeed(&[&TINY[..], &flags].concat());
    for word in ["cost (default)", "2x60k+0.1M", "geom. mean", "best other"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for word in [
        "Time to first token against load, 2x60k",
        "Goodput against load",
        "Hit ratio against load",
        "Balance at load",
        "Capacity, 2x60k+0.1M",
        "geometric mean",
    ] {
        assert!(page.contains(word), "{word}");
    }
    assert!(!page.contains("NaN") && !page.contains("not measured"));
}

#[test]
fn every_flag_of_a_simulated_fleet_reaches_it() {
    let flags = [
        "--host-tier-tokens",
        "50k",
        "--host-tier-fill",
        "on-eviction",
        "--host-tier-bandwidth-tokens-s",
        "5e4",
        "--max-batched-tokens",
        "1024",
        "--max-seqs",
        "3",
        "--long-prefill-token-threshold",
        "512",
        "--engine-speed",
        "0.5",
        "--scrape-ms",
        "1000",
        "--replicas",
        "3",
        "--exchange-ms",
        "50",
        "--loss",
        "0.1",
        "--fault",
        "restart@20s:1:5s",
        "--fault",
        "blip@10s:0:2s",
    ];
    let base = ["--load", "2", "--policy", "default", "--json"];
    let with = lines(&[&base[..], &flags].concat());
    for (start, pair) in flags.chunks(2).enumerate() {
        assert!(pair[0].starts_with("--"), "{pair:?}");
        let without: Vec<&str> = flags
            .chunks(2)
            .enumerate()
            .filter(|(place, _)| *place != start)
            .flat_map(|(_, pair)| pair.iter().copied())
            .collect();
        assert_ne!(
            lines(&[&base[..], &without].concat()),
            with,
            "{pair:?} changes nothing"
        );
    }
}

#[test]
fn engines_that_tell_nothing_teach_nothing() {
    let fleet = "simulate --synthetic chat --conversations 300 --span-s 300 --endpoints 2 \
        --capacity-tokens 60k --host-tier-tokens 200k --load 1 --policy default --json";
    let mut args: Vec<&str> = fleet.split_whitespace().collect();
    let told = succeed(&args);
    args.push("--no-cached-tokens");
    assert_ne!(succeed(&args), told);
}

#[test]
fn a_simulation_refuses_what_makes_no_sense() {
    let json = ["--load", "1", "--policy", "default"];
    for (args, code, word) in [
        (vec![], 2, "--load"),
        (vec!["--load", "0"], 2, "above 0"),
        (vec!["--load", "inf"], 2, "at most 256"),
        (vec!["--load", "1", "--capacity"], 2, "cannot be used with"),
        (vec!["--capacity", "--compare"], 2, "cannot be used with"),
        (vec!["--load", "1", "--html", "x"], 2, "--compare"),
        (
            vec!["--load", "1", "--trace", "x"],
            2,
            "cannot be used with",
        ),
        (vec!["--load", "1", "--endpoints", "1025"], 2, "1..=1024"),
        (vec!["--load", "1", "--loss", "1.5"], 2, "0..=1"),
        (vec!["--load", "1", "--seeds", "101"], 2, "1..=100"),
        (vec!["--load", "1", "--replicas", "65"], 2, "1..=64"),
        (
            vec!["--load", "1", "--fault", "fire@1s:0:1s"],
            2,
            "restart or blip",
        ),
        (
            vec!["--load", "1", "--fault", "blip@1s:2:1s"],
            1,
            "there are 0 to 1",
        ),
        (
            vec![
                "--load",
                "1",
                "--fault",
                "blip@1s:1:9s",
                "--fault",
                "blip@9s:1:1s",
            ],
            1,
            "at the same time",
        ),
        (
            vec!["--load", "1", "--host-tier-tokens", "0,1M"],
            1,
            "--compare",
        ),
        (
            vec!["--load", "1", "--policy", "best"],
            1,
            "known: default, ",
        ),
        (vec!["--load", "1", "--block-tokens", "100"], 1, "multiple"),
        (
            [&json[..], &["--host-tier-tokens", "5"]].concat(),
            1,
            "at least one block",
        ),
    ] {
        let args = [&TINY[..], &args].concat();
        let output = loadtest(&args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(word), "{args:?}: {stderr}");
    }
    let small = "20k";
    let output = loadtest(&[&TINY[..10], &[small], &json].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("of 60 requests do not fit into 19968 tokens"),
        "{stderr}"
    );
}

#[test]
fn an_engine_ends_well_when_told_to() {
    let mut engine = Engine::start(&["--instant", "--threads", "1"]);
    let pid = engine.process.id().to_string();
    let told = Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .expect("kill exists");
    assert!(told.success());
    assert_eq!(engine.process.wait().expect("it ends").code(), Some(0));
}

#[test]
fn mistakes_are_told_apart_from_failures() {
    for (args, code, word) in [
        (
            vec!["replay", "--target", "http://127.0.0.1:1"],
            2,
            "--trace",
        ),
        (
            vec!["replay", "--target", "x", "--synthetic", "sessions=zero"],
            2,
            "sessions=zero",
        ),
        (
            vec!["replay", "--target", "x", "--synthetic", "sessions=1"],
            1,
            "http://host:port",
        ),
        (
            vec![
                "replay",
                "--target",
                "http://127.0.0.1:1",
                "--trace",
                "/nowhere",
            ],
            1,
            "No such file",
        ),
        (vec!["engine", "--listen", "127.0.0.1:0"], 2, "--model"),
        (
            vec![
                "engine",
                "--listen",
                "127.0.0.1:0",
                "--model",
                "m",
                "--speed",
                "0",
            ],
            1,
            "above 0",
        ),
        (vec!["report", "/"], 1, "no run"),
    ] {
        let output = loadtest(&args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(word), "{args:?}: {stderr}");
    }
}
