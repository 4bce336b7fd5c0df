//! One model server as routing knows it: who it is, how loaded, how healthy, what it last said.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::feedback::Learner;
use crate::health::Health;
use crate::ledger::EndpointLoad;
use crate::pod::Pod;
use crate::report::{EngineReport, ServedModel};

/// A compact name for an endpoint, given once and never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

/// Identity across changes of state: pod UID and port in a cluster, else scheme and address.
///
/// The same key with another address is the same endpoint moved; another key at the same address
/// is a new endpoint whose cache is cold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointKey(pub Arc<str>);

impl fmt::Display for EndpointKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The software behind an endpoint; decides which metric names are read.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// Hugging Face Text Generation Inference.
    Tgi,
    /// Triton Inference Server, with or without the TensorRT-LLM backend.
    Triton,
    /// TensorRT-LLM's own server, `trtllm-serve`.
    TensorrtLlm,
    /// llama.cpp's `llama-server`.
    LlamaCpp,
}

/// Which phases of a request an endpoint takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Both phases.
    #[default]
    Both,
    /// Prompts only.
    Prefill,
    /// Generation only.
    Decode,
}

/// What the source of endpoints says about new traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// Takes requests.
    #[default]
    Ready,
    /// Takes no new requests for now; what it holds is kept in mind.
    NotReady,
    /// Finishes what it has and goes away.
    Terminating,
}

/// What a source of endpoints says about one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Identity.
    pub key: EndpointKey,
    /// Host and port as written, for the Host header and for people; IPv6 in brackets.
    pub authority: Arc<str>,
    /// Where to connect.
    pub address: SocketAddr,
    /// Connect with TLS; the host of `authority` is the server name.
    pub tls: bool,
    /// Speaks HTTP/2 without TLS, and HTTP/1 perhaps not at all: connect so from the first byte.
    /// Means nothing with `tls`, where both sides agree on a version.
    pub h2c: bool,
    /// None: found out from what its metrics page looks like.
    pub engine: Option<Engine>,
    /// Phases it takes.
    pub role: Role,
    /// Whether it takes new requests.
    pub serving: Serving,
    /// Labels for people and later for matching; not interpreted here.
    pub labels: BTreeMap<String, String>,
    /// The pod behind it, where its source is a cluster.
    pub pod: Option<Arc<Pod>>,
}

impl EndpointSpec {
    /// An endpoint known by its address alone, ready, of an engine yet unknown.
    #[must_use]
    pub fn at(authority: &str, address: SocketAddr, tls: bool) -> EndpointSpec {
        let scheme = if tls { "https" } else { "http" };
        EndpointSpec {
            key: EndpointKey(format!("{scheme}://{authority}").into()),
            authority: authority.into(),
            address,
            tls,
            h2c: false,
            engine: None,
            role: Role::Both,
            serving: Serving::Ready,
            labels: BTreeMap::new(),
            pod: None,
        }
    }

    /// Whether what it held when `before` was seen is gone: its container has been restarted.
    #[must_use]
    pub(crate) fn is_colder_than(&self, before: &EndpointSpec) -> bool {
        let pods = self.pod.as_ref().zip(before.pod.as_ref());
        pods.is_some_and(|(now, before)| now.has_restarted_since(before))
    }
}

/// What an endpoint last said about itself, with the time it said so.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Last metrics page that could be read.
    pub report: Option<(EngineReport, Instant)>,
    /// Last list of models; none until one was read, and then every name is assumed to be served.
    pub models: Option<Vec<ServedModel>>,
}

/// An endpoint in a pool. Shared: load and health change under the hands of many requests.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name inside this process.
    pub id: EndpointId,
    /// What its source says.
    pub spec: EndpointSpec,
    /// Our own requests on it. Survives changes of `spec`.
    pub load: Arc<EndpointLoad>,
    /// Whether it has been failing. Survives changes of `spec`.
    pub health: Arc<Health>,
    /// What it last said. Survives changes of `spec`.
    pub observed: Arc<ArcSwap<Observed>>,
    /// What is learned of its cache. Survives changes of `spec`.
    pub learner: Arc<Learner>,
}

impl Endpoint {
    /// A new endpoint: idle, of unknown health, silent so far.
    #[must_use]
    pub fn new(id: EndpointId, spec: EndpointSpec) -> Endpoint {
        Endpoint {
            id,
            spec,
            load: Arc::default(),
            health: Arc::default(),
            observed: Arc::default(),
            learner: Arc::default(),
        }
    }

    /// The same endpoint under a changed `spec`.
    #[must_use]
    pub fn with_spec(&self, spec: EndpointSpec) -> Endpoint {
        Endpoint {
            id: self.id,
            spec,
            load: Arc::clone(&self.load),
            health: Arc::clone(&self.health),
            observed: Arc::clone(&self.observed),
            learner: Arc::clone(&self.learner),
        }
    }

    /// Whether a new request may be sent there now.
    #[must_use]
    pub fn is_usable(&self, now: Instant) -> bool {
        self.spec.serving == Serving::Ready && self.health.is_usable(now)
    }
}
