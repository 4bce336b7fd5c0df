//! The configuration as it is meant: complete, checked, in the units of the code.
//!
//! ```text
//! file, flags -> RawConfig (as typed, `raw`) -> Config (as meant, `meaning`) -> the gateway
//!                    each error: key path, what is wrong, what to write instead
//! ```
//! A [`Config`] that exists is valid: names are unique, every route has its pool, every file that
//! must exist does. [`Source`] loads it; [`reload`] loads it again while the gateway runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use warmgate_discovery::KubernetesSource;
use warmgate_routing::{Policy, RouterSettings};

mod error;
mod excerpt;
pub mod kubernetes;
pub mod limit;
mod load;
mod meaning;
mod overrides;
mod policy_range;
pub mod raw;
pub mod raw_routes;
pub mod reference;
pub mod reload;
mod routes;
pub mod schema;
mod tls;

pub use error::ConfigError;
pub use kubernetes::ServiceRef;
pub use load::Source;
pub use overrides::Overrides;
pub use raw::{Limits, RawConfig, ResponseHeaders};
pub use reload::NeedsRestart;
pub use routes::{GuardRules, Head, HostMatch, Match, PathMatch, Route, Routes, Target};
pub use tls::Tls;
pub use warmgate_discovery::UpstreamUrl;

/// The model of a route that takes every name without a route of its own.
pub const ANY_MODEL: &str = "*";
/// Name of the pool that `--upstream` or `--service` makes.
pub const COMMAND_LINE_POOL: &str = "main";

/// Everything an operator can choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect without TLS.
    pub listen: SocketAddr,
    /// Where clients connect with TLS, if anywhere.
    pub tls: Option<Tls>,
    /// Where operators and Kubernetes connect.
    pub admin: SocketAddr,
    /// Threads that forward requests, at least 1.
    pub threads: usize,
    /// Bounds on what one client may ask for.
    pub limits: Limits,
    /// How requests are sent to endpoints.
    pub forward: Forward,
    /// Which headers are added to answers.
    pub response_headers: ResponseHeaders,
    /// Whether clients may ask for the decision behind their answer.
    pub explain: bool,
    /// Where the access log goes; none: nowhere.
    pub access_log: Option<AccessLog>,
    /// Longest time for answers under way to end once the gateway has been told to stop.
    pub drain: Duration,
    /// At least one; names are unique.
    pub pools: Vec<PoolConfig>,
    /// Where each model's requests go.
    pub routes: Routes,
    /// Where guards keep their state across restarts; none: nowhere.
    pub guard_state: Option<PathBuf>,
}

impl Config {
    /// The keys whose values in `new` take effect at the next start only.
    #[must_use]
    pub fn needs_restart(&self, new: &Config) -> NeedsRestart {
        let connections = |config: &Config| config.forward.keepalive_connections;
        let changed = [
            ("listen", self.listen != new.listen),
            ("tls", self.tls != new.tls),
            ("admin", self.admin != new.admin),
            ("threads", self.threads != new.threads),
            ("guard_state", self.guard_state != new.guard_state),
            ("access_log", self.access_log != new.access_log),
            (
                "forward.keepalive_connections",
                connections(self) != connections(new),
            ),
        ];
        let keys = changed.into_iter().filter(|(_, changed)| *changed);
        NeedsRestart(keys.map(|(key, _)| key).collect())
    }
}

/// How requests are sent to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Further endpoints to try after the first.
    pub retries: usize,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the first byte of an answer; none: for ever.
    pub first_byte_timeout: Option<Duration>,
    /// Longest silence within an answer; none: for ever.
    pub idle_timeout: Option<Duration>,
    /// How long an unused connection is kept; none: not at all.
    pub keepalive: Option<Duration>,
    /// Unused connections kept in all.
    pub keepalive_connections: usize,
    /// Most copies for mirrors under way.
    pub mirrored_requests: usize,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}

/// The endpoints that serve one set of weights, and how one is chosen.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Name for routes and metric labels.
    pub name: String,
    /// Who the endpoints are.
    pub endpoints: EndpointSource,
    /// How one is chosen.
    pub policy: Policy,
    /// Block length, bound of the index, cache sizes of an endpoint, and whether they are learned.
    pub router: RouterSettings,
    /// How the engines' metrics are read.
    pub scrape: Scrape,
}

/// Who the endpoints of a pool are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointSource {
    /// These, for ever. At least one, all different.
    Upstreams(Vec<UpstreamUrl>),
    /// Those that this file lists now.
    File(PathBuf),
    /// Every address of a host name.
    Dns {
        /// The host name.
        name: String,
        /// Port of every address.
        port: u16,
        /// Whether endpoints speak TLS.
        tls: bool,
    },
    /// Those that a cluster knows.
    Kubernetes(KubernetesSource),
}

/// How the engines' metrics are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scrape {
    /// Time between two readings of one endpoint.
    pub interval: Duration,
    /// Longest wait for one reading.
    pub timeout: Duration,
}

#[cfg(test)]
mod tests;
