//! Who is there, and how are they? Feeds a [`Router`](warmgate_routing::Router) with endpoints and
//! with what their engines say about themselves.
//!
//! | room | in -> out |
//! |---|---|
//! | [`source`] | configuration, a file, DNS -> the endpoints of a pool |
//! | [`kubernetes`] | what an API server says -> the endpoints of a pool, and routes |
//! | [`scrape`] | a metrics page -> an [`EngineReport`](warmgate_routing::report::EngineReport) |
//! | [`models`] | `/v1/models` -> names |
//! | [`probe`] | one task for each endpoint: asks for both, again and again |
//! | [`pool`] | starts and stops all that for one pool |
//! | [`events`] | what happened, for the metrics of whoever runs this |
//!
//! Everything fails open: what cannot be read is kept as it last was, and said once in the log and
//! each time to [`DiscoveryEvents`].

pub mod events;
mod http_get;
pub mod kubernetes;
pub mod models;
pub mod pool;
pub mod probe;
pub mod scrape;
pub mod source;

pub use events::{DiscoveryEvents, ProbeFailure, SourceFailure};
pub use http_get::{BearerToken, BearerTokenError};
pub use kubernetes::{ClusterAccess, KubernetesSource, Members, Parent, ParentKind, PortRef};
pub use pool::{PoolWatch, run_pool};
pub use probe::ProbeSettings;
pub use source::{DnsName, SourceConfig, UpstreamUrl};
