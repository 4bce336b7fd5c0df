//! Answers that the gateway gives by itself.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use serde_json::Value;

use crate::error::GatewayError;
use crate::proxy::context::Context;
use crate::proxy::headers;

/// How long the rest of a refused body is read and thrown away: a client that is cut off while it
/// still writes does not see the answer that says why.
const LINGER: Duration = Duration::from_secs(2);

/// Answers 200 with a JSON document.
///
/// # Errors
/// Where the client cannot be written to.
pub async fn json(
    session: &mut Session,
    context: &mut Context,
    document: &Value,
) -> pingora::Result<()> {
    let content_type = (
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let body = Bytes::from(document.to_string());
    write(session, context, StatusCode::OK, vec![content_type], body).await
}

/// Answers with an error in the shape of the request's API.
///
/// # Errors
/// Where the client cannot be written to.
pub async fn error(
    session: &mut Session,
    context: &mut Context,
    error: GatewayError,
) -> pingora::Result<()> {
    if let GatewayError::Internal { detail } = &error {
        tracing::error!(%detail, "invariant broken");
    }
    let request_id = context.request_id.to_str().unwrap_or_default();
    let response = error.response(context.error_shape(), request_id);
    context.error = Some(error);
    write(
        session,
        context,
        response.status,
        response.headers,
        response.body,
    )
    .await
}

async fn write(
    session: &mut Session,
    context: &mut Context,
    status: StatusCode,
    added: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
) -> pingora::Result<()> {
    context.status = Some(status);
    let mut response = ResponseHeader::build(status, Some(added.len() + 3))?;
    for (name, value) in added.into_iter().chain(context.target_header()) {
        response.insert_header(name, value)?;
    }
    response.insert_header(header::CONTENT_LENGTH, body.len())?;
    response.insert_header(headers::REQUEST_ID, context.request_id.clone())?;
    let downstream = session.as_downstream_mut();
    let has_unread = !downstream.is_body_done();
    if has_unread {
        downstream.set_keepalive(None);
    }
    downstream.write_response_header(Box::new(response)).await?;
    downstream.write_response_body(body, true).await?;
    if has_unread {
        // Neither a time-out nor a client that has left matters any more.
        let _ = tokio::time::timeout(LINGER, downstream.drain_request_body()).await;
    }
    Ok(())
}
