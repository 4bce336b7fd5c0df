//! InferenceObjective of llm-d: the priority of requests that name it.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

use super::PoolRef;
use super::model_rewrite::ConditionsStatus;

/// What an objective says.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "llm-d.ai",
    version = "v1alpha2",
    kind = "InferenceObjective",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    status = "ConditionsStatus"
)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InferenceObjectiveSpec {
    pub(crate) pool_ref: PoolName,
    /// None counts as 0.
    #[serde(default)]
    pub(crate) priority: Option<i32>,
}

/// A pool in the object's own namespace.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct PoolName {
    #[serde(default = "inference_group")]
    pub(crate) group: String,
    #[serde(default = "inference_pool")]
    pub(crate) kind: String,
    pub(crate) name: String,
}

fn inference_group() -> String {
    "inference.networking.k8s.io".to_owned()
}

fn inference_pool() -> String {
    "InferencePool".to_owned()
}

impl PoolName {
    /// The pool that an object of `namespace` means; none where it is of a kind that is not known.
    pub(super) fn pool(&self, namespace: &str) -> Option<PoolRef> {
        let is_known = self.group == inference_group() && self.kind == inference_pool();
        is_known.then(|| PoolRef::InferencePool {
            namespace: namespace.to_owned(),
            name: self.name.clone(),
        })
    }
}
