//! A gateway in front of one engine, and what it is measured by.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::cases::{CYCLE_TOKENS, Case};
use super::table::Measured;
use crate::Failure;
use crate::leash::{Leashed, free_ports};
use crate::real_engine::Bench;

/// The devices are small, and their content changes within seconds.
const SCRAPE_INTERVAL_MS: u32 = 500;
/// Until it has seen that its endpoint is back.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Which requests of a run to send: so many, after so many that were sent before.
#[derive(Clone, Copy)]
pub struct Span {
    /// Sent before.
    pub skip: u32,
    /// To be sent.
    pub requests: u32,
}

/// A gateway with one endpoint.
pub struct Gateway {
    /// Its prompts begin with it.
    name: String,
    listen: SocketAddr,
    admin: SocketAddr,
    access_log: PathBuf,
    process: Leashed,
}

impl Gateway {
    /// Starts it in front of `endpoint`, and waits until it is ready.
    pub fn start(
        bench: &Bench<'_>,
        case: Case,
        endpoint: SocketAddr,
        learns: bool,
    ) -> Result<Gateway, Failure> {
        let [listen, admin] = free_ports()?;
        let name = if learns { "learns" } else { "measures" };
        let access_log = bench.logs().join(format!("access-{name}.log"));
        let config = bench.logs().join(format!("gateway-{name}.yaml"));
        let text = format!(
            "listen: {listen}\n\
             access_log: {{path: {access_log:?}}}\n\
             pools:\n\
             \x20 - name: main\n\
             \x20   upstreams: [\"http://{endpoint}\"]\n\
             \x20   scrape: {{interval_ms: {SCRAPE_INTERVAL_MS}}}\n\
             \x20   feedback: {learns}\n\
             \x20   {}\n",
            case.pool
        );
        // The log is appended to, and an earlier run's requests have the same names.
        fs::write(&access_log, "")
            .and_then(|()| fs::write(&config, text))
            .map_err(|error| format!("{} cannot be written: {error}", config.display()))?;
        let flags = [format!("--config={}", config.display())];
        let process = bench.start_gateway(&format!("gateway-{name}"), admin, "/ready", &flags)?;
        Ok(Gateway {
            name: format!("{} {name}", case.name),
            listen,
            admin,
            access_log,
            process,
        })
    }

    /// Waits until its endpoint takes requests.
    pub fn wait_until_ready(&mut self) -> Result<(), Failure> {
        self.process
            .wait_until_ok(self.admin, "/ready", READY_WITHIN)
    }

    /// Sends the requests of `span` one after another, and measures. The counters of `silent`, an
    /// engine that nobody else uses, are read where its answers do not say what was cached.
    pub fn hold(
        &self,
        bench: &Bench<'_>,
        span: Span,
        silent: Option<SocketAddr>,
    ) -> Result<Measured, Failure> {
        let mut arguments = vec![
            format!("--gateway=http://{}", self.listen),
            format!("--access-log={}", self.access_log.display()),
            format!("--name={}", self.name),
            format!("--cycle={CYCLE_TOKENS}"),
            format!("--requests={}", span.requests),
            format!("--skip={}", span.skip),
        ];
        arguments.extend(silent.map(|engine| format!("--counters-of=http://{engine}")));
        Measured::read(&bench.measure("feedback.py", &arguments)?)
    }
}
