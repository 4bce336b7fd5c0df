//! Starts `warmgate serve` on ports of its own, shows what it knows, and ends it with the test.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use warmgate_loadtest::engine::EngineHandle;

use crate::http_client;

mod page;

pub use page::Page;

/// No condition of these tests takes longer, but on a machine that is overloaded.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks at a condition.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Starts that are tried where another process takes a port between its choice and its use.
const STARTS_MAX: usize = 5;

/// A running gateway; killed when dropped.
pub struct GatewayProcess {
    child: Child,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where operators connect.
    pub admin: SocketAddr,
    folder: TempDir,
}

/// What to start.
#[derive(Default)]
pub struct Start {
    arguments: Vec<String>,
    config: Option<String>,
    environment: Vec<(&'static str, String)>,
    is_awaited: bool,
}

impl Start {
    /// The gateway in front of these engines, waited for until it has heard of each.
    pub fn in_front_of<'a>(engines: impl IntoIterator<Item = &'a EngineHandle>) -> Start {
        let urls = engines.into_iter().map(EngineHandle::url);
        Start {
            arguments: urls
                .flat_map(|url| ["--upstream".to_owned(), url])
                .collect(),
            is_awaited: true,
            ..Start::default()
        }
    }

    /// The gateway under this configuration, waited for until it has heard of each endpoint.
    pub fn with_config(text: &str) -> Start {
        Start {
            config: Some(text.to_owned()),
            is_awaited: true,
            ..Start::default()
        }
    }

    /// The gateway in front of these addresses, with further lines of configuration. It takes turns,
    /// so that every endpoint is met, and looks at endpoints so rarely that requests find out first
    /// how they are.
    pub fn taking_turns(urls: &[String], further: &str) -> Start {
        Start::with_config(&format!(
            "pools: [{{name: main, upstreams: {urls:?}, policy: {{name: round_robin}}, \
             scrape: {{interval_ms: 5000}}}}]\n{further}\n"
        ))
    }

    /// One more argument, or several in a row.
    pub fn arguments(mut self, more: &[&str]) -> Start {
        self.arguments
            .extend(more.iter().map(|text| (*text).to_owned()));
        self
    }

    /// A variable of its environment.
    pub fn environment(mut self, name: &'static str, value: &str) -> Start {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Does not wait until endpoints have been heard of: some never will be.
    pub fn without_awaiting_endpoints(mut self) -> Start {
        self.is_awaited = false;
        self
    }

    /// Starts, and waits until clients and operators are served.
    pub async fn run(self) -> GatewayProcess {
        for _ in 0..STARTS_MAX {
            let Some(gateway) = self.try_run().await else {
                continue;
            };
            if self.is_awaited {
                let all_listed = |endpoints: &[Value]| {
                    !endpoints.is_empty() && endpoints.iter().all(|row| row["models"].is_array())
                };
                gateway.until_endpoints(all_listed).await;
            }
            return gateway;
        }
        panic!("no free ports");
    }

    /// None where a port was taken meanwhile.
    async fn try_run(&self) -> Option<GatewayProcess> {
        let folder = tempfile::tempdir().unwrap();
        let (listen, admin) = (free_address(), free_address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_warmgate"));
        command.args(["serve", "--listen", &listen.to_string()]);
        command.args(["--admin", &admin.to_string(), "--threads", "2"]);
        if let Some(config) = &self.config {
            let path = folder.path().join("warmgate.yaml");
            std::fs::write(&path, config).unwrap();
            command.arg("--config").arg(path);
        }
        let file = |name: &str| std::fs::File::create(folder.path().join(name)).unwrap();
        command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        let mut gateway = GatewayProcess {
            child: command.spawn().unwrap(),
            listen,
            admin,
            folder,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = gateway.child.try_wait().unwrap() {
                let said = gateway.stderr();
                assert!(said.contains("cannot listen"), "{status}: {said}");
                return None;
            }
            let is_up = http_client::can_connect(listen).await
                && http_client::get(admin, "/health").await.is_ok();
            if is_up {
                return Some(gateway);
            }
            assert!(Instant::now() < deadline, "not up: {}", gateway.stderr());
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

impl GatewayProcess {
    /// Everything said on standard error so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap()
    }

    /// Everything said on standard output so far.
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(self.path("stdout")).unwrap()
    }

    /// A file in the folder of the configuration.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the configuration file at once, as careful operators do.
    pub fn rewrite_config(&self, text: &str) {
        let draft = self.path("draft.yaml");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, self.path("warmgate.yaml")).unwrap();
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end of the process.
    pub async fn until_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "still running: {}",
                self.stderr()
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// `GET /endpoints` of the admin API.
    pub async fn endpoints(&self) -> Vec<Value> {
        let answer = http_client::get(self.admin, "/endpoints").await.unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// `GET /metrics` of the admin API.
    pub async fn metrics(&self) -> Page {
        let answer = http_client::get(self.admin, "/metrics").await.unwrap();
        Page::parse(std::str::from_utf8(&answer.body).unwrap())
    }

    /// Waits until something holds that can be seen from outside.
    pub async fn until(&self, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "{}", self.stderr());
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until the endpoints are as `expected`.
    pub async fn until_endpoints(&self, expected: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let endpoints = self.endpoints().await;
            if expected(&endpoints) {
                return endpoints;
            }
            assert!(Instant::now() < deadline, "{endpoints:#?}");
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until the metrics are as `expected`: requests are counted just after their end.
    pub async fn until_metrics(&self, expected: impl Fn(&Page) -> bool) -> Page {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let page = self.metrics().await;
            if expected(&page) {
                return page;
            }
            assert!(Instant::now() < deadline, "{page}\n{}", self.stderr());
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until nothing is in flight anywhere, and asserts that all of the ledger is zero then
    /// and that no invariant was found broken.
    pub async fn assert_settled(&self) {
        let idle = |row: &Value| {
            [
                "inflight",
                "queued_prefill_tokens",
                "decoding",
                "prompt_tokens",
            ]
            .iter()
            .all(|key| row[key] == 0)
        };
        self.until_endpoints(|endpoints| endpoints.iter().all(idle))
            .await;
        assert_eq!(self.metrics().await.sum("warmgate_bugs_total", &[]), 0.0);
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let status = self.child.wait();
        let is_crash = status.is_ok_and(|status| status.signal().is_some_and(|number| number != 9));
        if std::thread::panicking() {
            eprintln!("warmgate said:\n{}", self.stderr());
        } else {
            assert!(!is_crash, "crashed: {}", self.stderr());
            assert!(!self.stderr().contains("panicked"), "{}", self.stderr());
        }
    }
}

/// An address where nobody listens; another process may take it any time.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
