//! One name, many addresses: each address is an endpoint (a headless service in a cluster).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Deserialize;
use warmgate_routing::EndpointKey;
use warmgate_routing::endpoint::EndpointSpec;

use super::Source;
use super::error::SourceError;
use super::resolver::{RESOLVE_INTERVAL, RESOLVE_RETRY, Resolve, addresses};
use super::updates::{Stopped, Updates};
use super::upstream_url::authority;

/// A name behind whose addresses endpoints listen, all on one port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DnsName {
    /// The name.
    pub name: String,
    /// The port, 1 to 65535.
    pub port: u16,
    /// Whether TLS is spoken there; certificates must be for `name`.
    #[serde(default)]
    pub tls: bool,
}

impl DnsName {
    /// Keyed by address. The Host header and the TLS server name need the name where TLS is
    /// spoken; elsewhere the address tells people more.
    fn spec(&self, address: SocketAddr) -> EndpointSpec {
        let mut spec = EndpointSpec::at(&address.to_string(), address, self.tls);
        if self.tls {
            let scheme_and_address = format!("https://{address}");
            spec.key = EndpointKey(scheme_and_address.into());
            spec.authority = authority(&self.name, self.port).into();
        }
        spec
    }
}

pub(super) struct DnsEndpoints {
    name: DnsName,
    resolver: Arc<dyn Resolve>,
}

impl DnsEndpoints {
    pub(super) fn new(name: DnsName, resolver: Arc<dyn Resolve>) -> DnsEndpoints {
        DnsEndpoints { name, resolver }
    }
}

impl Source for DnsEndpoints {
    async fn run(self, mut updates: Updates) -> Result<Infallible, Stopped> {
        loop {
            let name = &self.name;
            let found = addresses(self.resolver.as_ref(), &name.name, name.port).await;
            let pause = match found {
                Ok(found) => {
                    let specs = found.into_iter().map(|address| name.spec(address));
                    updates.publish(specs.collect(), Vec::new()).await?;
                    RESOLVE_INTERVAL
                }
                Err(source) => {
                    let host = name.name.clone();
                    updates.report(&[SourceError::Resolve { host, source }]);
                    RESOLVE_RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::resolver::scripted::ScriptedResolver;
    use crate::source::updates::record::Recorder;

    fn start(resolver: &ScriptedResolver, tls: bool) -> Recorder {
        let name = "engines.example".to_owned();
        let name = DnsName {
            name,
            port: 8000,
            tls,
        };
        Recorder::start(DnsEndpoints::new(name, Arc::new(resolver.clone())))
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_is_an_endpoint_and_a_failure_takes_none_away() {
        let resolver = ScriptedResolver::default();
        resolver.set("engines.example", &["10.0.0.2:8000", "10.0.0.1:8000"]);
        let mut recorder = start(&resolver, false);
        let both = [
            "http://10.0.0.1:8000 10.0.0.1:8000",
            "http://10.0.0.2:8000 10.0.0.2:8000",
        ];
        assert_eq!(recorder.list().await, both);
        resolver.set("engines.example", &[]);
        recorder.failures(2).await;
        resolver.set("engines.example", &["10.0.0.2:8000"]);
        assert_eq!(
            recorder.list().await,
            ["http://10.0.0.2:8000 10.0.0.2:8000"]
        );
    }

    #[test]
    fn with_tls_the_name_is_the_authority() {
        let name = "engines.example".to_owned();
        let tls = true;
        let spec = DnsName {
            name,
            port: 8000,
            tls,
        }
        .spec(([10, 0, 0, 1], 8000).into());
        assert_eq!(&*spec.authority, "engines.example:8000");
        assert_eq!(&*spec.key.0, "https://10.0.0.1:8000");
        assert!(spec.tls);
    }
}
