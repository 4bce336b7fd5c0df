//! Why a request cannot be routed, and what its sender can do about it.

use thiserror::Error;

/// No endpoint for this request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unroutable {
    /// The client's fault: every endpoint has listed its models and none has this one.
    #[error("the model `{model}` does not exist here")]
    NoSuchModel {
        /// The name asked for.
        model: String,
        /// The names that exist, sorted.
        known: Vec<String>,
    },
    /// The control plane's: the pool has no endpoint that takes new requests. Worth a retry.
    #[error("no endpoint takes requests now")]
    NoEndpoint,
}
