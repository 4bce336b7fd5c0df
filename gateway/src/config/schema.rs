//! `docs/config.schema.json`: the JSON Schema of the configuration file, for editors.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::RawConfig;

/// Where an editor finds the schema of the newest version.
const ID: &str = "https://raw.githubusercontent.com/warmgate/warmgate/main/docs/config.schema.json";

/// The schema without references, so that a reader need not follow any.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
    });
    let mut schema: Value = settings
        .into_generator()
        .into_root_schema_for::<RawConfig>()
        .into();
    schema["$id"] = ID.into();
    schema["title"] = "Configuration of warmgate".into();
    schema
}

/// The text of `docs/config.schema.json`.
#[must_use]
pub fn text() -> String {
    format!("{:#}\n", schema())
}
