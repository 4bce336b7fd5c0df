//! What can be typed about a cluster, and about a pool that it knows.

use std::collections::BTreeMap;
use std::fmt;

use garde::Validate;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::limit;

/// The cluster that pools with `kubernetes` are found in.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawCluster {
    /// Kubeconfig file, of which the current context counts. Where absent: in a pod its own
    /// account, elsewhere what `KUBECONFIG` names, or `~/.kube/config`. A relative path starts at
    /// the folder of the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<String>,
    /// The object that stands for this gateway in the cluster: its own Service, or the Gateway in
    /// front of it. Where it is there, InferencePools say in their status whether they are used
    /// here, which takes the right to `patch` `inferencepools/status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<RawParent>,
}

/// The object that stands for the gateway.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawParent {
    /// What it is.
    pub kind: RawParentKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What may stand for the gateway.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub enum RawParentKind {
    /// A Service.
    Service,
    /// A Gateway of the Gateway API.
    Gateway,
}

/// Endpoints that a cluster knows, by exactly one of `service`, `services`, `selector`,
/// `inferencePool`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default, deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct RawKubernetes {
    /// Name of a Service, whose endpoints these are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Names of several Services, in place of `service`.
    #[garde(length(max = limit::SERVICES_MAX))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub services: Option<Vec<String>>,
    /// Labels of Services, at most 16: the endpoints of every Service that has them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<BTreeMap<String, String>>,
    /// Name of an InferencePool (`inference.networking.k8s.io/v1`), whose pods these are, each of
    /// its `targetPorts` an endpoint of its own.
    #[serde(rename = "inferencePool", skip_serializing_if = "Option::is_none")]
    pub inference_pool: Option<String>,
    /// Where it is looked for; where absent, in the namespace of the account that asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Several namespaces, in place of `namespace`.
    #[garde(length(max = limit::NAMESPACES_MAX))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// Number or name of the port; where absent, the only one, or the one called `http`. Not with
    /// `inferencePool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<RawPort>,
}

/// A port as it was typed: digits, with quotes or without, or a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RawPort(pub String);

impl<'de> Deserialize<'de> for RawPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawPort, D::Error> {
        deserializer.deserialize_any(PortVisitor)
    }
}

struct PortVisitor;

impl Visitor<'_> for PortVisitor {
    type Value = RawPort;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the number or the name of a port")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<RawPort, E> {
        Ok(RawPort(number.to_string()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<RawPort, E> {
        Ok(RawPort(number.to_string()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RawPort, E> {
        Ok(RawPort(text.to_owned()))
    }
}

impl JsonSchema for RawPort {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["integer", "string"], "minimum": 1, "maximum": u16::MAX})
    }
}
