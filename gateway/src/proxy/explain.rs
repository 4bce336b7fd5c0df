//! The decision for a request that is described, not sent.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};
use warmgate_routing::request::Api;

use crate::error::GatewayError;
use crate::proxy::headers;
use crate::proxy::live::Live;
use crate::proxy::plan::{self, Incoming};

/// Explains where a request would go now.
///
/// # Errors
/// As the request itself would.
pub fn explain(
    live: &Live,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, GatewayError> {
    let api = Api::from_path(path).ok_or(GatewayError::NoSuchPath)?;
    let incoming = Incoming {
        api,
        head: headers::described(path, headers),
        body: &Bytes::copy_from_slice(body),
        explain: true,
    };
    let plan = plan::make(live, &incoming).map_err(|refusal| refusal.error)?;
    let route = &plan.way.choice;
    Ok(json!({
        "api": api.as_str(),
        "model": plan.model,
        "route": &*route.route.name,
        "target": &*route.target.name,
        "target_reason": route.reason.as_str(),
        "pool": &*plan.way.pool.name,
        "served_model": plan.way.rename.unwrap_or(&plan.model),
        "blocks": plan.prompt.hashes.len(),
        "prompt_bytes": plan.prompt.bytes,
        "decision": plan.decision.explanation,
    }))
}
