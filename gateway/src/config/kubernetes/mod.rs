//! Pools that a cluster knows: what is typed about them (`raw`), and what it means.

use std::collections::BTreeSet;

use warmgate_discovery::{ClusterAccess, KubernetesSource, Members, Parent, ParentKind};

use super::error::{At, Problems};
use super::limit;
use super::load::Context;
use super::raw::RawConfig;

mod name;
pub mod raw;
mod service_ref;

pub use raw::{RawCluster, RawKubernetes, RawParent, RawParentKind};
pub use service_ref::ServiceRef;

/// Which cluster, and what stands for this gateway there.
#[derive(Clone, Default)]
pub(super) struct Cluster {
    access: ClusterAccess,
    parent: Option<Parent>,
}

/// What `kubernetes` of the whole file means.
pub(super) fn cluster(
    raw: &RawConfig,
    context: &Context,
    problems: &mut Problems<'_>,
) -> Option<Cluster> {
    let at = At::root().at("kubernetes").at("parent");
    let typed = raw.kubernetes.as_ref().and_then(|raw| raw.parent.as_ref());
    let parent = typed.map(|raw| parent(raw, &at, problems));
    let access = access(raw, context, problems);
    Some(Cluster {
        access: access?,
        parent: match parent {
            Some(parent) => Some(parent?),
            None => None,
        },
    })
}

fn parent(raw: &RawParent, at: &At, problems: &mut Problems<'_>) -> Option<Parent> {
    let namespace = match name::dns_label(&raw.namespace) {
        Ok(()) => Some(raw.namespace.clone()),
        Err(problem) => problems.note(&at.at("namespace"), problem),
    };
    let name = match name::dns_subdomain(&raw.name) {
        Ok(()) => Some(raw.name.clone()),
        Err(problem) => problems.note(&at.at("name"), problem),
    };
    Some(Parent {
        kind: match raw.kind {
            RawParentKind::Service => ParentKind::Service,
            RawParentKind::Gateway => ParentKind::Gateway,
        },
        namespace: namespace?,
        name: name?,
    })
}

/// The flag's path starts where the process runs, the key's at the file.
fn access(
    raw: &RawConfig,
    context: &Context,
    problems: &mut Problems<'_>,
) -> Option<ClusterAccess> {
    let of_file = raw
        .kubernetes
        .as_ref()
        .and_then(|raw| raw.kubeconfig.as_ref());
    let of_file = of_file.map(|path| context.folder.join(path));
    let kubeconfig = context.overrides.kubeconfig.clone().or(of_file);
    let access = ClusterAccess { kubeconfig };
    match access.check() {
        Ok(()) => Some(access),
        Err(problem) => problems.note(&At::root().at("kubernetes").at("kubeconfig"), problem),
    }
}

/// What one pool's `kubernetes` means.
pub(super) fn source(
    raw: &RawKubernetes,
    at: &At,
    cluster: &Cluster,
    problems: &mut Problems<'_>,
) -> Option<KubernetesSource> {
    let namespaces = namespaces(raw, at, problems);
    let members = members(raw, at, problems);
    let port = match &raw.port {
        None => Some(None),
        Some(_) if raw.inference_pool.is_some() => problems.note(
            &at.at("port"),
            "an InferencePool says by its `targetPorts` which ports count: leave this key out",
        ),
        Some(typed) => match name::port(&typed.0) {
            Ok(port) => Some(Some(port)),
            Err(problem) => problems.note(&at.at("port"), problem),
        },
    };
    Some(KubernetesSource {
        access: cluster.access.clone(),
        namespaces: namespaces?,
        members: members?,
        port: port?,
        parent: cluster.parent.clone(),
    })
}

fn namespaces(raw: &RawKubernetes, at: &At, problems: &mut Problems<'_>) -> Option<Vec<String>> {
    match (&raw.namespace, &raw.namespaces) {
        (None, None) => Some(Vec::new()),
        (Some(only), None) => match name::dns_label(only) {
            Ok(()) => Some(vec![only.clone()]),
            Err(problem) => problems.note(&at.at("namespace"), problem),
        },
        (None, Some(_)) if raw.inference_pool.is_some() => problems.note(
            &at.at("namespaces"),
            "an InferencePool is in one namespace: write `namespace: NAME`",
        ),
        (None, Some(several)) => names(several, &at.at("namespaces"), problems),
        (Some(_), Some(_)) => problems.note(at, "has both `namespace` and `namespaces`: keep one"),
    }
}

fn members(raw: &RawKubernetes, at: &At, problems: &mut Problems<'_>) -> Option<Members> {
    match (
        &raw.service,
        &raw.services,
        &raw.selector,
        &raw.inference_pool,
    ) {
        (Some(service), None, None, None) => match name::dns_label(service) {
            Ok(()) => Some(Members::Services(vec![service.clone()])),
            Err(problem) => problems.note(&at.at("service"), problem),
        },
        (None, Some(services), None, None) => {
            names(services, &at.at("services"), problems).map(Members::Services)
        }
        (None, None, Some(_), None) => labels(raw, &at.at("selector"), problems),
        (None, None, None, Some(pool)) => match name::dns_subdomain(pool) {
            Ok(()) => Some(Members::InferencePool(pool.clone())),
            Err(problem) => problems.note(&at.at("inferencePool"), problem),
        },
        (None, None, None, None) => problems.note(
            at,
            "names nothing: write one of `service: NAME`, `services: [NAME]`, \
             `selector: {label: value}` and `inferencePool: NAME`",
        ),
        _ => problems.note(
            at,
            "has more than one of `service`, `services`, `selector` and `inferencePool`: keep one, \
             and make another pool for the rest",
        ),
    }
}

fn names(typed: &[String], at: &At, problems: &mut Problems<'_>) -> Option<Vec<String>> {
    if typed.is_empty() {
        return problems.note(at, "is empty: write at least one name");
    }
    let mut seen = BTreeSet::new();
    let mut is_whole = true;
    for (place, typed) in typed.iter().enumerate() {
        let problem = match name::dns_label(typed) {
            Err(problem) => problem,
            Ok(()) if !seen.insert(typed) => format!("`{typed}` is there twice: write it once"),
            Ok(()) => continue,
        };
        problems.note::<()>(&at.at(place), problem);
        is_whole = false;
    }
    is_whole.then(|| typed.to_vec())
}

fn labels(raw: &RawKubernetes, at: &At, problems: &mut Problems<'_>) -> Option<Members> {
    let labels = raw.selector.as_ref()?;
    let most = limit::LABELS_MAX;
    if labels.is_empty() || labels.len() > most {
        let problem = format!("has {} labels: write 1 to {most}", labels.len());
        return problems.note(at, problem);
    }
    let mut is_whole = true;
    for (key, value) in labels {
        let checked = name::label_key(key).and_then(|()| name::label_value(value));
        if let Err(problem) = checked {
            problems.note::<()>(&at.at(key.as_str()), problem);
            is_whole = false;
        }
    }
    is_whole.then(|| Members::Labelled(labels.clone()))
}
