//! Routes that a cluster's objects describe, as plain data for whoever routes.
//!
//! | file | object | what is read of it |
//! |---|---|---|
//! | `http_route` | HTTPRoute, `gateway.networking.k8s.io/v1` | which requests go to which pools, with weights |
//! | `http_rules` | one HTTPRoute -> rules, or why not | |
//! | `model_rewrite` | InferenceModelRewrite, `llm-d.ai/v1alpha2` | model names of a pool, with weights |
//! | `objective` | InferenceObjective, `llm-d.ai/v1alpha2` | priorities of a pool |
//! | `precedence` | which of several comes first | |
//! | `translate` | all of them -> [`ObjectRoutes`], and a verdict on each | |
//! | `route_source` | watches them, and writes the verdicts into their status | |
//!
//! What cannot be done as an object says is not done in part: a rule is refused with its reason in
//! the object's status, and all others stay in force.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

mod http_route;
mod http_rules;
mod model_rewrite;
mod objective;
mod precedence;
mod route_source;
#[cfg(test)]
mod tests;
mod translate;

pub(crate) use http_route::HttpRoute;
pub(crate) use http_rules::Backends;
pub(crate) use model_rewrite::InferenceModelRewrite;
pub(crate) use objective::InferenceObjective;
pub use route_source::RouteSource;
pub(crate) use translate::{Judged, Objects, Translation, translate};

/// Most rules that are taken from a cluster; those of least precedence are left out beyond it.
pub const OBJECT_RULES_MAX: usize = 4_096;

/// What a cluster's objects say of routing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ObjectRoutes {
    /// Each pool that a rule sends requests to, with what is said of it.
    pub pools: BTreeMap<PoolRef, PoolRules>,
    /// In order of precedence: the first that matches a request decides.
    pub rules: Vec<ObjectRule>,
}

/// A pool as objects name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PoolRef {
    /// The endpoints of a Service.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// A port of the Service, not of its endpoints.
        port: u16,
    },
    /// The pods of an InferencePool.
    InferencePool {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl fmt::Display for PoolRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolRef::Service {
                namespace,
                name,
                port,
            } => write!(out, "service/{namespace}/{name}:{port}"),
            PoolRef::InferencePool { namespace, name } => {
                write!(out, "inferencepool/{namespace}/{name}")
            }
        }
    }
}

impl Serialize for PoolRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What InferenceModelRewrites and InferenceObjectives say of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolRules {
    /// What is sent for requests that name a model.
    pub models: BTreeMap<String, ModelRule>,
    /// What is sent for every other request; none: the client's model name.
    pub any_model: Option<ModelRule>,
    /// Priority for each objective, by its name; the higher, the more urgent. An objective without
    /// one has 0; below 0 may be shed.
    pub priorities: BTreeMap<String, i32>,
}

/// Names under which a model is asked for, with the share of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelRule {
    /// The InferenceModelRewrite, as `NAMESPACE/NAME`.
    pub origin: String,
    /// At least one.
    pub targets: Vec<WeightedModel>,
}

/// A model name to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WeightedModel {
    /// The name.
    pub model: String,
    /// Share of requests, relative to the other targets: 1 to 1,000,000.
    pub weight: u32,
}

/// One match of one rule of an HTTPRoute, for one of its host names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectRule {
    /// The HTTPRoute and its rule, as `NAMESPACE/NAME rules[N]`.
    pub origin: String,
    /// Host name, in lower case, or `*.SUFFIX` for all names below one; none for any.
    pub hostname: Option<String>,
    /// Which paths.
    pub path: PathMatch,
    /// Which method; none for any.
    pub method: Option<String>,
    /// Headers that must all be there; names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Where requests go. Empty, or without a weight above 0: answered with status 500, as the
    /// Gateway API demands.
    pub targets: Vec<ObjectTarget>,
}

/// Which paths a rule takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// This path alone.
    Exact(String),
    /// This path and those below it, segment by segment: `/v1` takes `/v1/models` and not `/v12`.
    Prefix(String),
}

impl PathMatch {
    /// Whether a request's path, without its query, is taken.
    #[must_use]
    pub fn takes(&self, path: &str) -> bool {
        match self {
            PathMatch::Exact(exact) => path == exact,
            PathMatch::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/');
                let rest = path.strip_prefix(prefix);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

/// A share of a rule's requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectTarget {
    /// Where they go; none: the reference cannot be followed, and its share is answered with status
    /// 500, as the Gateway API demands.
    pub pool: Option<PoolRef>,
    /// Relative to the other targets: 0 to 1,000,000.
    pub weight: u32,
}
