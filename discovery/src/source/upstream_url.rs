//! Where an endpoint listens, as people write it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;
use serde::Deserialize;

/// Longest host name in bytes (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// `http://host:port` or `https://host:port`; ports 80 and 443 may be left out.
///
/// ```
/// use warmgate_discovery::UpstreamUrl;
/// let url: UpstreamUrl = "https://[::1]".parse()?;
/// assert_eq!((url.host(), url.port(), url.is_tls()), ("::1", 443, true));
/// assert_eq!(url.to_string(), "https://[::1]:443");
/// # Ok::<(), warmgate_discovery::source::UpstreamUrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct UpstreamUrl {
    host: String,
    port: u16,
    tls: bool,
}

/// What is wrong with the URL of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is no address of an endpoint: {reason}")]
pub struct UpstreamUrlError {
    url: String,
    reason: &'static str,
}

impl UpstreamUrl {
    /// Host name in lower case or IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether TLS is spoken there.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// The address, where the host is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// `host:port`, IPv6 in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// `host:port`, IPv6 in brackets.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(out, "{scheme}://{}", self.authority())
    }
}

impl FromStr for UpstreamUrl {
    type Err = UpstreamUrlError;

    fn from_str(url: &str) -> Result<UpstreamUrl, UpstreamUrlError> {
        parse(url).map_err(|reason| UpstreamUrlError {
            // A password in it belongs in no log.
            url: url.rsplit('@').next().unwrap_or_default().to_owned(),
            reason,
        })
    }
}

impl TryFrom<String> for UpstreamUrl {
    type Error = UpstreamUrlError;

    fn try_from(url: String) -> Result<UpstreamUrl, UpstreamUrlError> {
        url.parse()
    }
}

fn parse(url: &str) -> Result<UpstreamUrl, &'static str> {
    let (scheme, _) = url
        .split_once("://")
        .ok_or("it starts with neither http:// nor https://")?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err("its scheme is neither http nor https"),
    };
    let uri = Uri::from_str(url).map_err(|_| "write http://host:port or https://host:port")?;
    let authority = uri.authority().ok_or("it has no host")?;
    if authority.as_str().contains('@') {
        return Err("it has a user name; give a token for probes in the configuration instead");
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || url.contains('#') {
        return Err("it goes on after the port; clients bring the path, so leave it out");
    }
    let host = match authority.host().strip_prefix('[') {
        Some(inside) => {
            let inside = inside.strip_suffix(']').unwrap_or(inside);
            let ip: Ipv6Addr = inside
                .parse()
                .map_err(|_| "what stands in brackets is no IPv6 address")?;
            ip.to_string()
        }
        None => authority.host().to_ascii_lowercase(),
    };
    if host.is_empty() || host.len() > HOST_BYTES_MAX {
        return Err("its host is empty or longer than 253 bytes");
    }
    let port = match &authority.as_str()[authority.host().len()..] {
        "" if tls => 443,
        "" => 80,
        written => written
            .trim_start_matches(':')
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or("its port is not a number from 1 to 65535")?,
    };
    Ok(UpstreamUrl { host, port, tls })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (written, meant) in [
            ("http://localhost:8000", "http://localhost:8000"),
            (
                "HTTP://Gpu-1.Example.COM:8000/",
                "http://gpu-1.example.com:8000",
            ),
            ("http://10.0.0.7", "http://10.0.0.7:80"),
            ("https://gpu-1", "https://gpu-1:443"),
            ("https://gpu-1:8443", "https://gpu-1:8443"),
            ("http://[::1]:8000", "http://[::1]:8000"),
            ("http://[0:0::1]", "http://[::1]:80"),
        ] {
            let read: UpstreamUrl = written.parse().unwrap();
            assert_eq!(read.to_string(), meant);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (written, reason) in [
            ("localhost:8000", "neither http:// nor https://"),
            ("", "neither http:// nor https://"),
            ("grpc://localhost:8000", "scheme"),
            ("http://", "http://host:port"),
            ("http://:8000", "empty"),
            ("http://localhost:0", "port"),
            ("http://localhost:65536", "port"),
            ("http://localhost:", "port"),
            ("http://localhost:8000/v1", "after the port"),
            ("http://localhost:8000?x=1", "after the port"),
            ("http://localhost:8000#x", "after the port"),
            ("http://me:secret@localhost:8000", "user name"),
            ("http://[::zz]:8000", "IPv6"),
            ("http://::1:8000", "http://host:port"),
            ("http://two words:8000", "http://host:port"),
        ] {
            let error = written.parse::<UpstreamUrl>().unwrap_err();
            assert!(error.reason.contains(reason), "{written}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn the_longest_host_is_read_and_one_byte_more_is_not() {
        let url = |bytes: usize| format!("http://{}", "h".repeat(bytes)).parse::<UpstreamUrl>();
        assert!(url(HOST_BYTES_MAX).is_ok());
        assert!(url(HOST_BYTES_MAX + 1).is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(host in "[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?", port in 1_u16.., tls: bool) {
            let url = UpstreamUrl { host, port, tls };
            prop_assert_eq!(url.to_string().parse(), Ok(url));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "(https?://)?\\PC{0,40}") {
            let _ = text.parse::<UpstreamUrl>();
        }
    }
}
