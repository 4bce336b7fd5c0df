//! Endpoints that a cluster knows: those of Services, by their EndpointSlices, or of an
//! InferencePool, by its pods.
//!
//! ```text
//! API server --list, watch--> watched objects --pure function--> endpoints --Updates--> the pool
//! ```

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use crate::source::{SourceError, Stopped, Updates};

mod access;

pub use access::{AccessError, ClusterAccess};

/// Pause before the account or the kubeconfig is read again.
const CONNECT_RETRY: Duration = Duration::from_secs(1);

/// The endpoints of a pool, by what a cluster calls them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSource {
    /// Which cluster.
    pub access: ClusterAccess,
    /// Where to look; empty: in the namespace of the account, or of the kubeconfig's context.
    pub namespaces: Vec<String>,
    /// Whose endpoints.
    pub members: Members,
    /// Which port of each. None: the only one, else the one called `http`. Of an InferencePool its
    /// `targetPorts` count.
    pub port: Option<PortRef>,
}

/// Whose endpoints make a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// Those of these Services, at least one, in each namespace.
    Services(Vec<String>),
    /// Those of every EndpointSlice with these labels; a Service's labels are on its slices.
    Labelled(BTreeMap<String, String>),
    /// The pods of this InferencePool (`inference.networking.k8s.io/v1`).
    InferencePool(String),
}

/// A port of a Service or pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortRef {
    /// By its number at the endpoints or, where no endpoint listens there, at the Service.
    Number(u16),
    /// By its name.
    Name(String),
}

impl fmt::Display for PortRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortRef::Number(number) => number.fmt(out),
            PortRef::Name(name) => name.fmt(out),
        }
    }
}

impl KubernetesSource {
    /// Tells who is there for as long as the pool lives.
    ///
    /// # Errors
    /// [`Stopped`] once the pool is gone.
    pub(crate) async fn run(self, mut updates: Updates) -> Result<Infallible, Stopped> {
        loop {
            match self.access.connect().await {
                Ok(_) => std::future::pending::<()>().await,
                Err(error) => updates.report(&[SourceError::Unreachable {
                    what: "endpoints".to_owned(),
                    reason: error.to_string(),
                }]),
            }
            tokio::time::sleep(CONNECT_RETRY).await;
        }
    }
}
