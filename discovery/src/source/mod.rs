//! Where the endpoints of a pool come from. One file each; all speak the contract of
//! [`EndpointEvent`](warmgate_routing::EndpointEvent): a list is complete only at its end, and a
//! source that fails says nothing, so that what was known stays.
//!
//! To add a source: a file with a [`Source`], a variant of [`SourceConfig`].

use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use crate::kubernetes::KubernetesSource;

mod dns;
mod error;
mod file;
mod listing;
mod resolver;
mod static_list;
mod updates;
mod upstream_url;

pub use dns::DnsName;
pub use error::SourceError;
pub use file::{FILE_BYTES_MAX, FILE_POLL_INTERVAL, parse_endpoints_file};
pub use listing::Listed;
pub use resolver::{RESOLVE_INTERVAL, RESOLVE_RETRY, RESOLVE_TIMEOUT};
pub use updates::{ENDPOINTS_MAX, Stopped, Updates};
pub use upstream_url::{UpstreamUrl, UpstreamUrlError};

/// Tells who is in a pool, until nobody listens any more.
pub trait Source: Send {
    /// Runs for as long as the pool does.
    ///
    /// # Errors
    /// [`Stopped`] once the pool is gone; a source ends in no other way.
    fn run(self, updates: Updates) -> impl Future<Output = Result<Infallible, Stopped>> + Send;
}

/// The configured source of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceConfig {
    /// Addresses or host names, one endpoint each.
    Static(Vec<UpstreamUrl>),
    /// A YAML file, read again when it changes.
    File(PathBuf),
    /// A name that resolves to one address for each endpoint, resolved again and again.
    Dns(DnsName),
    /// What a cluster says.
    Kubernetes(KubernetesSource),
}

impl SourceConfig {
    /// The name used in logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            SourceConfig::Static(_) => "static",
            SourceConfig::File(_) => "file",
            SourceConfig::Dns(_) => "dns",
            SourceConfig::Kubernetes(_) => "kubernetes",
        }
    }

    pub(crate) async fn run(self, updates: Updates) -> Result<Infallible, Stopped> {
        let resolver = Arc::new(resolver::SystemResolver);
        match self {
            SourceConfig::Static(urls) => {
                static_list::StaticList::new(urls, resolver)
                    .run(updates)
                    .await
            }
            SourceConfig::File(path) => file::EndpointsFile::new(path, resolver).run(updates).await,
            SourceConfig::Dns(name) => dns::DnsEndpoints::new(name, resolver).run(updates).await,
            SourceConfig::Kubernetes(source) => source.run(updates).await,
        }
    }
}
