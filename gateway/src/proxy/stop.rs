//! The ways in which an exchange ends before an endpoint's answer is complete.

use crate::error::GatewayError;

/// Why to stop.
#[derive(Debug)]
pub enum Stop {
    /// The gateway answers by itself.
    Answer(GatewayError),
    /// There is nobody left to answer.
    ClientGone,
    /// The answer had begun and cannot be completed: the client's connection is cut, so that what
    /// it has cannot be taken for the whole.
    Cut,
}

impl Stop {
    /// Something that cannot happen has happened.
    #[must_use]
    pub fn bug(detail: String) -> Stop {
        Stop::Answer(GatewayError::Internal { detail })
    }
}

impl<E: Into<GatewayError>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Answer(error.into())
    }
}
