//! From EndpointSlices, and what else is known of their pods and Services, to endpoints. Pure.
//!
//! An endpoint is a pod's UID and a port, so it is the same one while it moves between slices, is
//! listed in two of them, or has an address of each family; IPv4 counts where there are both.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use warmgate_routing::endpoint::{EndpointKey, EndpointSpec, Serving};
use warmgate_routing::pod::{Conditions, Pod};

use super::PortRef;
use super::pods::PodFacts;
use crate::source::SourceError;

mod object;

use object::{Member, SlicePort};
pub(crate) use object::{SERVICE_LABEL, ServicePorts, Slice};

/// `addressType` of slices.
const IPV4: &str = "IPv4";
const IPV6: &str = "IPv6";
/// Port that counts where a Service has several and none is configured.
const DEFAULT_PORT_NAME: &str = "http";

/// All that is known, as far as it may be read.
pub(crate) struct Cast<'a> {
    pub(crate) slices: &'a [Arc<Slice>],
    pub(crate) services: &'a [Arc<ServicePorts>],
    /// Empty where they may not be read: labels and restarts are then unknown.
    pub(crate) pods: &'a [Arc<PodFacts>],
    /// None: the only port, else the one called `http`.
    pub(crate) port: Option<&'a PortRef>,
}

/// The endpoints by their key, and what of the cluster's objects cannot be used.
pub(crate) fn endpoints(cast: &Cast<'_>) -> (Vec<EndpointSpec>, Vec<SourceError>) {
    let pods: BTreeMap<(&str, &str), &PodFacts> = cast
        .pods
        .iter()
        .map(|pod| ((pod.namespace.as_str(), pod.name.as_str()), &**pod))
        .collect();
    let in_ipv4: BTreeSet<(&str, &str)> = cast
        .slices
        .iter()
        .filter(|slice| slice.family == IPV4 && !slice.members.is_empty())
        .map(|slice| slice.owner())
        .collect();
    let mut found: BTreeMap<EndpointKey, EndpointSpec> = BTreeMap::new();
    let mut problems = Vec::new();
    for slice in cast.slices {
        if slice.members.is_empty() {
            continue;
        }
        let port = match chosen_port(slice, cast) {
            Ok(port) => port,
            Err(reason) => {
                problems.push(unusable(slice.title(), reason));
                continue;
            }
        };
        for member in &slice.members {
            // Nothing says which address of the other family is the same server.
            if member.pod.is_none() && slice.family == IPV6 && in_ipv4.contains(&slice.owner()) {
                continue;
            }
            let facts = facts_of(member, slice, &pods);
            if facts.is_some_and(|facts| !facts.is_active(port.number)) {
                continue;
            }
            match spec(slice, member, port, facts) {
                Ok(spec) => merge(&mut found, spec),
                Err(reason) => problems.push(unusable(slice.title(), reason)),
            }
        }
    }
    let complaints = cast.pods.iter().filter_map(|pod| {
        let complaint = pod.complaint.clone()?;
        let is_ours = found.values().any(|spec| is_of(spec, pod));
        let what = || format!("Pod {}/{}", pod.namespace, pod.name);
        is_ours.then(|| unusable(what(), complaint))
    });
    problems.extend(complaints);
    (found.into_values().collect(), problems)
}

fn unusable(what: String, reason: String) -> SourceError {
    SourceError::Unusable { what, reason }
}

fn is_of(spec: &EndpointSpec, facts: &PodFacts) -> bool {
    spec.pod.as_ref().is_some_and(|pod| pod.uid == facts.uid)
}

fn chosen_port<'a>(slice: &'a Slice, cast: &Cast<'_>) -> Result<&'a SlicePort, String> {
    let named = |name: &str| slice.ports.iter().find(|port| port.name == name);
    let found = match cast.port {
        None if slice.ports.len() == 1 => slice.ports.first(),
        None => named(DEFAULT_PORT_NAME),
        Some(PortRef::Name(name)) => named(name),
        Some(PortRef::Number(number)) => {
            let listening = slice.ports.iter().find(|port| port.number == *number);
            listening.or_else(|| named(name_at_service(slice, cast, *number)?))
        }
    };
    found.ok_or_else(|| {
        let ports = slice.ports.iter();
        let there: Vec<_> = ports.map(|port| format!("{} {}", port.name, port.number)).collect();
        let there = there.join(", ");
        match cast.port {
            Some(port) => format!("it has no port `{port}`, but: {there}; correct the pool's `port`"),
            None if there.is_empty() => "it has no TCP port".to_owned(),
            None => format!(
                "it has several ports and none is called `{DEFAULT_PORT_NAME}`: choose one by the pool's `port`: {there}"
            ),
        }
    })
}

