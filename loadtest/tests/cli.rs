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
