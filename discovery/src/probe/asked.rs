//! What became of asking an endpoint.

use http::StatusCode;

use crate::events::ProbeFailure;
use crate::http_get::GetError;
use crate::models::ModelsError;
use crate::scrape::PageError;

/// What was read, or why not.
pub(super) type Reading<T> = Result<T, AskError>;

/// Why an endpoint told nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Get(#[from] GetError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Models(#[from] ModelsError),
    #[error("no metrics page where engines have one")]
    NoPage,
}

impl AskError {
    pub(super) fn failure(&self) -> ProbeFailure {
        match self {
            AskError::Get(error) => error.failure(),
            AskError::Page(PageError::TooManySeries) => ProbeFailure::TooLarge,
            AskError::Page(_) | AskError::Models(_) | AskError::NoPage => ProbeFailure::Unreadable,
        }
    }

    /// Whether the page may be found at another place: somebody answered, but not with it.
    pub(super) fn may_be_elsewhere(&self) -> bool {
        matches!(
            self.failure(),
            ProbeFailure::Status | ProbeFailure::Unreadable
        )
    }

    pub(super) fn is_no_such_route(&self) -> bool {
        matches!(self, AskError::Get(GetError::Status(StatusCode::NOT_FOUND)))
    }
}

/// How the last attempt ended, so that only changes are logged.
#[derive(Default)]
pub(super) struct Outcome {
    last: Option<Option<ProbeFailure>>,
}

impl Outcome {
    /// True where this attempt ended otherwise than the one before, or is the first.
    pub(super) fn note(&mut self, failure: Option<ProbeFailure>) -> bool {
        self.last.replace(failure) != Some(failure)
    }

    pub(super) fn is_failing(&self) -> bool {
        matches!(self.last, Some(Some(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_told() {
        let mut outcome = Outcome::default();
        let timeout = Some(ProbeFailure::Timeout);
        let seen = [
            None,
            None,
            timeout,
            timeout,
            Some(ProbeFailure::Refused),
            None,
        ];
        let told = seen.map(|failure| outcome.note(failure));
        assert_eq!(told, [true, false, true, false, true, true]);
    }
}
