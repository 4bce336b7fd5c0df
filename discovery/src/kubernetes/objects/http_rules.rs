//! One HTTPRoute in rules, or why not.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;

use super::http_route::{BackendRef, HttpRoute, Match, NamedMatch, Rule, ValueMatch};
use super::{ObjectRule, ObjectTarget, PathMatch, PoolRef};
use crate::kubernetes::parents::Verdict;

const ACCEPTED: &str = "Accepted";
const RESOLVED_REFS: &str = "ResolvedRefs";
const PARTIALLY_INVALID: &str = "PartiallyInvalid";
const UNSUPPORTED_VALUE: &str = "UnsupportedValue";

/// What exists in the namespaces that are watched; none where it could not be read, and then every
/// reference is taken to lead somewhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backends {
    /// As (namespace, name).
    pub(crate) services: Option<BTreeSet<(String, String)>>,
    /// As (namespace, name).
    pub(crate) inference_pools: Option<BTreeSet<(String, String)>>,
}

/// A route's rules in its own order, and what is said of it.
pub(super) struct Ruled {
    pub(super) rules: Vec<ObjectRule>,
    pub(super) verdicts: Vec<Verdict>,
}

/// What a route asks for. A rule that cannot be followed as it is written is left out.
pub(super) fn rules(route: &HttpRoute, backends: &Backends) -> Ruled {
    let namespace = route.namespace().unwrap_or_default();
    let name = format!("{namespace}/{}", route.name_any());
    let mut rules = Vec::new();
    let mut refused = Vec::new();
    let mut unresolved = Vec::new();
    for (place, rule) in route.spec.rules.iter().enumerate() {
        let matches = match matches(rule) {
            Ok(matches) => matches,
            Err(why) => {
                refused.push(format!("rules[{place}]{why}"));
                continue;
            }
        };
        let target = |(backend, reference): (usize, &BackendRef)| ObjectTarget {
            pool: resolve(reference, &namespace, backends)
                .map_err(|why| unresolved.push(why.at(place, backend)))
                .ok(),
            weight: reference.weight,
        };
        let targets: Vec<_> = rule.backend_refs.iter().enumerate().map(target).collect();
        for hostname in hostnames(route) {
            rules.extend(matches.iter().map(|matched| ObjectRule {
                origin: format!("{name} rules[{place}]"),
                hostname: hostname.clone(),
                path: matched.path.clone(),
                method: matched.method.clone(),
                headers: matched.headers.clone(),
                targets: targets.clone(),
            }));
        }
    }
    let mut verdicts = accepted(rules.is_empty(), &refused);
    verdicts.push(resolved(&unresolved));
    Ruled { rules, verdicts }
}

fn hostnames(route: &HttpRoute) -> Vec<Option<String>> {
    let hostnames = &route.spec.hostnames;
    if hostnames.is_empty() {
        return vec![None];
    }
    let lower = |name: &String| Some(name.to_ascii_lowercase());
    hostnames.iter().map(lower).collect()
}

/// One set of conditions on a request, all of which must hold.
struct Matched {
    path: PathMatch,
    method: Option<String>,
    headers: BTreeMap<String, String>,
}

/// Where in the rule, and what is wrong there.
fn matches(rule: &Rule) -> Result<Vec<Matched>, String> {
    if let Some(key) = rule.beyond.keys().next() {
        return Err(format!(".{key}: is not supported: leave it out"));
    }
    if let Some(filter) = rule.filters.first() {
        let kind = &filter.kind;
        return Err(format!(
            ".filters[0]: {kind} is not supported: leave it out"
        ));
    }
    for (place, backend) in rule.backend_refs.iter().enumerate() {
        if let Some(filter) = backend.filters.first() {
            let kind = &filter.kind;
            return Err(format!(
                ".backendRefs[{place}].filters[0]: {kind} is not supported: leave it out"
            ));
        }
    }
    if rule.matches.is_empty() {
        return Ok(vec![matched(&Match::default())?]);
    }
    let one = |(place, one): (usize, &Match)| {
        matched(one).map_err(|why| format!(".matches[{place}]{why}"))
    };
    rule.matches.iter().enumerate().map(one).collect()
}

