//! What happens to the gateway itself, as text or JSON on standard error.
//!
//! Standard output is left to the access log and to the answers of the command line. Pingora's
//! records, made with `log`, come out the same way.

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Levels unless told otherwise: Pingora logs every client that leaves, and kube every try to reach
/// an API server, which the access log, discovery and counters say already.
pub const DEFAULT_FILTER: &str = "info,pingora=error,pingora_core=error,pingora_proxy=error,\
    kube_client=off,kube_runtime=off";

/// How events are written.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum EventFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// Why events cannot be written.
#[derive(Debug, Error)]
pub enum EventsError {
    /// The filter is not one.
    #[error(
        "`{filter}` is not a log filter; write a level (error, warn, info, debug, trace) or target=level, joined by commas"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process has a subscriber already.
    #[error("events are set up already")]
    AlreadySetUp(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends events of this process to standard error. `filter` is a level, or `target=level` joined
/// by commas.
///
/// # Errors
/// Where the filter is malformed, or on a second call.
pub fn set_up(format: EventFormat, filter: &str) -> Result<(), EventsError> {
    let filter = parse(filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        EventFormat::Text => builder.finish().try_init()?,
        EventFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

fn parse(filter: &str) -> Result<EnvFilter, EventsError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| EventsError::Filter {
            filter: filter.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_targets_with_levels() {
        for filter in [DEFAULT_FILTER, "debug", "warn,warmgate=trace", ""] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        for filter in ["warmgate=loud", "a=b=c"] {
            let error = parse(filter).unwrap_err().to_string();
            assert!(error.contains(filter) && error.contains("info"), "{error}");
        }
    }
}
