//! Which requests a rule takes, besides those for its model.

use std::collections::BTreeMap;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::config::error::{At, Problems};
use crate::config::limit;
use crate::config::raw_routes::RawMatch;

/// A request as far as matches look at it.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The host that it is for, without a port; none where it names none.
    pub host: Option<&'a str>,
    /// Its path without a query.
    pub path: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// What a request must have: all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// The host that it must be for; none: any.
    pub host: Option<HostMatch>,
    /// Its method; none: any.
    pub method: Option<Method>,
    /// Where it must go; none: anywhere.
    pub path: Option<PathMatch>,
    /// Headers with exactly these values, sorted by name.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Which hosts, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMatch {
    /// This one.
    Exact(String),
    /// All names below this one, and not itself; begins with a `.`.
    Below(String),
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
    /// Whether a request has all that it must have.
    #[must_use]
    pub fn takes(&self, head: &Head<'_>) -> bool {
        self.takes_host(head.host)
            && self.path.as_ref().is_none_or(|path| path.takes(head.path))
            && self
                .method
                .as_ref()
                .is_none_or(|method| method == head.method)
            && self.headers.iter().all(|(name, value)| {
                let mut given = head.headers.get_all(name).into_iter();
                given.any(|given| given == value)
            })
    }

    /// Whether requests for that host may be taken.
    #[must_use]
    pub fn takes_host(&self, host: Option<&str>) -> bool {
        let Some(wanted) = &self.host else {
            return true;
        };
        host.is_some_and(|host| wanted.takes(host))
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
        let covers_host = match (&self.host, &other.host) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(ours), Some(theirs)) => ours.covers(theirs),
        };
        let covers_method = self.method.is_none() || self.method == other.method;
        let is_asked_there = |wanted: &(HeaderName, HeaderValue)| other.headers.contains(wanted);
        let covers_place = covers_host && covers_method && covers_path;
        covers_place && self.headers.iter().all(is_asked_there)
    }
}

/// As it is typed in the configuration.
impl Serialize for Match {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut keys = out.serialize_map(None)?;
        if let Some(host) = &self.host {
            keys.serialize_entry("host", &host.to_string())?;
        }
        if let Some(method) = &self.method {
            keys.serialize_entry("method", method.as_str())?;
        }
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

impl HostMatch {
    /// One host name, or `*.NAME` for all below that name; case does not count. None where it is
    /// neither.
    #[must_use]
    pub fn new(written: &str) -> Option<HostMatch> {
        let lower = written.to_ascii_lowercase();
        let (name, is_wildcard) = match lower.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (lower.as_str(), false),
        };
        let is_label = |label: &str| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !label.is_empty() && label.len() <= 63 && label.bytes().all(inner)
        };
        if name.len() > limit::HOST_BYTES_MAX || !name.split('.').all(is_label) {
            return None;
        }
        Some(match is_wildcard {
            true => HostMatch::Below(format!(".{name}")),
            false => HostMatch::Exact(name.to_owned()),
        })
    }

    fn takes(&self, host: &str) -> bool {
        match self {
            HostMatch::Exact(wanted) => host.eq_ignore_ascii_case(wanted),
            HostMatch::Below(suffix) => {
                let start = host
                    .len()
                    .checked_sub(suffix.len())
                    .filter(|start| *start > 0);
                let end = start.and_then(|start| host.get(start..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
        }
    }

    fn covers(&self, other: &HostMatch) -> bool {
        match (self, other) {
            (ours, HostMatch::Exact(host)) => ours.takes(host),
            (HostMatch::Exact(_), HostMatch::Below(_)) => false,
            (HostMatch::Below(ours), HostMatch::Below(theirs)) => theirs.ends_with(ours.as_str()),
        }
    }
}

/// As it is typed in the configuration.
impl fmt::Display for HostMatch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostMatch::Exact(host) => out.write_str(host),
            HostMatch::Below(suffix) => write!(out, "*{suffix}"),
        }
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

/// What a match means as it is typed; none where a problem was noted.
pub(super) fn meaning(raw: &RawMatch, at: &At, problems: &mut Problems<'_>) -> Option<Match> {
    let host = match raw.host.as_deref() {
        Some(host) => host_of(host, &at.at("host"), problems).map(Some),
        None => Some(None),
    };
    let headers = headers(&raw.headers, &at.at("headers"), problems);
    let path = match (&raw.path, &raw.path_prefix) {
        (None, None) => Some(None),
        (Some(path), None) => {
            let path = path_of(path, &at.at("path"), problems);
            path.map(|path| Some(PathMatch::Exact(path.to_owned())))
        }
        (None, Some(prefix)) => {
            let prefix = path_of(prefix, &at.at("path_prefix"), problems);
            prefix.map(|prefix| {
                let elements = prefix.trim_end_matches('/').to_owned();
                Some(PathMatch::Prefix(elements))
            })
        }
        (Some(_), Some(_)) => problems.note(at, "has both `path` and `path_prefix`: keep one"),
    };
    Some(Match {
        host: host?,
        method: None,
        path: path?,
        headers: headers?,
    })
}

fn host_of(host: &str, at: &At, problems: &mut Problems<'_>) -> Option<HostMatch> {
    HostMatch::new(host).or_else(|| {
        problems.note(
            at,
            format!(
                "`{host}` is no host name: write one without a port, such as `chat.example.com`, or \
                 `*.example.com` for all names below one"
            ),
        )
    })
}

fn path_of<'a>(path: &'a str, at: &At, problems: &mut Problems<'_>) -> Option<&'a str> {
    let most = limit::MATCH_PATH_BYTES_MAX;
    let is_path = path.starts_with('/')
        && path.len() <= most
        && path.bytes().all(|byte| byte.is_ascii_graphic())
        && !path.contains(['?', '#']);
    if is_path {
        return Some(path);
    }
    problems.note(
        at,
        format!("`{path}` is no path: write one without a query, such as `/v1/chat/completions`, of at most {most} bytes"),
    )
}

fn headers(
    raw: &BTreeMap<String, String>,
    at: &At,
    problems: &mut Problems<'_>,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let most = limit::MATCH_VALUE_BYTES_MAX;
    let mut meant: BTreeMap<String, (HeaderName, HeaderValue)> = BTreeMap::new();
    for (name, value) in raw {
        let at = at.at(name.as_str());
        let Ok(header) = name.parse::<HeaderName>() else {
            problems.note::<()>(&at, format!("`{name}` is no name of a header"));
            continue;
        };
        let Some(value) = HeaderValue::from_str(value)
            .ok()
            .filter(|value| value.len() <= most)
        else {
            let problem =
                format!("no header has this value: write visible characters, at most {most}");
            problems.note::<()>(&at, problem);
            continue;
        };
        let lower = header.as_str().to_owned();
        if meant.insert(lower, (header, value)).is_some() {
            problems.note::<()>(&at, format!("`{name}` is there twice: case does not count"));
        }
    }
    (meant.len() == raw.len()).then(|| meant.into_values().collect())
}