fn matched(one: &Match) -> Result<Matched, String> {
    if let Some(key) = one.beyond.keys().next() {
        return Err(format!(
            ".{key}: is not supported: match by path, method or header"
        ));
    }
    let mut headers = BTreeMap::new();
    for (place, header) in one.headers.iter().enumerate() {
        let NamedMatch { kind, name, value } = header;
        if let Some(kind) = kind.as_deref().filter(|kind| *kind != "Exact") {
            return Err(format!(
                ".headers[{place}]: {kind} is not supported: write Exact"
            ));
        }
        // Of names that are the same but for their case the first counts, by the API.
        headers
            .entry(name.to_ascii_lowercase())
            .or_insert_with(|| value.clone());
    }
    Ok(Matched {
        path: path(one.path.as_ref())?,
        method: one.method.clone(),
        headers,
    })
}

fn path(written: Option<&ValueMatch>) -> Result<PathMatch, String> {
    let value = written.and_then(|path| path.value.clone());
    let value = value.unwrap_or_else(|| "/".to_owned());
    match written.and_then(|path| path.kind.as_deref()) {
        None | Some("PathPrefix") => Ok(PathMatch::Prefix(value)),
        Some("Exact") => Ok(PathMatch::Exact(value)),
        Some(kind) => Err(format!(
            ".path: {kind} is not supported: write Exact or PathPrefix"
        )),
    }
}

/// A reference that leads nowhere.
struct Unresolved {
    reason: &'static str,
    message: String,
}

impl Unresolved {
    fn at(self, rule: usize, backend: usize) -> Unresolved {
        let message = format!("rules[{rule}].backendRefs[{backend}]: {}", self.message);
        Unresolved { message, ..self }
    }
}

fn resolve(
    reference: &BackendRef,
    namespace: &str,
    backends: &Backends,
) -> Result<PoolRef, Unresolved> {
    let fails = |reason, message: String| Unresolved { reason, message };
    let name = &reference.name;
    let is_pool = match (reference.group.as_str(), reference.kind.as_str()) {
        ("", "Service") => false,
        ("inference.networking.k8s.io", "InferencePool") => true,
        (group, kind) => {
            let message = format!(
                "`{kind}` of group `{group}` is not supported: name a Service or an InferencePool"
            );
            return Err(fails("InvalidKind", message));
        }
    };
    let elsewhere = reference.namespace.as_deref();
    if let Some(other) = elsewhere.filter(|other| *other != namespace) {
        let message = format!(
            "a reference into namespace `{other}` is not permitted, ReferenceGrants are not read: \
             name a pool of the route's own namespace"
        );
        return Err(fails("RefNotPermitted", message));
    }
    let (kind, known) = if is_pool {
        ("InferencePool", &backends.inference_pools)
    } else {
        ("Service", &backends.services)
    };
    let here = (namespace.to_owned(), name.clone());
    if known.as_ref().is_some_and(|known| !known.contains(&here)) {
        let message = format!("there is no {kind} `{name}` in namespace `{namespace}`");
        return Err(fails("BackendNotFound", message));
    }
    let namespace = namespace.to_owned();
    let name = name.clone();
    if is_pool {
        return Ok(PoolRef::InferencePool { namespace, name });
    }
    match reference.port {
        Some(port) => Ok(PoolRef::Service {
            namespace,
            name,
            port,
        }),
        None => {
            let message = format!("Service `{name}` needs a port: write `port`");
            Err(fails(UNSUPPORTED_VALUE, message))
        }
    }
}

fn accepted(are_none_left: bool, refused: &[String]) -> Vec<Verdict> {
    if refused.is_empty() {
        return vec![Verdict::holds(ACCEPTED, ACCEPTED)];
    }
    let reasons = refused.join("; ");
    if are_none_left {
        return vec![Verdict::fails(ACCEPTED, UNSUPPORTED_VALUE, reasons)];
    }
    let partially = Verdict {
        condition: PARTIALLY_INVALID,
        holds: true,
        reason: UNSUPPORTED_VALUE,
        // How such a message begins is laid down by the API.
        message: format!("Dropped Rule(s) {reasons}"),
    };
    vec![Verdict::holds(ACCEPTED, ACCEPTED), partially]
}

fn resolved(unresolved: &[Unresolved]) -> Verdict {
    let Some(first) = unresolved.first() else {
        return Verdict::holds(RESOLVED_REFS, RESOLVED_REFS);
    };
    let messages: Vec<&str> = unresolved.iter().map(|one| one.message.as_str()).collect();
    Verdict::fails(RESOLVED_REFS, first.reason, messages.join("; "))
}
