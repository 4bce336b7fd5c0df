//! Endpoints that people have listed one by one, with the address that each name has now.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use warmgate_routing::endpoint::{EndpointSpec, Engine, Role};

use super::error::SourceError;
use super::resolver::{RESOLVE_INTERVAL, RESOLVE_RETRY, Resolve, addresses};
use super::upstream_url::UpstreamUrl;

/// Names of one list that are resolved at the same time.
const RESOLVES_IN_FLIGHT_MAX: usize = 16;

/// One listed endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it listens.
    pub url: UpstreamUrl,
    /// None: found out from its metrics.
    pub engine: Option<Engine>,
    /// Phases it takes.
    pub role: Role,
    /// Labels for people.
    pub labels: BTreeMap<String, String>,
}

impl Listed {
    /// An endpoint of which nothing but the address is known.
    #[must_use]
    pub fn at(url: UpstreamUrl) -> Listed {
        Listed {
            url,
            engine: None,
            role: Role::default(),
            labels: BTreeMap::new(),
        }
    }
}

pub(super) struct Listing {
    entries: Vec<Listed>,
    addresses: HashMap<UpstreamUrl, SocketAddr>,
    resolver: Arc<dyn Resolve>,
}

impl Listing {
    /// Addresses are in place, names wait for [`Listing::resolve`].
    pub(super) fn new(entries: Vec<Listed>, resolver: Arc<dyn Resolve>) -> Listing {
        let mut listing = Listing {
            entries: Vec::new(),
            addresses: HashMap::new(),
            resolver,
        };
        listing.replace(entries);
        listing
    }

    /// Another list; names that stay keep their addresses.
    pub(super) fn replace(&mut self, entries: Vec<Listed>) {
        let mut before = std::mem::take(&mut self.addresses);
        self.addresses = entries
            .iter()
            .filter_map(|entry| {
                let literal = entry.url.ip().map(|ip| (ip, entry.url.port()).into());
                let address = literal.or_else(|| before.remove(&entry.url))?;
                Some((entry.url.clone(), address))
            })
            .collect();
        self.entries = entries;
    }

    /// Whether there is anything to resolve, now or ever again.
    pub(super) fn has_names(&self) -> bool {
        self.entries.iter().any(|entry| entry.url.ip().is_none())
    }

    /// Looks up every name. One that does not resolve keeps its last address; one that resolves
    /// to several keeps the one it has if it is among them.
    pub(super) async fn resolve(&mut self) -> Vec<SourceError> {
        let names: Vec<_> = self
            .entries
            .iter()
            .map(|entry| entry.url.clone())
            .filter(|url| url.ip().is_none())
            .collect();
        let resolver = Arc::clone(&self.resolver);
        let lookups = names.into_iter().map(|url| {
            let resolver = Arc::clone(&resolver);
            async move {
                let found = addresses(resolver.as_ref(), url.host(), url.port()).await;
                (url, found)
            }
        });
        let results: Vec<_> = stream::iter(lookups)
            .buffer_unordered(RESOLVES_IN_FLIGHT_MAX)
            .collect()
            .await;
        let mut problems = Vec::new();
        for (url, result) in results {
            match result {
                Ok(found) => {
                    let kept = self.addresses.get(&url).filter(|old| found.contains(old));
                    if let Some(address) = kept.or(found.first()).copied() {
                        self.addresses.insert(url, address);
                    }
                }
                Err(source) => problems.push(SourceError::Resolve {
                    host: url.host().to_owned(),
                    source,
                }),
            }
        }
        problems
    }

    /// The endpoints whose address is known, in the order of the list.
    pub(super) fn specs(&self) -> Vec<EndpointSpec> {
        let spec = |entry: &Listed| {
            let address = *self.addresses.get(&entry.url)?;
            let spec = EndpointSpec::at(&entry.url.authority(), address, entry.url.is_tls());
            Some(EndpointSpec {
                engine: entry.engine,
                role: entry.role,
                labels: entry.labels.clone(),
                ..spec
            })
        };
        self.entries.iter().filter_map(spec).collect()
    }
}

/// Pause until names are resolved again.
pub(super) fn pause_after(problems: &[SourceError]) -> Duration {
    if problems.is_empty() {
        RESOLVE_INTERVAL
    } else {
        RESOLVE_RETRY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::resolver::scripted::ScriptedResolver;

    fn listing(urls: &[&str], resolver: &ScriptedResolver) -> Listing {
        let entries = urls.iter().map(|url| Listed::at(url.parse().unwrap()));
        Listing::new(entries.collect(), Arc::new(resolver.clone()))
    }

    fn shown(listing: &Listing) -> Vec<String> {
        let shown = |spec: EndpointSpec| format!("{} {}", spec.key, spec.address);
        listing.specs().into_iter().map(shown).collect()
    }

    #[tokio::test]
    async fn an_unknown_name_holds_nobody_up_and_comes_in_later() {
        let resolver = ScriptedResolver::default();
        let mut listing = listing(&["http://gpu-1:8000", "https://10.0.0.9"], &resolver);
        assert_eq!(listing.resolve().await.len(), 1);
        assert_eq!(shown(&listing), ["https://10.0.0.9:443 10.0.0.9:443"]);
        resolver.set("gpu-1", &["10.0.0.1:8000"]);
        assert!(listing.resolve().await.is_empty());
        let both = [
            "http://gpu-1:8000 10.0.0.1:8000",
            "https://10.0.0.9:443 10.0.0.9:443",
        ];
        assert_eq!(shown(&listing), both);
    }

    #[tokio::test]
    async fn an_address_changes_only_when_the_old_one_is_gone() {
        let resolver = ScriptedResolver::default();
        resolver.set("gpu-1", &["10.0.0.5:8000"]);
        let mut listing = listing(&["http://gpu-1:8000"], &resolver);
        listing.resolve().await;
        resolver.set("gpu-1", &["10.0.0.1:8000", "10.0.0.5:8000"]);
        listing.resolve().await;
        assert_eq!(shown(&listing), ["http://gpu-1:8000 10.0.0.5:8000"]);
        resolver.set("gpu-1", &[]);
        assert_eq!(listing.resolve().await.len(), 1);
        assert_eq!(shown(&listing), ["http://gpu-1:8000 10.0.0.5:8000"]);
        resolver.set("gpu-1", &["10.0.0.1:8000"]);
        listing.resolve().await;
        assert_eq!(shown(&listing), ["http://gpu-1:8000 10.0.0.1:8000"]);
    }
}
