//! Reading the whole request body, within a limit.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pingora::proxy::Session;
use pingora::{Error, ErrorType};

use crate::error::GatewayError;
use crate::proxy::stop::Stop;

/// Room reserved at once for a body that announces its length; a longer one grows as it arrives,
/// so that an announcement alone costs no memory.
const RESERVE_BYTES_MAX: usize = 1 << 20;

/// Longest silence within a body.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Reads the body to its end, in whatever framing it comes.
///
/// # Errors
/// Where it is longer than `limit_bytes` (known at once from an announced length), where its chunks
/// are none, where it stays out for [`SILENCE_MAX`], or where the client goes away.
pub async fn read(session: &mut Session, limit_bytes: usize) -> Result<Bytes, Stop> {
    let announced = announced_bytes(session);
    if announced.is_some_and(|bytes| bytes > limit_bytes) {
        return Err(too_large(limit_bytes));
    }
    let downstream = session.as_downstream_mut();
    let expects_continue = downstream
        .get_header("expect")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if expects_continue {
        downstream
            .write_continue_response()
            .await
            .map_err(|_| Stop::ClientGone)?;
    }
    downstream.set_read_timeout(Some(SILENCE_MAX));
    let Some(first) = next(session).await? else {
        return Ok(Bytes::new());
    };
    if announced == Some(first.len()) {
        return Ok(first);
    }
    let reserve = announced.unwrap_or(first.len()).min(RESERVE_BYTES_MAX);
    let mut body = BytesMut::with_capacity(reserve.max(first.len()));
    let mut chunk = Some(first);
    while let Some(bytes) = chunk {
        if body.len() + bytes.len() > limit_bytes {
            return Err(too_large(limit_bytes));
        }
        body.extend_from_slice(&bytes);
        chunk = next(session).await?;
    }
    Ok(body.freeze())
}

async fn next(session: &mut Session) -> Result<Option<Bytes>, Stop> {
    let downstream = session.as_downstream_mut();
    match downstream.read_request_body().await {
        Ok(chunk) => Ok(chunk),
        Err(error) => {
            // Where this body ends is unknown, so another request cannot follow it.
            downstream.set_keepalive(None);
            Err(why(&error))
        }
    }
}

fn why(error: &Error) -> Stop {
    match error.etype() {
        ErrorType::ReadTimedout => Stop::Answer(GatewayError::BodyTimeout { limit: SILENCE_MAX }),
        // Pingora's names; its constants are private.
        ErrorType::Custom("InvalidChunk" | "InvalidTrailerEnd") => {
            Stop::Answer(GatewayError::BadFraming {
                reason: "broken chunks",
            })
        }
        _ => Stop::ClientGone,
    }
}

fn announced_bytes(session: &Session) -> Option<usize> {
    let value = session
        .req_header()
        .headers
        .get(http::header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

fn too_large(limit_bytes: usize) -> Stop {
    Stop::Answer(GatewayError::BodyTooLarge {
        limit_bytes: limit_bytes as u64,
    })
}
