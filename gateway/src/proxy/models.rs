//! `/v1/models`, aggregated over all pools: the names that clients can ask for here.

use http::Method;
use serde_json::{Value, json};
use warmgate_routing::report::ServedModel;

use crate::error::GatewayError;
use crate::proxy::live::Live;

/// Where the list is, and below it each entry.
const PATH: &str = "/v1/models";

/// The answer, in OpenAI's shape, where a request asks for the list or for one entry of it.
///
/// # Errors
/// Where the entry asked for does not exist.
pub fn answer(live: &Live, method: &Method, path: &str) -> Option<Result<Value, GatewayError>> {
    let below = path.strip_prefix(PATH).filter(|_| method == Method::GET)?;
    if below.is_empty() {
        return Some(Ok(list(live)));
    }
    let name = below.strip_prefix('/')?;
    let known = live.models();
    Some(match known.iter().any(|model| model == name) {
        true => Ok(entry(live, name)),
        false => Err(GatewayError::NoSuchModel {
            model: name.to_owned(),
            known,
        }),
    })
}

fn list(live: &Live) -> Value {
    let models = live.models();
    let entries: Vec<Value> = models.iter().map(|model| entry(live, model)).collect();
    json!({"object": "list", "data": entries})
}

fn entry(live: &Live, model: &str) -> Value {
    // Engines report the time of the request here; a constant keeps answers comparable.
    let mut entry = json!({"id": model, "object": "model", "created": 0, "owned_by": "warmgate"});
    let Some(served) = served(live, model) else {
        return entry;
    };
    if let Some(parent) = served.parent {
        entry["parent"] = Value::String(parent);
    }
    if let Some(tokens) = served.max_model_len {
        entry["max_model_len"] = json!(tokens);
    }
    entry
}

/// What the first endpoint that lists the model says of it.
fn served(live: &Live, model: &str) -> Option<ServedModel> {
    let target = live.routes.target(model)?;
    let name = target.model.as_deref().unwrap_or(model);
    let pool = live.pool(&target.pool)?.router.pool();
    pool.all().iter().find_map(|endpoint| {
        let observed = endpoint.observed.load();
        let mut listed = observed.models.iter().flatten();
        listed.find(|listed| listed.name == name).cloned()
    })
}
