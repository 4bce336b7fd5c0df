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
mod inference_pool;
pub mod objects;
mod parents;
mod pods;
mod pool_source;
mod service_source;
mod slices;
mod status;
mod watch;

use access::Cluster;
pub use access::{AccessError, ClusterAccess};
pub use parents::{CONTROLLER_NAME, PARENTS_MAX, Parent, ParentKind};
use watch::Standing;

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
    /// What stands for this gateway in the cluster. An InferencePool then says in its status
    /// whether it is used; none: nothing is written.
    pub parent: Option<Parent>,
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
        let cluster = self.connect(&mut updates).await;
        match &self.members {
            Members::Services(_) | Members::Labelled(_) => {
                service_source::run(&cluster, &self, &mut updates).await
            }
            Members::InferencePool(name) => {
                pool_source::run(&cluster, &self, name, &mut updates).await
            }
        }
    }

    async fn connect(&self, updates: &mut Updates) -> Cluster {
        loop {
            match self.access.connect().await {
                Ok(cluster) => return cluster,
                Err(error) => {
                    updates.note_touch(false);
                    updates.report(&[SourceError::Unreachable {
                        what: "anything".to_owned(),
                        reason: error.to_string(),
                    }]);
                }
            }
            tokio::time::sleep(CONNECT_RETRY).await;
        }
    }

    fn namespaces_in(&self, cluster: &Cluster) -> Vec<String> {
        match self.namespaces.as_slice() {
            [] => vec![cluster.namespace.clone()],
            named => named.to_vec(),
        }
    }
}

/// What the API server says no to, where a watch stands like this; `effect` is what that means for
/// the pool.
fn refusal(standing: &Standing, what: String, effect: &'static str) -> Option<SourceError> {
    match standing {
        Standing::Unheard | Standing::InTouch | Standing::Lost(_) => None,
        Standing::Refused(reason) => Some(SourceError::Forbidden {
            what,
            effect,
            reason: reason.clone(),
        }),
        Standing::NoSuchKind => Some(SourceError::NotFound {
            what: format!("the kind of {what}"),
        }),
    }
}