fn name_at_service<'a>(slice: &Slice, cast: &Cast<'a>, number: u16) -> Option<&'a str> {
    let is_its = |service: &&Arc<ServicePorts>| {
        service.namespace == slice.namespace && service.name == slice.service
    };
    let service = cast.services.iter().find(is_its)?;
    let port = service.ports.iter().find(|(at, _)| *at == number)?;
    Some(&port.1)
}

fn facts_of<'a>(
    member: &Member,
    slice: &Slice,
    pods: &BTreeMap<(&str, &str), &'a PodFacts>,
) -> Option<&'a PodFacts> {
    let (name, uid) = member.pod.as_ref()?;
    let facts = pods.get(&(slice.namespace.as_str(), name.as_str()))?;
    // A pod of a StatefulSet comes back under its name before or after its slice does.
    (uid.is_empty() || *uid == facts.uid).then_some(facts)
}

fn spec(
    slice: &Slice,
    member: &Member,
    port: &SlicePort,
    facts: Option<&PodFacts>,
) -> Result<EndpointSpec, String> {
    let ip: IpAddr = member.address.parse().map_err(|_| {
        let Slice { family, .. } = slice;
        let address = &member.address;
        format!("`{address}` ({family}) is no IP address: for names use the pool's `dns`")
    })?;
    let address = SocketAddr::new(ip, port.number);
    let plain = EndpointSpec::at(&address.to_string(), address, port.is_tls);
    let (name, uid) = member.pod.clone().unwrap_or_default();
    let key = match uid.as_str() {
        "" => plain.key.clone(),
        uid => EndpointKey(format!("{uid}:{}", port.number).into()),
    };
    let own = |text: fn(&PodFacts) -> &Option<String>| facts.and_then(|facts| text(facts).clone());
    let pod = Pod {
        namespace: slice.namespace.clone(),
        name,
        uid,
        conditions: member.conditions,
        restarts: facts.map(|facts| facts.restarts(port.number)),
        node: member.node.clone().or_else(|| own(|facts| &facts.node)),
        zone: member.zone.clone().or_else(|| own(|facts| &facts.zone)),
        for_zones: member.for_zones.clone(),
        model_version: own(|facts| &facts.model_version),
    };
    Ok(EndpointSpec {
        key,
        engine: facts.and_then(|facts| facts.engine),
        role: facts.map(|facts| facts.role).unwrap_or_default(),
        serving: serving(member.conditions),
        labels: facts.map(|facts| facts.labels.clone()).unwrap_or_default(),
        pod: Some(Arc::new(pod)),
        ..plain
    })
}

/// A Service may publish addresses that are not ready as ready, terminating ones included.
pub(crate) fn serving(conditions: Conditions) -> Serving {
    match conditions {
        Conditions {
            terminating: true, ..
        } => Serving::Terminating,
        Conditions { ready: true, .. } => Serving::Ready,
        _ => Serving::NotReady,
    }
}

/// Of two entries with one key: IPv4 before IPv6, then the one that says it is ready. While an
/// endpoint moves from one slice to another it is in both, and the old one may be out of date.
fn merge(found: &mut BTreeMap<EndpointKey, EndpointSpec>, spec: EndpointSpec) {
    let rank = |spec: &EndpointSpec| (spec.address.is_ipv6(), spec.serving != Serving::Ready);
    match found.get_mut(&spec.key) {
        Some(other) if rank(&spec) < rank(other) => *other = spec,
        Some(_) => {}
        None => {
            found.insert(spec.key.clone(), spec);
        }
    }
}

#[cfg(test)]
mod tests;
