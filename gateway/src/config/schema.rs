//! `docs/config.schema.json`: the JSON Schema of the configuration file, for editors.

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::RawConfig;

/// Where an editor finds the schema of the newest version.
const ID: &str = "https://raw.githubusercontent.com/warmgate/warmgate/main/docs/config.schema.json";

/// The schema without references, so that a reader need not follow any.
#[must_use]
pub fn schema() -> Value {
    let mut schema = of::<RawConfig>();
    schema["$id"] = ID.into();
    schema["title"] = "Configuration of warmgate".into();
    schema
}

/// The schema of one type.
pub(super) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
    });
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// The text of `docs/config.schema.json`.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", schema())
}

/// What may stand at a key path such as `pools[0].scrape`, in words; none where that is unknown.
pub(super) fn expected(path: &str) -> Option<String> {
    let mut at = &*SCHEMA;
    for key in path.split('.').filter(|key| !key.is_empty()) {
        let (name, places) = key.split_once('[').unwrap_or((key, ""));
        at = &at["properties"][name];
        for _ in places.matches(']') {
            at = &at["items"];
        }
    }
    if let [first, rest @ ..] = words(at).as_slice() {
        let rest = rest.iter().map(|word| format!(" or `{word}`"));
        return Some(format!("`{first}`{}", rest.collect::<String>()));
    }
    if at["oneOf"].is_array() {
        return Some("`{name: NAME}` with the name and the parameters of a policy".to_owned());
    }
    let bound = |key: &str| Some(&at[key]).filter(|bound| bound.is_number());
    let types = match &at["type"] {
        Value::Array(types)
            if types.contains(&"integer".into()) && types.contains(&"string".into()) =>
        {
            return Some("a number or a name".to_owned());
        }
        Value::Array(types) => types.first(),
        one => Some(one),
    };
    Some(match types.and_then(Value::as_str)? {
        "boolean" => "`true` or `false`".to_owned(),
        "string" => "text".to_owned(),
        "object" => "keys with values".to_owned(),
        "array" => match bound("maxItems") {
            Some(most) => format!("a list of at most {most}"),
            None => "a list".to_owned(),
        },
        _ => match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!("a number from {least} to {most}"),
            _ => "a number".to_owned(),
        },
    })
}

/// The words of which one may stand where `schema` holds; none where it is no such choice.
pub(super) fn words(schema: &Value) -> Vec<&str> {
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    choices
        .filter_map(|choice| choice["const"].as_str())
        .collect()
}

static SCHEMA: LazyLock<Value> = LazyLock::new(schema);
