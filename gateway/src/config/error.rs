//! What is wrong with a configuration: the key path, the reason, and what to write instead.

use std::fmt;
use std::path::PathBuf;

use garde::error::PathComponentKind;
use garde::{Path, Report};

/// A configuration that cannot be used. The operator's fault; trying again does not help until
/// the file or the flags change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file as it was named.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The file is larger than [`super::limit::CONFIG_BYTES_MAX`].
    #[error("{} is longer than {limit} bytes: list upstreams in a `file` of their pool", path.display())]
    TooLong {
        /// The file as it was named.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file or the flags say something that cannot be meant.
    #[error("{origin}:{problem}")]
    Invalid {
        /// The file as it was named, or the command line.
        origin: String,
        /// For each mistake a line break, its place, key path, reason and fix, and the line it is
        /// about.
        problem: String,
    },
}

/// Collects what is wrong, so that one run shows everything.
pub(super) struct Problems<'a> {
    report: &'a mut Report,
}

impl<'a> Problems<'a> {
    pub(super) fn new(report: &'a mut Report) -> Problems<'a> {
        Problems { report }
    }

    /// Notes a problem; the answer is for `?` and `return`.
    pub(super) fn note<T>(&mut self, at: &At, problem: impl fmt::Display) -> Option<T> {
        self.report
            .append(at.0.clone(), garde::Error::new(problem.to_string()));
        None
    }

    /// Notes a problem that came as an error.
    pub(super) fn fail<T>(&mut self, at: &At, problem: impl fmt::Display) -> Result<T, ()> {
        self.note(at, problem).ok_or(())
    }
}

/// A key path, as `pools[1].upstreams[0]`.
#[derive(Clone)]
pub(super) struct At(Path);

impl At {
    pub(super) fn root() -> At {
        At(Path::empty())
    }

    pub(super) fn at<C: PathComponentKind>(&self, component: C) -> At {
        At(self.0.join(component))
    }
}
