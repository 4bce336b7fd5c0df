//! Watches the objects that describe routes, tells what they mean, and says in each object's status
//! what is made of it.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};

use super::model_rewrite::ConditionsStatus;
use super::{
    Backends, HttpRoute, InferenceModelRewrite, InferenceObjective, Judged, ObjectRoutes, Objects,
    PoolRef, translate,
};
use crate::kubernetes::CONNECT_RETRY;
use crate::kubernetes::access::{Cluster, ClusterAccess};
use crate::kubernetes::inference_pool::InferencePool;
use crate::kubernetes::parents::{self, Parent, Verdict};
use crate::kubernetes::service_source::COALESCE;
use crate::kubernetes::status::StatusWriter;
use crate::kubernetes::watch::{Seen, Standing, Watch};

/// Where objects that describe routes are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSource {
    /// Which cluster.
    pub access: ClusterAccess,
    /// What HTTPRoutes name as their parent where they mean this gateway.
    pub parent: Parent,
    /// Whose routes count: whoever may write HTTPRoutes there decides what this gateway serves.
    /// Empty: those of the parent's namespace.
    pub namespaces: Vec<String>,
    /// Pools of this gateway that no route has to name for InferenceModelRewrites and
    /// InferenceObjectives to be about them.
    pub pools: BTreeSet<PoolRef>,
}

impl RouteSource {
    /// Tells what the objects mean, as soon as all have been read once and then at each change,
    /// until the future is dropped. An API server that is away changes nothing; kinds that are not
    /// installed, or may not be read, have no objects, and that is said in the log.
    ///
    /// # Errors
    /// Never.
    pub async fn run(self, told: watch::Sender<Option<ObjectRoutes>>) -> Infallible {
        let cluster = self.connect().await;
        let changed = Arc::new(Notify::new());
        let namespaces = match self.namespaces.as_slice() {
            [] => std::slice::from_ref(&self.parent.namespace),
            named => named,
        };
        let namespaces = namespaces.iter();
        let mut watched = Watched {
            namespaces: namespaces
                .map(|name| Namespace::watch(&cluster.client, name, &changed))
                .collect(),
            said: BTreeSet::new(),
            writers: Writers::default(),
            client: cluster.client,
        };
        loop {
            changed.notified().await;
            tokio::time::sleep(COALESCE).await;
            let Some((objects, mut lines)) = watched.objects(&self.pools) else {
                continue;
            };
            let translation = translate(&objects, &self.parent);
            lines.extend(translation.problems().map(|problem| (false, problem)));
            watched.say(lines);
            watched.write(&translation, &self.parent);
            told.send_if_modified(|before| {
                let is_news = before.as_ref() != Some(&translation.routes);
                *before = Some(translation.routes);
                is_news
            });
        }
    }

    async fn connect(&self) -> Cluster {
        let mut said = None;
        loop {
            match self.access.connect().await {
                Ok(cluster) => return cluster,
                Err(error) => {
                    let now = error.to_string();
                    if said.as_ref() != Some(&now) {
                        tracing::warn!(error = %now, "routes cannot be read from the cluster");
                        said = Some(now);
                    }
                }
            }
            tokio::time::sleep(CONNECT_RETRY).await;
        }
    }
}

/// One namespace's objects.
struct Namespace {
    name: String,
    http_routes: Watch<HttpRoute>,
    rewrites: Watch<InferenceModelRewrite>,
    objectives: Watch<InferenceObjective>,
    services: Watch<String>,
    inference_pools: Watch<String>,
}

impl Namespace {
    fn watch(client: &Client, name: &str, changed: &Arc<Notify>) -> Namespace {
        Namespace {
            name: name.to_owned(),
            http_routes: all(client, name, bare, changed),
            rewrites: all(client, name, bare, changed),
            objectives: all(client, name, bare, changed),
            services: all(client, name, |it: Service| it.name_any(), changed),
            inference_pools: all(client, name, |it: InferencePool| it.name_any(), changed),
        }
    }
}

/// Who owns which field is long, and says nothing about routes.
fn bare<K: Resource>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    object
}

fn all<K, T>(client: &Client, namespace: &str, read: fn(K) -> T, changed: &Arc<Notify>) -> Watch<T>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + DeserializeOwned + Debug + Send + 'static,
    T: PartialEq + Send + Sync + 'static,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    Watch::start(api, watcher::Config::default(), read, Arc::clone(changed))
}

struct Watched {
    client: Client,
    namespaces: Vec<Namespace>,
    said: Lines,
    writers: Writers,
}

impl Watched {
    /// None until every question has been answered once, be it by a refusal.
    fn objects(&self, pools: &BTreeSet<PoolRef>) -> Option<(Objects, Lines)> {
        let mut objects = Objects {
            pools: pools.clone(),
            ..Objects::default()
        };
        let (mut services, mut inference_pools) = (Some(BTreeSet::new()), Some(BTreeSet::new()));
        let mut lines = Lines::new();
        for one in &self.namespaces {
            let routes = answered(&one.http_routes, "HTTPRoutes", one, &mut lines)?;
            objects.http_routes.extend(routes.objects);
            let rewrites = answered(&one.rewrites, "InferenceModelRewrites", one, &mut lines)?;
            objects.rewrites.extend(rewrites.objects);
            let objectives = answered(&one.objectives, "InferenceObjectives", one, &mut lines)?;
            objects.objectives.extend(objectives.objects);
            known(&mut services, &one.services, "Services", one, &mut lines)?;
            known(
                &mut inference_pools,
                &one.inference_pools,
                "InferencePools",
                one,
                &mut lines,
            )?;
        }
        objects.backends = Backends {
            services,
            inference_pools,
        };
        Some((objects, lines))
    }

