//! What discovery tells whoever runs it, as it happens; the gateway turns this into metrics.

use std::fmt;
use std::time::Duration;

use warmgate_routing::EndpointKey;

/// Listener for what discovery does. Every method does nothing unless it is overridden, is called
/// on tasks of the runtime, and must not block.
pub trait DiscoveryEvents: Send + Sync {
    /// A source has told the complete list of a pool.
    fn source_synced(&self, _pool: &str, _endpoints: usize) {}
    /// A source has lost touch with whoever tells it: what was known stays and grows old, until
    /// [`source_in_touch`](DiscoveryEvents::source_in_touch).
    fn source_out_of_touch(&self, _pool: &str) {}
    /// What a source knows is what there is, again or for the first time.
    fn source_in_touch(&self, _pool: &str) {}
    /// A source could not tell all; what was known stays. Called again each time it is tried.
    fn source_failed(&self, _pool: &str, _why: SourceFailure) {}
    /// The first complete list is there and each of its endpoints has been probed once, with or
    /// without success. Called once for a pool.
    fn first_sync(&self, _pool: &str) {}
    /// A metrics page was read, from request to report.
    fn scrape_ok(&self, _endpoint: &EndpointKey, _took: Duration) {}
    /// A metrics page could not be read. Called for each attempt.
    fn scrape_failed(&self, _endpoint: &EndpointKey, _why: ProbeFailure) {}
    /// The list of models differs from the one before, or is the first.
    fn models_changed(&self, _endpoint: &EndpointKey, _models: usize) {}
    /// The list of models could not be read; the one before stays. Called for each attempt.
    fn models_failed(&self, _endpoint: &EndpointKey, _why: ProbeFailure) {}
    /// The last report is too old to count: load of others is taken for none until the next one.
    fn report_expired(&self, _endpoint: &EndpointKey) {}
    /// Its metrics page is that of a younger process: what it was believed to hold is forgotten.
    fn engine_restarted(&self, _endpoint: &EndpointKey) {}
    /// Its counters show no hits where many were predicted: what it was believed to hold is
    /// forgotten.
    fn cache_lost(&self, _endpoint: &EndpointKey) {}
    /// The endpoint has left the pool.
    fn endpoint_gone(&self, _endpoint: &EndpointKey) {}
}

/// Nobody listens.
impl DiscoveryEvents for () {}

/// Why a source could not tell all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceFailure {
    /// A name does not resolve.
    Unresolved,
    /// A file cannot be read.
    Unreadable,
    /// A file's content is not a list of endpoints.
    Invalid,
    /// More endpoints than a pool may have.
    TooMany,
    /// The API server does not answer, or breaks off.
    Unreachable,
    /// The API server refuses: the account lacks a right, or its token is not accepted.
    Forbidden,
    /// An object that is named does not exist.
    NotFound,
    /// The source has stopped for good, which is a fault of the gateway.
    Stopped,
}

/// Why a probe told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeFailure {
    /// Nobody listens at the address.
    Refused,
    /// No complete answer in time.
    Timeout,
    /// The connection broke, or TLS could not be agreed on.
    Broken,
    /// An answer with a status other than 200, for instance where metrics are switched off.
    Status,
    /// An answer beyond its limit.
    TooLarge,
    /// An answer that could not be understood.
    Unreadable,
}

impl SourceFailure {
    /// The name used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SourceFailure::Unresolved => "unresolved",
            SourceFailure::Unreadable => "unreadable",
            SourceFailure::Invalid => "invalid",
            SourceFailure::TooMany => "too_many",
            SourceFailure::Unreachable => "unreachable",
            SourceFailure::Forbidden => "forbidden",
            SourceFailure::NotFound => "not_found",
            SourceFailure::Stopped => "stopped",
        }
    }
}

impl ProbeFailure {
    /// The name used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ProbeFailure::Refused => "refused",
            ProbeFailure::Timeout => "timeout",
            ProbeFailure::Broken => "broken",
            ProbeFailure::Status => "status",
            ProbeFailure::TooLarge => "too_large",
            ProbeFailure::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
