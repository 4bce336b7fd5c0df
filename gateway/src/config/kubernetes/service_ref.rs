//! `NAMESPACE/NAME[:PORT]`: one Service as the command line names it.

use std::str::FromStr;

use super::name;
use super::raw::{RawKubernetes, RawPort};

/// A Service, and which of its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRef {
    namespace: String,
    name: String,
    port: Option<String>,
}

impl FromStr for ServiceRef {
    type Err = String;

    /// Errs with what to write instead.
    fn from_str(text: &str) -> Result<ServiceRef, String> {
        let Some((namespace, rest)) = text.split_once('/') else {
            return Err("write NAMESPACE/NAME or NAMESPACE/NAME:PORT".to_owned());
        };
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (rest, None),
        };
        name::dns_label(namespace)?;
        name::dns_label(name)?;
        port.map(name::port).transpose()?;
        Ok(ServiceRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port: port.map(str::to_owned),
        })
    }
}

impl ServiceRef {
    /// The same, as the file would say it.
    pub(in crate::config) fn raw(&self) -> RawKubernetes {
        RawKubernetes {
            service: Some(self.name.clone()),
            namespace: Some(self.namespace.clone()),
            port: self.port.clone().map(RawPort),
            ..RawKubernetes::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_a_namespace_and_perhaps_a_port() {
        for (text, port) in [
            ("llm/vllm", None),
            ("llm/vllm:8000", Some("8000")),
            ("llm/vllm:http", Some("http")),
        ] {
            let raw = text.parse::<ServiceRef>().unwrap().raw();
            assert_eq!(raw.namespace.as_deref(), Some("llm"));
            assert_eq!(raw.service.as_deref(), Some("vllm"));
            assert_eq!(raw.port, port.map(|port| RawPort(port.to_owned())));
        }
        for (text, said) in [
            ("vllm", "write NAMESPACE/NAME"),
            ("http://vllm", "`http:` is no name in Kubernetes"),
            ("/vllm", "`` is no name in Kubernetes"),
            ("llm/", "`` is no name in Kubernetes"),
            ("llm/a/b", "`a/b` is no name in Kubernetes"),
            ("llm/vllm:", "`` is no port"),
            (
                "llm/vllm:0",
                "`0` is no port: write a number from 1 to 65535",
            ),
            ("llm/vllm:65536", "`65536` is no port"),
        ] {
            let error = text.parse::<ServiceRef>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
