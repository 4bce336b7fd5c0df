//! The way of a request through the gateway.
//!
//! ```text
//! inference POST   body -> plan (parse, route, hash, decide) -> retry { forward } -> relay
//!                  where nobody of the target can take it: plan again for its fallback
//!                  and beside it, for some: a copy to the route's mirror
//! anything else    passthrough: Pingora's own loop, to a lightly loaded endpoint
//! both             context: what is known of the request, counted and logged at its end
//! ```
//!
//! Inference requests are forwarded inside Pingora's request filter, over Pingora's connectors: its
//! own loop would lose bodies longer than its retry buffer of 64 KiB once they have been read
//! (decision 0002).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::{Method, header};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};
use serde_json::Value;
use warmgate_routing::request::Api;

use crate::error::GatewayError;

mod answer;
pub mod body;
pub mod context;
pub mod exchange;
pub mod explain;
pub mod fallback;
pub mod forward;
pub mod guards;
pub mod headers;
pub mod ledger;
pub mod live;
pub mod mirror;
mod models;
pub mod passthrough;
pub mod plan;
pub mod relay;
mod request_id;
pub mod retry;
pub mod stop;
pub mod target;
pub mod underway;

use context::Context;
use ledger::Ledger;
use live::Live;
use mirror::Mirrors;
use stop::Stop;
use underway::UnderwayCount;

/// The proxy service: what Pingora calls for each request.
pub struct Gateway {
    live: Arc<ArcSwap<Live>>,
    connector: Arc<Connector>,
    mirrors: Mirrors,
    ledger: Ledger,
    underway: UnderwayCount,
    is_draining: Arc<AtomicBool>,
}

impl Gateway {
    /// A gateway for whatever `live` holds at the time of each request.
    #[must_use]
    pub fn new(
        live: Arc<ArcSwap<Live>>,
        ledger: Ledger,
        underway: UnderwayCount,
        is_draining: Arc<AtomicBool>,
        connector: Option<ConnectorOptions>,
    ) -> Gateway {
        let connector = Arc::new(Connector::new(connector));
        Gateway {
            live,
            mirrors: Mirrors::new(Arc::clone(&connector)),
            connector,
            ledger,
            underway,
            is_draining,
        }
    }
}

impl Gateway {
    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// What is answered without an engine, if anything.
    fn own_answer(
        &self,
        request: &RequestHeader,
        context: &Context,
    ) -> Option<Result<Value, GatewayError>> {
        if self.is_draining() {
            return Some(Err(GatewayError::ShuttingDown));
        }
        let path = request.uri.path();
        if passthrough::is_engine_control(path) {
            return Some(Err(GatewayError::EngineControl));
        }
        models::answer(&context.live, &request.method, path)
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context::new(self.live.load_full(), self.underway.enter())
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> pingora::Result<bool> {
        session.as_downstream_mut().set_pipelining_enabled(true);
        let request = session.req_header();
        context.request_id = request_id::honoured_or_made(&request.headers);
        let is_post = request.method == Method::POST;
        context.api = Api::from_path(request.uri.path()).filter(|_| is_post);
        let own = self.own_answer(request, context);
        if self.is_draining() {
            session.as_downstream_mut().set_keepalive(None);
        }
        match (own, context.api) {
            (Some(Ok(document)), _) => answer::json(session, context, &document).await?,
            (Some(Err(error)), _) => answer::error(session, context, error).await?,
            (None, None) => return Ok(false),
            (None, Some(api)) => {
                let senders = (&*self.connector, &self.mirrors);
                let outcome = exchange::serve(senders, session, api, context).await;
                return finish(session, context, outcome).await;
            }
        }
        Ok(true)
    }

    async fn upstream_peer(
        &self,
        _: &mut Session,
        context: &mut Context,
    ) -> pingora::Result<Box<HttpPeer>> {
        passthrough::choose(context).map_err(|error| {
            let status = error.status().as_u16();
            context.error = Some(error);
            Error::new(ErrorType::HTTPStatus(status))
        })
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        headers::strip_internal(request);
        request.insert_header(headers::REQUEST_ID, context.request_id.clone())?;
        if let Some(endpoint) = &context.endpoint {
            request.insert_header(header::HOST, &*endpoint.spec.authority)?;
        }
        Ok(())
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        context: &mut Context,
        mut error: Box<Error>,
    ) -> Box<Error> {
        error.set_retry(passthrough::note_unreachable(context));
        error
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        context: &mut Context,
    ) -> pingora::Result<()> {
        context.status = Some(response.status);
        if let Some(endpoint) = context
            .endpoint
            .as_ref()
            .filter(|_| context.live.response_headers.endpoint)
        {
            response.insert_header(headers::ENDPOINT, &*endpoint.spec.authority)?;
        }
        Ok(())
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        context: &mut Context,
    ) -> FailToProxy {
        context.is_client_gone |= *error.esource() == ErrorSource::Downstream;
        let is_answered = session.response_written().is_some();
        if !is_answered && !context.is_client_gone {
            let ours = context.error.take().unwrap_or_else(|| why(error));
            // A client that is gone by now cannot be told anyway.
            let _ = answer::error(session, context, ours).await;
        }
        let error_code = context.status.map_or(0, |status| status.as_u16());
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        // The access log and the metrics have it; Pingora's line would repeat the path's query.
        true
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, context: &mut Context) {
        context.passing = None;
        self.ledger.enter(session, context);
    }
}

/// Ends an exchange that was served here: `Ok(true)` tells Pingora that nothing is left to do.
async fn finish(
    session: &mut Session,
    context: &mut Context,
    outcome: Result<(), Stop>,
) -> pingora::Result<bool> {
    match outcome {
        Ok(()) => {}
        Err(Stop::Answer(error)) => answer::error(session, context, error).await?,
        Err(Stop::ClientGone) => {
            context.is_client_gone = true;
            session.as_downstream_mut().set_keepalive(None);
        }
        Err(Stop::Cut) => return Err(Error::new_up(ErrorType::ConnectionClosed)),
    }
    Ok(true)
}

/// Pingora's failure to forward, in our words.
fn why(error: &Error) -> GatewayError {
    match error.etype() {
        ErrorType::ConnectTimedout
        | ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::ConnectProxyFailure => GatewayError::EndpointUnreachable,
        _ if *error.esource() == ErrorSource::Upstream => GatewayError::EndpointBroken,
        _ => GatewayError::Internal {
            detail: error.to_string(),
        },
    }
}
