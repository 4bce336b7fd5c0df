//! What is seen of a target's requests, and how often.

use std::time::Duration;

use serde::Serialize;

use crate::units::Tokens;

/// What went wrong behind the gateway with a request that had a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ErrorClass {
    /// The engine refused the request (4xx); mostly the client's fault, so never held against it.
    Status4xx,
    /// The engine answered with an error of its own (5xx).
    Status5xx,
    /// No connection to any endpoint tried.
    Connect,
    /// The connection broke before an answer.
    Broken,
    /// No answer began in time.
    Timeout,
    /// No endpoint took requests.
    NoEndpoint,
    /// The answer broke off, or an error came inside it.
    MidStream,
    /// The answer ended, with a finish reason that says that the engine gave it up. It is abnormal,
    /// and judged apart from errors.
    GivenUp,
}

impl ErrorClass {
    /// Every class.
    pub const ALL: [ErrorClass; 8] = [
        ErrorClass::Status4xx,
        ErrorClass::Status5xx,
        ErrorClass::Connect,
        ErrorClass::Broken,
        ErrorClass::Timeout,
        ErrorClass::NoEndpoint,
        ErrorClass::MidStream,
        ErrorClass::GivenUp,
    ];

    /// Its name in metric labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            ErrorClass::Status4xx => "4xx",
            ErrorClass::Status5xx => "5xx",
            ErrorClass::Connect => "connect",
            ErrorClass::Broken => "broken",
            ErrorClass::Timeout => "timeout",
            ErrorClass::NoEndpoint => "no_endpoint",
            ErrorClass::MidStream => "mid_stream",
            ErrorClass::GivenUp => "given_up",
        }
    }

    /// Whether it comes after the answer has begun.
    #[must_use]
    pub fn is_late(self) -> bool {
        matches!(self, ErrorClass::MidStream | ErrorClass::GivenUp)
    }
}

/// Something seen of a request. What clients break off is none of these.
///
/// A request counts when its answer begins, not when it ends: answers that end badly end early, and
/// for as long as the good ones are under way a canary would seem to do nothing but fail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Observation {
    /// The answer has begun, and it is none of an error.
    Begun {
        /// Time to first token; of an answer that is not streamed, to all of it.
        ttft: Duration,
        /// Whether it is streamed.
        is_stream: bool,
        /// Tokens of its prompt that had to be computed.
        uncached: Tokens,
    },
    /// It failed; after `Begun` where the class is late, else instead of it.
    Failed(ErrorClass),
    /// The answer has come to its end; after `Begun`.
    Finished {
        /// Time per output token; none where it has not two of them.
        tpot: Option<Duration>,
    },
}

impl Observation {
    /// Whether it speaks against the target.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        matches!(self, Observation::Failed(class) if *class != ErrorClass::Status4xx)
    }
}

/// How often what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests whose answer has begun or will not.
    pub requests: u32,
    /// In the order of [`ErrorClass::ALL`].
    by_class: [u32; ErrorClass::ALL.len()],
}

impl Counts {
    /// So many errors of a class.
    #[must_use]
    pub fn of(&self, class: ErrorClass) -> u32 {
        self.by_class[class as usize]
    }

    /// Errors of all classes that are held against a target, abnormal ends aside.
    #[must_use]
    pub fn errors(&self) -> u32 {
        let held =
            |class: &&ErrorClass| !matches!(class, ErrorClass::Status4xx | ErrorClass::GivenUp);
        let classes = ErrorClass::ALL.iter().filter(held);
        classes.fold(0, |sum, class| sum.saturating_add(self.of(*class)))
    }

    /// Answers that ended as they should not.
    #[must_use]
    pub fn abnormal(&self) -> u32 {
        self.of(ErrorClass::GivenUp)
    }

    pub(super) fn note(&mut self, observation: &Observation) {
        let is_request = match observation {
            Observation::Begun { .. } => true,
            Observation::Failed(class) => {
                let count = &mut self.by_class[*class as usize];
                *count = count.saturating_add(1);
                !class.is_late()
            }
            Observation::Finished { .. } => false,
        };
        self.requests = self.requests.saturating_add(u32::from(is_request));
    }

    pub(super) fn merge(&mut self, other: &Counts) {
        self.requests = self.requests.saturating_add(other.requests);
        for (mine, theirs) in self.by_class.iter_mut().zip(other.by_class) {
            *mine = mine.saturating_add(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_counts_once_and_has_a_name_of_its_own() {
        let mut counts = Counts::default();
        for (place, class) in ErrorClass::ALL.into_iter().enumerate() {
            assert_eq!(class as usize, place);
            counts.note(&Observation::Failed(class));
            assert_eq!(counts.of(class), 1);
        }
        assert_eq!(counts.requests, 6, "two come after their answer has begun");
        assert_eq!((counts.errors(), counts.abnormal()), (6, 1));
        let mut labels = ErrorClass::ALL.map(ErrorClass::label).to_vec();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), ErrorClass::ALL.len());
    }
}
