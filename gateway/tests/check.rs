//! `warmgate check` as a process: what its exit status and its output say.

use std::process::{Command, Output};

fn warmgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_warmgate"))
        .args(arguments)
        .output()
        .expect("the program was built for this test")
}

#[test]
fn exit_status_and_message() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.yaml");
    let bad = folder.path().join("bad.yaml");
    let absent = folder.path().join("absent.yaml");
    std::fs::write(&good, "pools: [{name: main, upstreams: ['http://h:1']}]\n").unwrap();
    std::fs::write(&bad, "pools: [{name: main, upstreams: ['h:1']}]\n").unwrap();
    for (file, status, said) in [
        (&good, 0, ""),
        (&bad, 64, "line 1, column 34: pools[0].upstreams[0]: "),
        (&absent, 64, "absent.yaml cannot be read: No such file"),
    ] {
        let output = warmgate(&["check", file.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_bad_command_line_is_64_and_help_is_0() {
    for (arguments, status) in [
        (&["serve", "--policy", "fastest"][..], 64),
        (&["serve"], 64),
        (&["sreve"], 64),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        let output = warmgate(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
    }
}
