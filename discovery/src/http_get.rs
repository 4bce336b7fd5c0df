//! Bounded GETs to one endpoint, over connections that are kept.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use http::uri::Authority;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{
    ConfigBuilderExt, FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder,
};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use warmgate_routing::endpoint::EndpointSpec;

use crate::events::ProbeFailure;
use crate::scrape::name_table::Place;

/// Connections to one endpoint that wait for the next probe.
const IDLE_CONNECTIONS_MAX: usize = 1;

/// A token that probes present as `Authorization: Bearer`. Never shown.
#[derive(Clone)]
pub struct BearerToken(HeaderValue);

/// The token has bytes that no header may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is visible ASCII without spaces at its ends; look for a line break in its file")]
pub struct BearerTokenError;

impl BearerToken {
    /// A token, without the word `Bearer`.
    ///
    /// # Errors
    /// Where it is empty or has bytes that no header may carry.
    pub fn new(token: &str) -> Result<BearerToken, BearerTokenError> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BearerTokenError);
        }
        let mut value =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| BearerTokenError)?;
        value.set_sensitive(true);
        Ok(BearerToken(value))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("BearerToken(..)")
    }
}

/// Why a GET has no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GetError {
    #[error("nobody listens there: {0}")]
    Refused(String),
    #[error("no complete answer within {0:?}")]
    Timeout(Duration),
    #[error("the connection failed: {0}")]
    Broken(String),
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    #[error("answered with status {0}")]
    Status(StatusCode),
}

impl GetError {
    pub(crate) fn failure(&self) -> ProbeFailure {
        match self {
            GetError::Refused(_) => ProbeFailure::Refused,
            GetError::Timeout(_) => ProbeFailure::Timeout,
            GetError::Broken(_) => ProbeFailure::Broken,
            GetError::TooLarge(_) => ProbeFailure::TooLarge,
            GetError::Status(_) => ProbeFailure::Status,
        }
    }
}

/// What to ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub place: Place,
    pub bytes_max: usize,
}

pub(crate) struct HttpGet {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    spec: Arc<EndpointSpec>,
    host: HeaderValue,
    timeout: Duration,
    token: Option<BearerToken>,
}

impl HttpGet {
    /// A client for one endpoint. Fails only where the endpoint's name cannot be asked for.
    pub(crate) fn new(
        spec: Arc<EndpointSpec>,
        timeout: Duration,
        token: Option<BearerToken>,
    ) -> Result<HttpGet, String> {
        let host = HeaderValue::try_from(&*spec.authority)
            .map_err(|_| format!("`{}` is no host name", spec.authority))?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let builder = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config(spec.tls)?)
            .https_or_http()
            .with_server_name_resolver(FixedServerNameResolver::new(server_name(&spec)?));
        let connector = builder.enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http2_only(spec.h2c && !spec.tls)
            .build(connector);
        Ok(HttpGet {
            client,
            spec,
            host,
            timeout,
            token,
        })
    }

    /// The body of a 200 answer.
    pub(crate) async fn get(&self, wanted: Wanted) -> Result<Bytes, GetError> {
        tokio::time::timeout(self.timeout, self.get_in_time(wanted))
            .await
            .map_err(|_| GetError::Timeout(self.timeout))?
    }

    async fn get_in_time(&self, wanted: Wanted) -> Result<Bytes, GetError> {
        let response = self
            .client
            .request(self.request(wanted.place)?)
            .await
            .map_err(|error| no_connection(&error))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(GetError::Status(status));
        }
        let body = Limited::new(response.into_body(), wanted.bytes_max);
        let body = body.collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                GetError::TooLarge(wanted.bytes_max)
            } else {
                GetError::Broken(error.to_string())
            }
        })?;
        Ok(body.to_bytes())
    }

    fn request(&self, place: Place) -> Result<Request<Empty<Bytes>>, GetError> {
        // The address goes into the URI, so that the connection goes where the source of
        // endpoints says, and the name into the Host header.
        let mut address = self.spec.address;
        let mut scheme = if self.spec.tls { "https" } else { "http" };
        if let Some(port) = place.port {
            address.set_port(port);
            scheme = "http";
        }
        let mut request = Request::get(format!("{scheme}://{address}{}", place.path))
            .header(HOST, self.host.clone())
            .header(ACCEPT, "*/*")
            .header(USER_AGENT, concat!("warmgate/", env!("CARGO_PKG_VERSION")));
        if let Some(BearerToken(token)) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        request
            .body(Empty::new())
            .map_err(|error| GetError::Broken(error.to_string()))
    }
}

fn server_name(spec: &EndpointSpec) -> Result<ServerName<'static>, String> {
    let refused = || format!("`{}` is no server name", spec.authority);
    let authority: Authority = spec.authority.parse().map_err(|_| refused())?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    ServerName::try_from(host).map_err(|_| refused())
}

/// With the system's certificates where TLS is spoken; they are read once.
fn tls_config(is_needed: bool) -> Result<ClientConfig, String> {
    static SYSTEM: OnceLock<Result<ClientConfig, String>> = OnceLock::new();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    if !is_needed {
        let nobody = rustls::RootCertStore::empty();
        return Ok(builder.with_root_certificates(nobody).with_no_client_auth());
    }
    let system = SYSTEM.get_or_init(|| {
        let with_roots = builder.with_native_roots();
        let with_roots = with_roots.map_err(|error| {
            format!(
                "no certificates of authorities on this system, install ca-certificates: {error}"
            )
        })?;
        Ok(with_roots.with_no_client_auth())
    });
    system.clone()
}

fn no_connection(error: &hyper_util::client::legacy::Error) -> GetError {
    let mut chain = String::new();
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut is_refused = false;
    while let Some(link) = cause {
        let separator = if chain.is_empty() { "" } else { ": " };
        chain.push_str(separator);
        chain.push_str(&link.to_string());
        is_refused |= link
            .downcast_ref::<io::Error>()
            .is_some_and(is_nobody_there);
        cause = link.source();
    }
    if is_refused && error.is_connect() {
        GetError::Refused(chain)
    } else {
        GetError::Broken(chain)
    }
}

fn is_nobody_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_never_shown_and_never_broken() {
        let token = BearerToken::new("secret").unwrap();
        assert!(!format!("{token:?} {:?}", token.0).contains("secret"));
        for bad in ["", "a b", "a\n", "ü"] {
            assert!(BearerToken::new(bad).is_err(), "{bad:?}");
        }
    }
}
