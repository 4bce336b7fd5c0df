//! Which of several objects comes first, as the Gateway API lays it down.
//!
//! Of rules: the host name without a wildcard, and the longest; the exact path, and the longest
//! prefix; a method; the most headers. Of what is still alike: the oldest object, then the first by
//! its name, then the first in its list
//! (<https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule>).

use std::cmp::Reverse;

use k8s_openapi::jiff::Timestamp;
use kube::{Resource, ResourceExt};

use super::{ObjectRule, PathMatch};

/// Orders objects of one kind: the oldest first, then by namespace and name.
pub(super) fn age(object: &impl Resource<DynamicType = ()>) -> (Timestamp, String) {
    let created = object.creation_timestamp().map(|time| time.0);
    let namespace = object.namespace().unwrap_or_default();
    let name = format!("{namespace}/{}", object.name_any());
    (created.unwrap_or(Timestamp::MAX), name)
}

/// Orders rules by what they ask for; those alike keep the order in which they come.
pub(super) fn specificity(rule: &ObjectRule) -> impl Ord + use<> {
    let hostname = rule.hostname.as_deref().unwrap_or_default();
    let is_wildcard = hostname.starts_with("*.");
    let without_wildcard = if is_wildcard { 0 } else { hostname.len() };
    let (is_exact, path) = match &rule.path {
        PathMatch::Exact(path) => (true, path.len()),
        PathMatch::Prefix(path) => (false, path.len()),
    };
    Reverse((
        without_wildcard,
        hostname.len(),
        is_exact,
        path,
        rule.method.is_some(),
        rule.headers.len(),
    ))
}
