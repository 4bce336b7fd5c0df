//! How the API server of a cluster is reached, and as whom.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Longest wait for a connection to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterAccess {
    /// A kubeconfig file, under its current context. None: in a pod its own account, elsewhere what
    /// `KUBECONFIG` names or `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
}

/// Why a cluster cannot be asked; nothing has been sent to it.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Neither in a pod nor told of a cluster.
    #[error(
        "no cluster is known: this is no pod with a service account, and there is no kubeconfig; \
         name one by `--kubeconfig`: {0}"
    )]
    Unknown(#[from] kube::config::InferConfigError),
    /// What was read makes no client.
    #[error("no client for the API server can be made: {0}")]
    Client(#[from] kube::Error),
}

/// A client, and the namespace that its account is at home in.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl ClusterAccess {
    /// Whether the kubeconfig, where one is named, can be read and has a current context; what it
    /// names is not asked.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub fn check(&self) -> Result<(), AccessError> {
        if let Some(path) = &self.kubeconfig {
            Kubeconfig::read_from(path)?;
        }
        Ok(())
    }

    /// Reads what is needed to ask the API server; asks it nothing yet.
    pub(crate) async fn connect(&self) -> Result<Cluster, AccessError> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config)?;
        Ok(Cluster { client, namespace })
    }

    async fn config(&self) -> Result<Config, AccessError> {
        if let Some(path) = &self.kubeconfig {
            let options = KubeConfigOptions::default();
            let kubeconfig = Kubeconfig::read_from(path)?;
            return Ok(Config::from_custom_kubeconfig(kubeconfig, &options).await?);
        }
        match Config::incluster() {
            Ok(config) => Ok(config),
            Err(_) => Ok(Config::infer().await?),
        }
    }
}
