//! Why: the demonstration starts processes and takes ports, and must leave neither behind.

use std::net::TcpListener;
use std::process::{Command, Stdio};

const WARMGATE: &str = env!("CARGO_BIN_EXE_warmgate");

#[test]
fn a_gateway_ends_with_the_pipe_of_its_parent() {
    let mut gateway = Command::new(WARMGATE)
        .args(["serve", "--until-stdin-closes", "--listen", "127.0.0.1:0"])
        .args(["--admin", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // What the kernel does when the parent dies.
    drop(gateway.stdin.take());
    assert!(gateway.wait().unwrap().success());
}

#[test]
fn a_taken_port_is_an_error_before_anything_is_started() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (flag, other) in [("--listen", "--admin"), ("--admin", "--listen")] {
        let demo = Command::new(WARMGATE)
            .args(["demo", "--once", flag, &taken, other, "127.0.0.1:0"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&demo.stderr);
        assert_eq!(demo.status.code(), Some(1), "{said}");
        assert!(said.contains(flag) && said.contains(&taken), "{said}");
        assert!(demo.stdout.is_empty(), "it began all the same");
    }
}
