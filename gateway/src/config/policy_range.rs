//! Holds a policy's parameters to the ranges that its own type declares.
//!
//! The ranges live beside the parameters, in the routing library, as part of their JSON Schema:
//! the same numbers that an editor shows are enforced here.

use std::sync::LazyLock;

use serde_json::Value;
use warmgate_routing::Policy;

use super::schema;

static SCHEMA: LazyLock<Value> = LazyLock::new(schema::of::<Policy>);

/// Every parameter that the schema bounds is within its bounds.
pub(super) fn check(policy: &Policy, (): &()) -> garde::Result {
    let parameters = serde_json::to_value(policy)
        .expect("invariant: a policy is made of names, numbers and nothing else");
    let variants = SCHEMA["oneOf"].as_array().into_iter().flatten();
    let mut own = variants
        .filter(|variant| variant["properties"]["name"]["const"].as_str() == Some(policy.name()));
    let properties = own
        .next()
        .and_then(|variant| variant["properties"].as_object());
    for (name, schema) in properties.into_iter().flatten() {
        let Some(value) = parameters[name].as_f64() else {
            if parameters[name].is_null() {
                return Err(garde::Error::new(format!("`{name}` is not a number")));
            }
            continue;
        };
        let bound = |key: &str| schema[key].as_f64();
        let (least, most) = (bound("minimum"), bound("maximum"));
        if least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most) {
            let shown = |bound: Option<f64>| bound.map_or("any".to_owned(), |b| b.to_string());
            return Err(garde::Error::new(format!(
                "`{name}` is {value}: write a number from {} to {}",
                shown(least),
                shown(most)
            )));
        }
    }
    Ok(())
}
