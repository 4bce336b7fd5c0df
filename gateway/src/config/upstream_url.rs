//! The address of a model server as operators write it: `http://host:port`.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// Base URL of a model server: scheme, host and port, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamUrl {
    host: String,
    port: u16,
    tls: bool,
}

/// What is wrong with an upstream URL, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` {problem}")]
pub struct UpstreamUrlError {
    url: String,
    problem: &'static str,
}

impl UpstreamUrl {
    /// Host name in small letters, or IP address; an IPv6 address stands without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port; 80 or 443 where the URL has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the server speaks TLS.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// `host:port` with the brackets that an IPv6 address needs.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl FromStr for UpstreamUrl {
    type Err = UpstreamUrlError;

    fn from_str(url: &str) -> Result<UpstreamUrl, UpstreamUrlError> {
        const FORM: &str = "is not a URL: write `http://host:port`";
        let err = |problem| UpstreamUrlError {
            url: url.to_owned(),
            problem,
        };
        let uri: Uri = url.parse().map_err(|_| err(FORM))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(err("has a scheme that is neither http nor https")),
            None => return Err(err("has no scheme: write `http://` before it")),
        };
        let authority = uri.authority().ok_or_else(|| err(FORM))?;
        if authority.as_str().contains('@') {
            return Err(err("has a user or a password in it, which are never sent"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(err(
                "has a path or a query: write only scheme, host and port, since the client's own \
                 path is sent",
            ));
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if host.is_empty() {
            return Err(err(FORM));
        }
        let has_port = authority.as_str().len() > authority.host().len();
        let port = match authority.port_u16() {
            Some(0) => return Err(err("has port 0, which nobody listens on")),
            Some(port) => port,
            None if has_port => return Err(err("has a port that is not a number up to 65535")),
            None if tls => 443,
            None => 80,
        };
        Ok(UpstreamUrl {
            host: host.to_ascii_lowercase(),
            port,
            tls,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_meant() {
        for (url, meant) in [
            ("http://10.0.0.1:8000", "http://10.0.0.1:8000"),
            ("http://vllm-0.vllm:8000/", "http://vllm-0.vllm:8000"),
            ("HTTPS://Engine.Example", "https://engine.example:443"),
            ("http://engine", "http://engine:80"),
            ("http://[fd00::1]:8000", "http://[fd00::1]:8000"),
            ("https://[::1]", "https://[::1]:443"),
        ] {
            let parsed: UpstreamUrl = url.parse().unwrap();
            assert_eq!(parsed.to_string(), meant);
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "printed and read");
        }
        let parsed: UpstreamUrl = "https://[fd00::1]:8000".parse().unwrap();
        let parts = (parsed.host(), parsed.port(), parsed.tls());
        assert_eq!(parts, ("fd00::1", 8000, true));
        assert_eq!(parsed.authority(), "[fd00::1]:8000");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_fix() {
        for (url, problem) in [
            ("", "write `http://host:port`"),
            ("10.0.0.1:8000", "write `http://` before it"),
            ("engine", "write `http://` before it"),
            ("/v1", "write `http://` before it"),
            ("tcp://engine:1", "neither http nor https"),
            ("http://", "write `http://host:port`"),
            ("http://:8000", "write `http://host:port`"),
            ("http://engine:0", "port 0"),
            ("http://engine:65536", "not a number up to 65535"),
            ("http://engine:", "not a number up to 65535"),
            ("http://user:secret@engine:1", "a user or a password"),
            ("http://engine:1/v1", "has a path or a query"),
            ("http://engine:1/?a", "has a path or a query"),
            ("http://a b:1", "write `http://host:port`"),
        ] {
            let error = url.parse::<UpstreamUrl>().unwrap_err().to_string();
            assert!(error.contains(problem), "{url}: {error}");
        }
    }
}
