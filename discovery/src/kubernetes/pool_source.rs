//! The endpoints of an InferencePool: watches the object and its pods, and says in the object's
//! status that it is in use.

use std::convert::Infallible;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::runtime::watcher;
use serde_json::json;
use tokio::sync::Notify;

use super::access::Cluster;
use super::inference_pool::{InferencePool, PoolFacts, endpoints};
use super::parents::{self, Parent};
use super::pods::PodFacts;
use super::service_source::COALESCE;
use super::status::StatusWriter;
use super::watch::{Seen, Standing, Watch};
use super::{KubernetesSource, refusal};
use crate::source::{SourceError, Stopped, Updates};

const KEPT: &str = "last known endpoints are kept";

struct PoolSource<'a> {
    cluster: &'a Cluster,
    namespace: String,
    name: &'a str,
    changed: Arc<Notify>,
    pools: Watch<PoolFacts>,
    /// Those of one selector; another one is another watch.
    pods: Option<(String, Watch<PodFacts>)>,
    parent: Option<&'a Parent>,
    status: StatusWriter<InferencePool>,
}

/// Tells who is there for as long as the pool lives.
pub(super) async fn run(
    cluster: &Cluster,
    source: &KubernetesSource,
    name: &str,
    updates: &mut Updates,
) -> Result<Infallible, Stopped> {
    let changed = Arc::new(Notify::new());
    let namespaces = source.namespaces_in(cluster);
    let namespace = namespaces.into_iter().next().unwrap_or_default();
    let api: Api<InferencePool> = Api::namespaced(cluster.client.clone(), &namespace);
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut source = PoolSource {
        cluster,
        name,
        pools: Watch::start(api.clone(), only, PoolFacts::read, Arc::clone(&changed)),
        changed,
        pods: None,
        parent: source.parent.as_ref(),
        status: StatusWriter::start(api, name.to_owned()),
        namespace,
    };
    loop {
        source.changed.notified().await;
        tokio::time::sleep(COALESCE).await;
        source.tell(updates).await?;
    }
}

impl PoolSource<'_> {
    async fn tell(&mut self, updates: &mut Updates) -> Result<(), Stopped> {
        let pools = self.pools.seen();
        if pools.standing == Standing::Unheard {
            return Ok(());
        }
        let mut problems: Vec<SourceError> = self.problem(&pools.standing).into_iter().collect();
        let Some(pool) = pools.objects.first() else {
            return self.tell_absent(&pools, problems, updates).await;
        };
        self.say(pool);
        if let Some(reason) = pool.refusal() {
            updates.note_touch(pools.standing == Standing::InTouch);
            problems.push(SourceError::Unusable {
                what: pool.title(),
                reason: format!("{reason}; {KEPT}"),
            });
            updates.report(&problems);
            return Ok(());
        }
        let pods = self.select(pool.selector()).seen();
        // Its own words are to come yet; what was told before holds until then.
        if pods.standing == Standing::Unheard {
            return Ok(());
        }
        let is_in_touch = [&pools.standing, &pods.standing]
            .into_iter()
            .all(|standing| *standing == Standing::InTouch);
        updates.note_touch(is_in_touch);
        if let Standing::Lost(reason) = &pods.standing
            && problems.is_empty()
        {
            problems.push(unreachable(reason));
        }
        let what = format!("Pods in namespace `{}`", self.namespace);
        problems.extend(refusal(&pods.standing, what, KEPT));
        if !pods.was_listed {
            updates.report(&problems);
            return Ok(());
        }
        let (specs, unusable) = endpoints(pool, &pods.objects);
        problems.extend(unusable);
        updates.publish(specs, problems).await
    }

    /// Of a pool that is gone the endpoints go too; one that was never heard of has none.
    async fn tell_absent(
        &mut self,
        pools: &Seen<PoolFacts>,
        mut problems: Vec<SourceError>,
        updates: &mut Updates,
    ) -> Result<(), Stopped> {
        updates.note_touch(pools.standing == Standing::InTouch);
        if !pools.was_listed {
            updates.report(&problems);
            return Ok(());
        }
        self.pods = None;
        if problems.is_empty() {
            problems.push(SourceError::NotFound { what: self.title() });
        }
        updates.publish(Vec::new(), problems).await
    }

    fn select(&mut self, selector: String) -> &Watch<PodFacts> {
        let kept = self.pods.take().filter(|(before, _)| *before == selector);
        let (_, pods) = self.pods.insert(kept.unwrap_or_else(|| {
            let client = self.cluster.client.clone();
            let api: Api<Pod> = Api::namespaced(client, &self.namespace);
            let labelled = watcher::Config::default().labels(&selector);
            let changed = Arc::clone(&self.changed);
            let pods = Watch::start(api, labelled, PodFacts::read, changed);
            (selector, pods)
        }));
        pods
    }

    /// Has our entry written, where a parent is configured and the entry is not as it should be.
    fn say(&self, pool: &PoolFacts) {
        let Some(parent) = self.parent.cloned() else {
            return;
        };
        if wanted(pool, &parent).is_none() {
            return;
        }
        self.status.want(Arc::new(move |object: &InferencePool| {
            wanted(&PoolFacts::read(object.clone()), &parent)
        }));
    }

    fn title(&self) -> String {
        format!(
            "InferencePool `{}` in namespace `{}`",
            self.name, self.namespace
        )
    }

    fn problem(&self, standing: &Standing) -> Option<SourceError> {
        match standing {
            Standing::Lost(reason) => Some(unreachable(reason)),
            other => refusal(other, self.title(), KEPT),
        }
    }
}

fn unreachable(reason: &str) -> SourceError {
    SourceError::Unreachable {
        what: "InferencePools and Pods".to_owned(),
        reason: reason.to_owned(),
    }
}

fn wanted(pool: &PoolFacts, parent: &Parent) -> Option<serde_json::Value> {
    let seen = parents::Seen {
        generation: pool.generation,
        now: Timestamp::now(),
    };
    let references = [parent.reference()];
    let entries = parents::with_ours(
        &pool.parents,
        &pool.namespace,
        parent,
        &references,
        &pool.verdicts(),
        seen,
    );
    match entries {
        Ok(entries) => Some(json!({"parents": entries?})),
        Err(full) => {
            tracing::warn!(pool = %pool.title(), error = %full, "nothing can be said of it");
            None
        }
    }
}
