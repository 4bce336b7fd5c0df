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
    /// The API server does not answer, or breaks off.
    #[error("the API server cannot be asked for {what}, last known endpoints are kept: {reason}")]
    Unreachable {
        /// What was asked for.
        what: String,
        /// As the client says.
        reason: String,
    },
    /// The API server refuses.
    #[error("the API server refuses {what}, {effect}: {reason}")]
    Forbidden {
        /// What was asked for.
        what: String,
        /// What this means for the pool.
        effect: &'static str,
        /// As the API server says.
        reason: String,
    },
    /// An object that is named does not exist.
    #[error("{what} does not exist: create it, or correct the name in the configuration")]
    NotFound {
        /// The object.
        what: String,
    },
    /// An object says what cannot be used; the rest of it is.
    #[error("{what} cannot be used: {reason}")]
    Unusable {
        /// The object.
        what: String,
        /// What is wrong, and what to write instead.
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
            SourceError::Invalid { .. } | SourceError::Unusable { .. } => SourceFailure::Invalid,
            SourceError::Unreachable { .. } => SourceFailure::Unreachable,
            SourceError::Forbidden { .. } => SourceFailure::Forbidden,
            SourceError::NotFound { .. } => SourceFailure::NotFound,
            SourceError::TooMany { .. } => SourceFailure::TooMany,
        }
    }
}
