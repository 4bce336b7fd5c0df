//! What is kept of an EndpointSlice and of a Service.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint as SliceEndpoint, EndpointSlice};
use kube::ResourceExt;
use warmgate_routing::pod::Conditions;

/// Says whose endpoints a slice has.
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What is kept of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) service: String,
    /// `IPv4`, `IPv6` or `FQDN`.
    pub(super) family: String,
    pub(super) ports: Vec<SlicePort>,
    pub(super) members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlicePort {
    pub(super) name: String,
    pub(super) number: u16,
    pub(super) is_tls: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) address: String,
    pub(super) conditions: Conditions,
    /// Name and UID, where a pod is behind it.
    pub(super) pod: Option<(String, String)>,
    pub(super) node: Option<String>,
    pub(super) zone: Option<String>,
    pub(super) for_zones: Vec<String>,
}

/// What is kept of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePorts {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Number at the Service, and name.
    pub(super) ports: Vec<(u16, String)>,
}

impl Slice {
    /// Reads a slice.
    pub(crate) fn read(slice: EndpointSlice) -> Slice {
        let service = slice.labels().get(SERVICE_LABEL);
        let ports = slice.ports.iter().flatten();
        Slice {
            namespace: slice.namespace().unwrap_or_default(),
            name: slice.name_any(),
            service: service.cloned().unwrap_or_default(),
            ports: ports
                .filter(|port| port.protocol.as_deref().is_none_or(|it| it == "TCP"))
                .filter_map(|port| {
                    Some(SlicePort {
                        name: port.name.clone().unwrap_or_default(),
                        number: u16::try_from(port.port?).ok()?,
                        is_tls: port.app_protocol.as_deref() == Some("https"),
                    })
                })
                .collect(),
            members: slice.endpoints.iter().filter_map(member).collect(),
            family: slice.address_type,
        }
    }

    /// Namespace and name of its Service.
    pub(super) fn owner(&self) -> (&str, &str) {
        (&self.namespace, &self.service)
    }

    /// Whether it is of a Service of that name.
    pub(crate) fn is_of(&self, service: &str) -> bool {
        self.service == service
    }

    /// For people.
    pub(super) fn title(&self) -> String {
        format!("EndpointSlice {}/{}", self.namespace, self.name)
    }
}

/// Of several addresses only the first means anything
/// (<https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/>).
fn member(endpoint: &SliceEndpoint) -> Option<Member> {
    let said = endpoint.conditions.clone().unwrap_or_default();
    // Absent means ready, and serving as far as ready.
    let ready = said.ready.unwrap_or(true);
    let conditions = Conditions {
        ready,
        serving: said.serving.unwrap_or(ready),
        terminating: said.terminating.unwrap_or(false),
    };
    let target = endpoint.target_ref.as_ref();
    let target = target.filter(|target| target.kind.as_deref() == Some("Pod"));
    let pod = target.map(|target| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        (text(&target.name), text(&target.uid))
    });
    let hints = endpoint.hints.iter().flat_map(|hints| &hints.for_zones);
    Some(Member {
        address: endpoint.addresses.first()?.clone(),
        conditions,
        pod,
        node: endpoint.node_name.clone(),
        zone: endpoint.zone.clone(),
        for_zones: hints.flatten().map(|zone| zone.name.clone()).collect(),
    })
}

impl ServicePorts {
    /// Reads a Service.
    pub(crate) fn read(service: Service) -> ServicePorts {
        let spec = service.spec.iter();
        let ports = spec.flat_map(|spec| spec.ports.iter().flatten());
        ServicePorts {
            namespace: service.namespace().unwrap_or_default(),
            name: service.name_any(),
            ports: ports
                .filter_map(|port| {
                    let name = port.name.clone().unwrap_or_default();
                    Some((u16::try_from(port.port).ok()?, name))
                })
                .collect(),
        }
    }
}
