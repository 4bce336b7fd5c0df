//! Writes what this gateway says of an object into its status, when it is not there yet.
//!
//! Beside the source, not in it: an API server that is slow to take a status delays no endpoint.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Attempts at one write, each with the object as it then is: others write its status too.
const CONFLICTS_MAX: usize = 5;
/// Pause after a write that failed.
const RETRY: Duration = Duration::from_secs(10);
/// A conflict: somebody else has written since it was read.
const CONFLICT: u16 = 409;

/// What is to be written: of an object as it is, its status as it should be; none where it is so.
pub(crate) type Wanted<K> = Arc<dyn Fn(&K) -> Option<Value> + Send + Sync>;

/// Writes the status of one object until it is dropped.
pub(crate) struct StatusWriter<K> {
    wanted: watch::Sender<Option<Wanted<K>>>,
    task: AbortHandle,
}

impl<K> StatusWriter<K>
where
    K: Resource<DynamicType = ()>
        + Clone
        + Serialize
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    /// For the object of that name.
    pub(crate) fn start(api: Api<K>, name: String) -> StatusWriter<K> {
        let (wanted, receiver) = watch::channel(None);
        let task = tokio::spawn(run(api, name, receiver));
        StatusWriter {
            wanted,
            task: task.abort_handle(),
        }
    }

    /// Sees to it that the status is like this; in place of what was wanted before.
    pub(crate) fn want(&self, wanted: Wanted<K>) {
        self.wanted.send_replace(Some(wanted));
    }
}

impl<K> Drop for StatusWriter<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run<K>(api: Api<K>, name: String, mut receiver: watch::Receiver<Option<Wanted<K>>>)
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    let kind = K::kind(&());
    let mut problem = None;
    while receiver.changed().await.is_ok() {
        loop {
            let Some(wanted) = receiver.borrow_and_update().clone() else {
                break;
            };
            let Err(error) = write(&api, &name, &wanted).await else {
                problem = None;
                break;
            };
            let now = error.to_string();
            if problem.as_ref() != Some(&now) {
                tracing::warn!(%kind, object = %name, error = %now, "its status cannot be written, it is tried again");
                problem = Some(now);
            }
            let _ = tokio::time::timeout(RETRY, receiver.changed()).await;
        }
    }
}

/// Reads the object, and where its status is not as wanted writes it over that very version.
async fn write<K>(api: &Api<K>, name: &str, wanted: &Wanted<K>) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    for attempt in 1.. {
        let Some(object) = api.get_opt(name).await? else {
            return Ok(());
        };
        let Some(status) = wanted(&object) else {
            return Ok(());
        };
        let patch = json!({
            "metadata": {"resourceVersion": object.resource_version()},
            "status": status,
        });
        let patched = api
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        match patched {
            Err(kube::Error::Api(refusal))
                if refusal.code == CONFLICT && attempt < CONFLICTS_MAX => {}
            done => return done.map(|_| ()),
        }
    }
    Ok(())
}
