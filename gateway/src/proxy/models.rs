//! `GET /v1/models`, aggregated over all pools: the names that clients can ask for here.

use serde_json::{Value, json};

use crate::proxy::live::Live;

/// The list in OpenAI's shape.
#[must_use]
pub fn list(live: &Live) -> Value {
    let entries: Vec<Value> = live
        .models()
        .iter()
        .map(|model| entry(live, model))
        .collect();
    json!({"object": "list", "data": entries})
}

fn entry(live: &Live, model: &str) -> Value {
    let parent = live.way(model).ok().and_then(|way| {
        let served = way.rename.unwrap_or(model).to_owned();
        let pool = way.pool.router.pool();
        let observed = pool.all().iter().map(|endpoint| endpoint.observed.load());
        let parents = observed.filter_map(|observed| {
            let listed = observed
                .models
                .as_ref()?
                .iter()
                .find(|listed| listed.name == served)?;
            listed.parent.clone()
        });
        parents.into_iter().next()
    });
    // Engines report the time of the request here; a constant keeps answers comparable.
    let mut entry = json!({"id": model, "object": "model", "created": 0, "owned_by": "warmgate"});
    if let Some(parent) = parent {
        entry["parent"] = Value::String(parent);
    }
    entry
}
