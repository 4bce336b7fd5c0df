//! One attempt: one request to one endpoint, up to the first byte of its answer.
//!
//! The header alone is no beginning: engines send that of a stream at once and compute then. Passed
//! on early, it would make every stream that waits at a dying engine a failed one.

use std::time::Duration;

use bytes::Bytes;
use pingora::ErrorType;
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::{ALPN, HttpPeer};
use warmgate_routing::Endpoint;
use warmgate_routing::health::Failure;

use crate::config::Forward;

/// An endpoint's answer, of which the header and the first bytes have come.
pub struct Answer {
    session: HttpSession,
    first: Option<Bytes>,
    peer: HttpPeer,
    keepalive: Option<Duration>,
}

/// Why an attempt came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptError {
    /// The endpoint's doing: nobody there, or the connection broke.
    Failed(Failure),
    /// A kept connection had gone stale; nothing was learned of the endpoint.
    Stale,
    /// No first byte within the time: the engine may still be at work.
    TimedOut,
}

/// Sends one request and waits for the beginning of the answer.
///
/// # Errors
/// As [`AttemptError`] says; the connection is then closed.
pub async fn send(
    connector: &Connector,
    endpoint: &Endpoint,
    request: RequestHeader,
    body: &Bytes,
    forward: &Forward,
) -> Result<Answer, AttemptError> {
    let peer = peer(endpoint, forward);
    let (mut session, is_reused) = connector
        .get_http_session(&peer)
        .await
        .map_err(|_| AttemptError::Failed(Failure::Connect))?;
    let outcome = exchange(&mut session, request, body, forward).await;
    match outcome {
        Ok(first) => Ok(Answer {
            session,
            first,
            peer,
            keepalive: forward.keepalive,
        }),
        Err(error) => {
            let is_silent = session.response_header().is_none();
            session.shutdown().await;
            Err(match error.etype() {
                ErrorType::ReadTimedout => AttemptError::TimedOut,
                _ if is_reused && is_silent => AttemptError::Stale,
                _ => AttemptError::Failed(Failure::Broken),
            })
        }
    }
}

async fn exchange(
    session: &mut HttpSession,
    request: RequestHeader,
    body: &Bytes,
    forward: &Forward,
) -> pingora::Result<Option<Bytes>> {
    session.set_write_timeout(forward.idle_timeout);
    session.set_read_timeout(forward.first_byte_timeout);
    session.write_request_header(Box::new(request)).await?;
    let written = async {
        session.write_request_body(body.clone(), true).await?;
        session.finish_request_body().await
    };
    let written = written.await;
    // An engine may refuse a body before it has read all of it: then the answer counts.
    loop {
        match (session.read_response_header().await, &written) {
            (Ok(()), _) => {}
            (Err(error), Ok(())) => return Err(error),
            (Err(_), Err(_)) => return written.map(|()| None),
        }
        let is_informational = session
            .response_header()
            .is_some_and(|answer| answer.status.is_informational());
        if !is_informational {
            break;
        }
    }
    let mut first = session.read_response_body().await?;
    while first.as_ref().is_some_and(Bytes::is_empty) {
        first = session.read_response_body().await?;
    }
    session.set_read_timeout(forward.idle_timeout);
    Ok(first)
}

impl Answer {
    /// Status and headers.
    #[must_use]
    pub fn header(&self) -> &ResponseHeader {
        self.session
            .response_header()
            .expect("invariant: an answer exists once its header is read")
    }

    /// The first bytes of the body, until they are taken by [`Answer::next`]; empty where it has none.
    #[must_use]
    pub fn first(&self) -> &[u8] {
        self.first.as_deref().unwrap_or_default()
    }

    /// The next bytes of the body, none at its end.
    ///
    /// # Errors
    /// Where the endpoint breaks off or falls silent.
    pub async fn next(&mut self) -> pingora::Result<Option<Bytes>> {
        match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.session.read_response_body().await,
        }
    }

    /// The whole answer was read: the connection may serve again.
    pub async fn release(mut self, connector: &Connector) {
        if self.keepalive.is_none() {
            return self.abort().await;
        }
        if let HttpSession::H1(session) = &mut self.session {
            session.respect_keepalive();
        }
        connector
            .release_http_session(self.session, &self.peer, self.keepalive)
            .await;
    }

    /// Nobody wants the rest: closes, so that the engine stops working at once.
    pub async fn abort(mut self) {
        self.session.shutdown().await;
    }
}

/// How Pingora is told where an endpoint is.
#[must_use]
pub fn peer(endpoint: &Endpoint, forward: &Forward) -> HttpPeer {
    let spec = &endpoint.spec;
    let host = if spec.tls {
        host_of(&spec.authority).to_owned()
    } else {
        String::new()
    };
    let mut peer = HttpPeer::new(spec.address, spec.tls, host);
    peer.options.connection_timeout = Some(forward.connect_timeout);
    peer.options.total_connection_timeout = Some(forward.connect_timeout);
    peer.options.idle_timeout = forward.keepalive;
    if spec.tls {
        peer.options.alpn = ALPN::H2H1;
    } else if spec.h2c {
        peer.options.alpn = ALPN::H2;
    }
    peer
}

fn host_of(authority: &str) -> &str {
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}
