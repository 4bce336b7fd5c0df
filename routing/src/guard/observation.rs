//! What is seen of a target's requests, and how often.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::Tokens;

/// Why a request failed, where that is the target's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorClass {
    /// No endpoint could be reached, or there is none.
    #[serde(rename = "connect")]
    Connect,
    /// The connection broke or timed out before an answer.
    #[serde(rename = "no_answer")]
    NoAnswer,
    /// The answer is an error of the engine's own.
    #[serde(rename = "5xx")]
    Status5xx,
    /// The answer began well and broke, stopped or turned into an error.
    #[serde(rename = "mid_stream")]
    MidStream,
}

impl ErrorClass {
    /// All of them, in the order of [`Counts::errors`].
    pub const ALL: [ErrorClass; 4] = [
        ErrorClass::Connect,
        ErrorClass::NoAnswer,
        ErrorClass::Status5xx,
        ErrorClass::MidStream,
    ];

    /// The name in metric labels: `connect`, `no_answer`, `5xx` or `mid_stream`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorClass::Connect => "connect",
            ErrorClass::NoAnswer => "no_answer",
            ErrorClass::Status5xx => "5xx",
            ErrorClass::MidStream => "mid_stream",
        }
    }
}

/// Something seen of a request. What clients do wrong or break off is none of these.
///
/// A request counts when its answer begins, not when it ends: answers that end badly end early, and
/// for as long as the good ones are under way a canary would seem to do nothing but fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observation {
    /// The answer has begun: its first token, or all of it where it is not streamed.
    Begun {
        /// Time to first token; none where the answer is not streamed.
        ttft: Option<Duration>,
        /// Tokens of its prompt that had to be computed.
        uncached: Tokens,
    },
    /// It failed. [`ErrorClass::MidStream`] comes after `Begun`, the others come instead of it.
    Failed(ErrorClass),
    /// The answer has come to its end; comes after `Begun`.
    Finished {
        /// It ended as answers should not, such as cut off at a length or by a filter.
        is_abnormal: bool,
        /// Time per output token; none where it has not two of them.
        tpot: Option<Duration>,
    },
}

impl Observation {
    /// Whether it speaks against the target.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        match self {
            Observation::Begun { .. } => false,
            Observation::Failed(_) => true,
            Observation::Finished { is_abnormal, .. } => *is_abnormal,
        }
    }
}

/// How often what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests whose answer has begun or will not.
    pub requests: u32,
    /// Errors in the order of [`ErrorClass::ALL`].
    pub errors: [u32; ErrorClass::ALL.len()],
    /// Answers that ended as they should not.
    pub abnormal: u32,
}

impl Counts {
    /// Errors of all classes.
    #[must_use]
    pub fn errors_total(&self) -> u32 {
        self.errors.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    pub(super) fn note(&mut self, observation: &Observation) {
        let is_request = match observation {
            Observation::Begun { .. } => true,
            Observation::Failed(class) => *class != ErrorClass::MidStream,
            Observation::Finished { .. } => false,
        };
        self.merge(&Counts {
            requests: u32::from(is_request),
            errors: ErrorClass::ALL
                .map(|class| u32::from(*observation == Observation::Failed(class))),
            abnormal: u32::from(matches!(
                observation,
                Observation::Finished {
                    is_abnormal: true,
                    ..
                }
            )),
        });
    }

    pub(super) fn merge(&mut self, other: &Counts) {
        self.requests = self.requests.saturating_add(other.requests);
        self.abnormal = self.abnormal.saturating_add(other.abnormal);
        for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_labels() {
        for class in ErrorClass::ALL {
            let written = serde_json::to_value(class).unwrap();
            assert_eq!(written, class.as_str());
        }
    }
}
