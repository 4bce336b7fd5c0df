//! The id under which a request is known here, at the engine, and to the client.

use http::{HeaderMap, HeaderValue};
use rand::RngCore;

use crate::proxy::{headers, plan};

/// The client's own id where it is fit to be passed on, else a new one: 128 random bits in hex.
#[must_use]
pub fn honoured_or_made(request: &HeaderMap) -> HeaderValue {
    headers::client_request_id(request).unwrap_or_else(|| {
        let bits =
            plan::with_rng(|rng| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()));
        HeaderValue::from_str(&format!("{bits:032x}"))
            .expect("invariant: hex digits are a header value")
    })
}
