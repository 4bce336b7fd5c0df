//! The endpoints of Services: watches EndpointSlices, and as far as the account may, the pods and
//! Services behind them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::watcher;
use tokio::sync::Notify;

use super::access::Cluster;
use super::pods::PodFacts;
use super::slices::{Cast, SERVICE_LABEL, ServicePorts, Slice, endpoints};
use super::watch::{Seen, Standing, Watch};
use super::{KubernetesSource, Members};
use crate::source::{SourceError, Stopped, Updates};

/// Changes that come within this time of one another are told together: a rollout changes many
/// objects at once, and each list is compared as a whole.
pub(super) const COALESCE: Duration = Duration::from_millis(50);

struct Namespace {
    name: String,
    slices: Watch<Slice>,
    services: Watch<ServicePorts>,
    pods: Watch<PodFacts>,
}

/// Tells who is there for as long as the pool lives.
pub(super) async fn run(
    cluster: &Cluster,
    source: &KubernetesSource,
    updates: &mut Updates,
) -> Result<Infallible, Stopped> {
    let changed = Arc::new(Notify::new());
    let namespaces: Vec<Namespace> = source
        .namespaces_in(cluster)
        .into_iter()
        .map(|name| watch(cluster, name, &source.members, &changed))
        .collect();
    loop {
        changed.notified().await;
        tokio::time::sleep(COALESCE).await;
        tell(&namespaces, source, updates).await?;
    }
}

fn watch(cluster: &Cluster, name: String, members: &Members, changed: &Arc<Notify>) -> Namespace {
    let (client, changed) = (&cluster.client, || Arc::clone(changed));
    let all = watcher::Config::default;
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &name);
    let services: Api<Service> = Api::namespaced(client.clone(), &name);
    let pods: Api<Pod> = Api::namespaced(client.clone(), &name);
    Namespace {
        slices: Watch::start(
            slices,
            all().labels(&selector(members)),
            Slice::read,
            changed(),
        ),
        services: Watch::start(services, all(), ServicePorts::read, changed()),
        pods: Watch::start(pods, all(), PodFacts::read, changed()),
        name,
    }
}

fn selector(members: &Members) -> String {
    match members {
        Members::Services(names) => format!("{SERVICE_LABEL} in ({})", names.join(",")),
        Members::Labelled(labels) => {
            let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            labels.join(",")
        }
        Members::InferencePool(_) => unreachable!("invariant: an InferencePool has its own source"),
    }
}

/// What all namespaces together say now.
struct Heard {
    slices: Vec<Seen<Slice>>,
    services: Vec<Seen<ServicePorts>>,
    pods: Vec<Seen<PodFacts>>,
}

async fn tell(
    namespaces: &[Namespace],
    source: &KubernetesSource,
    updates: &mut Updates,
) -> Result<(), Stopped> {
    let heard = Heard {
        slices: namespaces.iter().map(|one| one.slices.seen()).collect(),
        services: namespaces.iter().map(|one| one.services.seen()).collect(),
        pods: namespaces.iter().map(|one| one.pods.seen()).collect(),
    };
    // A pod that takes prefills only must not be told before its label is known.
    if !heard.is_complete() {
        return Ok(());
    }
    let mut problems: Vec<SourceError> = heard.lost().into_iter().collect();
    for (place, namespace) in namespaces.iter().enumerate() {
        heard.problems(place, &namespace.name, &mut problems);
    }
    updates.note_touch(heard.is_in_touch());
    if !heard.slices.iter().any(|seen| seen.was_listed) {
        updates.report(&problems);
        return Ok(());
    }
    let (slices, services) = (flat(&heard.slices), flat(&heard.services));
    let (specs, unusable) = endpoints(&Cast {
        slices: &slices,
        services: &services,
        pods: &flat(&heard.pods),
        port: source.port.as_ref(),
    });
    problems.extend(unusable);
    if heard.services.iter().all(|seen| seen.was_listed) {
        problems.extend(missing(source, &slices, &services));
    }
    updates.publish(specs, problems).await
}

fn flat<T>(seen: &[Seen<T>]) -> Vec<Arc<T>> {
    seen.iter()
        .flat_map(|seen| seen.objects.iter().cloned())
        .collect()
}

impl Heard {
    fn standings(&self) -> impl Iterator<Item = &Standing> {
        let slices = self.slices.iter().map(|seen| &seen.standing);
        let services = self.services.iter().map(|seen| &seen.standing);
        slices
            .chain(services)
            .chain(self.pods.iter().map(|seen| &seen.standing))
    }

    /// Whether each question has been answered once, be it by a refusal.
    fn is_complete(&self) -> bool {
        self.standings()
            .all(|standing| *standing != Standing::Unheard)
    }

    /// Whether what is known is what there is. Who may not read pods never did.
    fn is_in_touch(&self) -> bool {
        let is_lost = |standing: &Standing| matches!(standing, Standing::Lost(_));
        let of_slices = self.slices.iter().map(|seen| &seen.standing);
        self.standings().all(|standing| !is_lost(standing))
            && of_slices
                .into_iter()
                .all(|standing| *standing == Standing::InTouch)
    }

    /// What keeps `namespace` from being known; that it cannot be reached is said by
    /// [`Heard::lost`] for all of them.
    fn problems(&self, place: usize, namespace: &str, problems: &mut Vec<SourceError>) {
        let kept = "last known endpoints are kept";
        let unlabelled = "roles, versions and restarts of its containers are unknown";
        let unnumbered = "ports of Services are known by name only";
        let of = |what: &str| format!("{what} in namespace `{namespace}`");
        let all = [
            (&self.slices[place].standing, of("EndpointSlices"), kept),
            (&self.services[place].standing, of("Services"), unnumbered),
            (&self.pods[place].standing, of("Pods"), unlabelled),
        ];
        problems.extend(
            all.into_iter()
                .filter_map(|(standing, what, effect)| super::refusal(standing, what, effect)),
        );
    }

    /// An API server that is away is away for all.
    fn lost(&self) -> Option<SourceError> {
        self.standings().find_map(|standing| match standing {
            Standing::Lost(reason) => Some(SourceError::Unreachable {
                what: "EndpointSlices".to_owned(),
                reason: reason.clone(),
            }),
            _ => None,
        })
    }
}

/// Services that are asked for by name and exist nowhere.
fn missing(
    source: &KubernetesSource,
    slices: &[Arc<Slice>],
    services: &[Arc<ServicePorts>],
) -> Vec<SourceError> {
    let Members::Services(names) = &source.members else {
        return Vec::new();
    };
    let is_there = |name: &str| {
        services.iter().any(|service| service.name == name)
            || slices.iter().any(|slice| slice.is_of(name))
    };
    let absent = names.iter().filter(|name| !is_there(name));
    absent
        .map(|name| SourceError::NotFound {
            what: format!("Service `{name}`"),
        })
        .collect()
}