    /// Says what is new, once.
    fn say(&mut self, lines: Lines) {
        for (is_normal, line) in lines.difference(&self.said) {
            if *is_normal {
                tracing::info!("{line}");
            } else {
                tracing::warn!("{line}");
            }
        }
        self.said = lines;
    }

    fn write(&mut self, translation: &super::Translation, parent: &Parent) {
        let Writers {
            http_routes,
            rewrites,
            objectives,
        } = &mut self.writers;
        write(
            &self.client,
            http_routes,
            &translation.http_routes,
            parent,
            route_status,
        );
        write(
            &self.client,
            rewrites,
            &translation.rewrites,
            parent,
            |object: &InferenceModelRewrite, about, _| {
                conditions_status(object.status.as_ref(), about)
            },
        );
        write(
            &self.client,
            objectives,
            &translation.objectives,
            parent,
            |object: &InferenceObjective, about, _| {
                conditions_status(object.status.as_ref(), about)
            },
        );
    }
}

/// What is to be said in the log, and whether it is as it may well be.
type Lines = BTreeSet<(bool, String)>;

/// Objects of a kind that is not installed, or may not be read, are none.
fn answered<T: PartialEq + Send + Sync + 'static>(
    watch: &Watch<T>,
    kind: &str,
    namespace: &Namespace,
    lines: &mut Lines,
) -> Option<Seen<T>> {
    let seen = watch.seen();
    let at = &namespace.name;
    match &seen.standing {
        Standing::Unheard => return None,
        Standing::Lost(_) if !seen.was_listed => return None,
        Standing::InTouch | Standing::Lost(_) => {}
        Standing::NoSuchKind => {
            lines.insert((true, format!("the cluster knows no {kind}: none are read")));
        }
        Standing::Refused(reason) => {
            let line = format!("the account may not read {kind} in namespace `{at}`: {reason}");
            lines.insert((false, line));
        }
    }
    Some(seen)
}

/// Adds the names of what exists; nothing is known where it may not be read.
fn known(
    names: &mut Option<BTreeSet<(String, String)>>,
    watch: &Watch<String>,
    kind: &str,
    namespace: &Namespace,
    lines: &mut Lines,
) -> Option<()> {
    let found = answered(watch, kind, namespace, lines)?;
    if matches!(found.standing, Standing::Refused(_)) {
        *names = None;
    }
    if let Some(names) = names {
        names.extend(
            found
                .objects
                .iter()
                .map(|name| (namespace.name.clone(), name.to_string())),
        );
    }
    Some(())
}

type ByName<K> = HashMap<(String, String), StatusWriter<K>>;

#[derive(Default)]
struct Writers {
    http_routes: ByName<HttpRoute>,
    rewrites: ByName<InferenceModelRewrite>,
    objectives: ByName<InferenceObjective>,
}

/// What is said of an object, and of which version of it.
struct About<'a> {
    verdicts: &'a [Verdict],
    seen: parents::Seen,
}

fn write<K>(
    client: &Client,
    writers: &mut ByName<K>,
    judged: &[Judged<K>],
    parent: &Parent,
    status: fn(&K, &About<'_>, &Parent) -> Option<Value>,
) where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Serialize + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let name = |object: &K| (object.namespace().unwrap_or_default(), object.name_any());
    let there: BTreeSet<_> = judged.iter().map(|judged| name(&judged.object)).collect();
    writers.retain(|name, _| there.contains(name));
    for Judged { object, verdicts } in judged {
        let (verdicts, parent) = (verdicts.clone(), parent.clone());
        let generation = object.meta().generation;
        let wanted = move |object: &K| {
            let seen = parents::Seen {
                generation,
                now: Timestamp::now(),
            };
            let verdicts = &verdicts;
            status(object, &About { verdicts, seen }, &parent)
        };
        if wanted(object).is_none() {
            continue;
        }
        let (namespace, name) = name(object);
        let api = || Api::namespaced(client.clone(), &namespace);
        let writer = writers
            .entry((namespace.clone(), name.clone()))
            .or_insert_with(|| StatusWriter::start(api(), name));
        writer.want(Arc::new(wanted));
    }
}

fn route_status(route: &HttpRoute, about: &About<'_>, parent: &Parent) -> Option<Value> {
    let namespace = route.namespace().unwrap_or_default();
    let ours = route.spec.parent_refs.iter();
    let references: Vec<_> = ours
        .filter(|reference| parent.is_meant_by(reference, &namespace))
        .cloned()
        .collect();
    let parents = route
        .status
        .as_ref()
        .map(|status| status.parents.as_slice());
    let entries = parents::with_ours(
        parents.unwrap_or_default(),
        &namespace,
        parent,
        &references,
        about.verdicts,
        about.seen,
    );
    match entries {
        Ok(entries) => Some(json!({"parents": entries?})),
        Err(full) => {
            let name = route.name_any();
            tracing::warn!(%namespace, %name, error = %full, "nothing can be said of an HTTPRoute");
            None
        }
    }
}

fn conditions_status(status: Option<&ConditionsStatus>, about: &About<'_>) -> Option<Value> {
    if about.verdicts.is_empty() {
        return None;
    }
    let before = status.map(|status| status.conditions.as_slice());
    let conditions =
        parents::with_conditions(before.unwrap_or_default(), about.verdicts, about.seen)?;
    Some(json!({"conditions": conditions}))
}
