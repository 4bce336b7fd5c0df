//! Documents that are printed from the tables and types the gateway runs on.

use clap::ValueEnum;

use crate::config;

/// A document that `warmgate reference` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// JSON Schema of the configuration file: `docs/config.schema.json`
    ConfigSchema,
    /// Reference of the configuration file: `docs/configuration.md`
    ConfigDoc,
    /// Reference of the metrics: `docs/metrics.md`
    MetricsDoc,
    /// Reference of the admin API: `docs/admin.md`
    AdminDoc,
}

/// The text of a document, with its last line feed.
#[must_use]
pub fn print(document: Document) -> String {
    match document {
        Document::ConfigSchema => config::schema::text(),
        Document::ConfigDoc => config::reference::text(),
        Document::MetricsDoc => crate::telemetry::metrics::reference(),
        Document::AdminDoc => crate::admin::reference(),
    }
}
