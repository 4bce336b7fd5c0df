//! A gateway as a process of its own, which never outlives the demonstration.
//!
//! It is killed when its handle is dropped, on every path that unwinds. For the paths that do not
//! (the demonstration itself is killed), it holds the reading end of a pipe as its standard input:
//! the kernel closes the other end with this process, and `serve --until-stdin-closes` ends there.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::DemoError;
use super::engines::COUNT;

/// Time to come up; a start takes a fraction of a second on an idle machine.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two questions whether it is up, or still there.
const READY_PAUSE: Duration = Duration::from_millis(50);
/// Longest answer to that question that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Where it listens and what it does.
pub(super) struct Settings {
    /// For clients.
    pub(super) listen: SocketAddr,
    /// For operators.
    pub(super) admin: SocketAddr,
    /// A policy in place of the default.
    pub(super) policy: Option<&'static str>,
}

/// A running gateway; dropping it kills it.
pub(super) struct GatewayProcess {
    child: Child,
    settings: Settings,
}

impl GatewayProcess {
    /// Starts one in front of `upstreams` and waits until it has heard of every one of them.
    ///
    /// # Errors
    /// Where it cannot be started, ends, or is not ready in time.
    pub(super) async fn start(
        settings: Settings,
        upstreams: &[String],
    ) -> Result<GatewayProcess, DemoError> {
        let program = std::env::current_exe().map_err(DemoError::Spawn)?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--until-stdin-closes"])
            .args(["--listen", &settings.listen.to_string()])
            .args(["--admin", &settings.admin.to_string()]);
        for url in upstreams {
            command.args(["--upstream", url]);
        }
        if let Some(policy) = settings.policy {
            command.args(["--policy", policy]);
        }
        // Its log would run through the progress bar.
        command.env("WARMGATE_LOG", "error");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let child = command.spawn().map_err(DemoError::Spawn)?;
        let mut gateway = GatewayProcess { child, settings };
        gateway.until_ready().await?;
        Ok(gateway)
    }

    /// For clients.
    pub(super) fn url(&self) -> String {
        format!("http://{}", reachable(self.settings.listen))
    }

    /// For operators.
    pub(super) fn admin_url(&self) -> String {
        format!("http://{}", reachable(self.settings.admin))
    }

    /// Waits until it ends, which it should not.
    pub(super) async fn ended(&mut self) -> DemoError {
        loop {
            match self.child.try_wait() {
                Ok(None) => sleep(READY_PAUSE).await,
                Ok(Some(status)) => return DemoError::GatewayEnded(status),
                Err(error) => return DemoError::Spawn(error),
            }
        }
    }

    async fn until_ready(&mut self) -> Result<(), DemoError> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().map_err(DemoError::Spawn)? {
                return Err(DemoError::GatewayEnded(status));
            }
            if self.is_ready().await {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let limit_s = READY_LIMIT.as_secs();
                return Err(DemoError::NotReady { limit_s });
            }
            sleep(READY_PAUSE).await;
        }
    }

    /// Whether it has heard of all engines and takes clients, whose port opens by itself.
    async fn is_ready(&self) -> bool {
        let asked = timeout(READY_LIMIT, async {
            let page = ask(reachable(self.settings.admin)).await?;
            TcpStream::connect(reachable(self.settings.listen)).await?;
            std::io::Result::Ok(usable(&page))
        });
        matches!(asked.await, Ok(Ok(count)) if count == COUNT as u64)
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where to reach a listener: one that listens everywhere is reached at home.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            reachable.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            reachable.set_ip(std::net::Ipv6Addr::LOCALHOST.into());
        }
        SocketAddr::V4(_) | SocketAddr::V6(_) => {}
    }
    reachable
}

/// `GET /ready`, header and body.
async fn ask(admin: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_string(&mut answer)
        .await?;
    Ok(answer)
}

/// Usable endpoints of the only pool; 0 where the answer does not say.
fn usable(answer: &str) -> u64 {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let page: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    page["pools"][0]["usable"].as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_endpoints_are_counted_and_nonsense_is_none() {
        for (answer, count) in [
            (
                "HTTP/1.0 200 OK\r\na: b\r\n\r\n{\"pools\":[{\"usable\":4}]}",
                4,
            ),
            ("HTTP/1.0 503 No\r\n\r\n{\"pools\":[]}", 0),
            ("HTTP/1.0 200 OK\r\n\r\n<html>", 0),
            ("", 0),
        ] {
            assert_eq!(usable(answer), count, "{answer}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_reached_at_home() {
        for (listens, reached) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("10.1.2.3:80", "10.1.2.3:80"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), reached);
        }
    }
}
