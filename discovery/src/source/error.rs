//! What can go wrong with a source of endpoints.

use std::io;
use std::path::PathBuf;

use crate::events::SourceFailure;

/// A source could not tell all. What it told before stays in force, and it tries again by itself.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A name does not resolve.
    #[error("cannot resolve `{host}`, last known addresses are kept: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// As the system's resolver says.
        source: io::Error,
    },
    /// The file cannot be read.
    #[error("cannot read `{path}`, last known endpoints are kept: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// As the system says.
        source: io::Error,
    },
    /// The file's content is not a list of endpoints.
    #[error("`{path}` is not a list of endpoints, last known endpoints are kept: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// The list is cut to its limit.
    #[error("{found} endpoints, only the first {max} are used; split the pool")]
    TooMany {
        /// Endpoints listed.
        found: usize,
        /// Limit.
        max: usize,
    },
}

impl SourceError {
    /// The kind, for metrics.
    #[must_use]
    pub const fn failure(&self) -> SourceFailure {
        match self {
            SourceError::Resolve { .. } => SourceFailure::Unresolved,
            SourceError::Read { .. } => SourceFailure::Unreadable,
            SourceError::Invalid { .. } => SourceFailure::Invalid,
            SourceError::TooMany { .. } => SourceFailure::TooMany,
        }
    }
}
