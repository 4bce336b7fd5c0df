//! Which requests a rule takes, besides those for its model.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// What a request must have: all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Where it must go; none: anywhere.
    pub path: Option<PathMatch>,
    /// Headers with exactly these values, sorted by name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Which paths, without a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// This one.
    Exact(String),
    /// Those that begin with these elements; without a `/` at its end.
    Prefix(String),
}

impl Match {
    /// Whether a request at `path` with these headers has all that it must have.
    #[must_use]
    pub fn takes(&self, path: &str, headers: &HeaderMap) -> bool {
        self.path.as_ref().is_none_or(|wanted| wanted.takes(path))
            && self.headers.iter().all(|(name, value)| {
                let mut given = headers.get_all(name).into_iter();
                given.any(|given| given == value)
            })
    }

    /// Whether every request that `other` takes is taken here.
    #[must_use]
    pub fn covers(&self, other: &Match) -> bool {
        let covers_path = match (&self.path, &other.path) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(PathMatch::Exact(_)), Some(PathMatch::Prefix(_))) => false,
            (Some(ours), Some(PathMatch::Exact(path) | PathMatch::Prefix(path))) => {
                ours.takes(path)
            }
        };
        let is_asked_there = |wanted: &(HeaderName, HeaderValue)| other.headers.contains(wanted);
        covers_path && self.headers.iter().all(is_asked_there)
    }
}

/// As it is typed in the configuration.
impl Serialize for Match {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut keys = out.serialize_map(None)?;
        match &self.path {
            Some(PathMatch::Exact(path)) => keys.serialize_entry("path", path)?,
            Some(PathMatch::Prefix(path)) => keys.serialize_entry("path_prefix", path)?,
            None => {}
        }
        if !self.headers.is_empty() {
            let shown = self.headers.iter().map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                (name.as_str(), value)
            });
            keys.serialize_entry("headers", &shown.collect::<BTreeMap<_, _>>())?;
        }
        keys.end()
    }
}

impl PathMatch {
    fn takes(&self, path: &str) -> bool {
        match self {
            PathMatch::Exact(wanted) => path == wanted,
            PathMatch::Prefix(wanted) => path
                .strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }
}
