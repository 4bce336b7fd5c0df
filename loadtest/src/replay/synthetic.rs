//! A multi-turn workload for when no trace is at hand: groups of conversations that share a
//! system message, arriving at random.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::load::{Conversation, Script, Session, Turn};

/// Most requests one synthetic load may have.
const REQUESTS_MAX: u64 = 10_000_000;

/// Shape of the workload, written as `sessions=40,turns=5,...`; every key is optional.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticOptions {
    /// `sessions`: conversations.
    pub sessions: u64,
    /// `turns`: requests of each.
    pub turns: u64,
    /// `groups`: different system messages; session i uses number i modulo this.
    pub groups: u64,
    /// `shared`: tokens of a system message.
    pub shared_tokens: u64,
    /// `user`: tokens of each user message.
    pub user_tokens: u64,
    /// `output`: tokens of each answer.
    pub output_tokens: u64,
    /// `think_ms`: mean time between an answer and the next turn, uniform in 0.5..1.5 times this.
    pub think_ms: u64,
    /// `rate`: sessions that arrive per second, Poisson.
    pub rate: f64,
    /// `seed`: of everything random.
    pub seed: u64,
}

impl Default for SyntheticOptions {
    fn default() -> Self {
        Self {
            sessions: 40,
            turns: 5,
            groups: 1,
            shared_tokens: 2000,
            user_tokens: 200,
            output_tokens: 64,
            think_ms: 1000,
            rate: 4.0,
            seed: 1,
        }
    }
}

/// Why a description of a workload was not understood. The caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntheticError {
    /// A part without `=`.
    #[error("{part:?} is not key=value")]
    NotKeyValue {
        /// The part.
        part: String,
    },
    /// A key that does not exist.
    #[error(
        "unknown key {key:?}; known: sessions, turns, groups, shared, user, output, think_ms, rate, seed"
    )]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A value that is no number or out of range.
    #[error("{key}={value} is out of range; {expected}")]
    OutOfRange {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
}

impl FromStr for SyntheticOptions {
    type Err = SyntheticError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut options = Self::default();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| SyntheticError::NotKeyValue {
                    part: part.to_owned(),
                })?;
            options.set(key, value)?;
        }
        let requests = options.sessions.saturating_mul(options.turns);
        if requests > REQUESTS_MAX {
            let expected = "sessions times turns must be at most 10 million";
            return Err(out_of_range(
                "sessions",
                &options.sessions.to_string(),
                expected,
            ));
        }
        Ok(options)
    }
}

impl SyntheticOptions {
    fn set(&mut self, key: &str, value: &str) -> Result<(), SyntheticError> {
        let count = || {
            value
                .parse()
                .map_err(|_| out_of_range(key, value, "a whole number is expected"))
        };
        let positive = || match count() {
            Ok(0) => Err(out_of_range(key, value, "at least 1 is expected")),
            other => other,
        };
        match key {
            "sessions" => self.sessions = positive()?,
            "turns" => self.turns = positive()?,
            "groups" => self.groups = positive()?,
            "shared" => self.shared_tokens = count()?,
            "user" => self.user_tokens = positive()?,
            "output" => self.output_tokens = positive()?,
            "think_ms" => self.think_ms = count()?,
            "seed" => self.seed = count()?,
            "rate" => {
                self.rate = value
                    .parse()
                    .ok()
                    .filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
                    .ok_or_else(|| out_of_range(key, value, "a number above 0 is expected"))?;
            }
            _ => {
                return Err(SyntheticError::UnknownKey {
                    key: key.to_owned(),
                });
            }
        }
        Ok(())
    }
}

impl fmt::Display for SyntheticOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "synthetic: sessions={},turns={},groups={},shared={},user={},output={},think_ms={},rate={},seed={}",
            self.sessions,
            self.turns,
            self.groups,
            self.shared_tokens,
            self.user_tokens,
            self.output_tokens,
            self.think_ms,
            self.rate,
            self.seed
        )
    }
}

fn out_of_range(key: &str, value: &str, expected: &'static str) -> SyntheticError {
    SyntheticError::OutOfRange {
        key: key.to_owned(),
        value: value.to_owned(),
        expected,
    }
}

/// The sessions of a workload; equal options give equal sessions.
pub(super) fn sessions(options: &SyntheticOptions) -> Vec<Session> {
    let mut rng = SmallRng::seed_from_u64(options.seed);
    let mut starts_at = Duration::ZERO;
    (0..options.sessions)
        .map(|id| {
            let session = Session {
                id,
                starts_at,
                script: Script::Conversation(conversation(options, id, &mut rng)),
            };
            // Exponential gaps make the arrivals Poisson; 1 - x is never 0.
            let gap_s = -(1.0 - rng.random::<f64>()).ln() / options.rate;
            starts_at += Duration::from_secs_f64(gap_s);
            session
        })
        .collect()
}

fn conversation(options: &SyntheticOptions, id: u64, rng: &mut SmallRng) -> Conversation {
    // System messages are equal within a group and for equal seeds; user messages never are.
    let salt = options.seed << 32;
    let mut turn = |_| Turn {
        text_id: rng.random(),
        tokens: options.user_tokens,
        think: Duration::from_millis(options.think_ms).mul_f64(0.5 + rng.random::<f64>()),
    };
    Conversation {
        turns: (0..options.turns).map(&mut turn).collect(),
        system: Turn {
            text_id: salt + id % options.groups,
            tokens: options.shared_tokens,
            think: Duration::ZERO,
        },
        output_tokens: options.output_tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read_back() {
        let options: SyntheticOptions = "sessions=3, turns=2,shared=100,rate=0.5".parse().unwrap();
        assert_eq!(
            (options.sessions, options.turns, options.shared_tokens),
            (3, 2, 100)
        );
        assert_eq!(options.user_tokens, SyntheticOptions::default().user_tokens);
        let printed = options.to_string();
        let parsed: SyntheticOptions = printed
            .strip_prefix("synthetic: ")
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(parsed, options);
    }

    #[test]
    fn nonsense_is_refused_with_the_key() {
        for (text, word) in [
            ("sessions", "key=value"),
            ("session=3", "unknown key"),
            ("sessions=0", "at least 1"),
            ("turns=-1", "whole number"),
            ("rate=0", "above 0"),
            ("rate=inf", "above 0"),
            ("sessions=10000001,turns=1", "10 million"),
        ] {
            let error = text.parse::<SyntheticOptions>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        assert!(
            "sessions=10000000,turns=1"
                .parse::<SyntheticOptions>()
                .is_ok()
        );
    }

    #[test]
    fn equal_seeds_are_equal_loads_and_the_rate_is_kept() {
        let options = SyntheticOptions {
            sessions: 4000,
            rate: 10.0,
            ..SyntheticOptions::default()
        };
        let planned = sessions(&options);
        assert_eq!(planned, sessions(&options));
        let last_s = planned.last().unwrap().starts_at.as_secs_f64();
        assert!(
            (350.0..450.0).contains(&last_s),
            "4000 sessions at 10 a second took {last_s} s"
        );
    }

    #[test]
    fn groups_share_a_system_message_and_nothing_else() {
        let options = SyntheticOptions {
            sessions: 4,
            groups: 2,
            ..SyntheticOptions::default()
        };
        let conversations: Vec<Conversation> = sessions(&options)
            .into_iter()
            .map(|session| match session.script {
                Script::Conversation(conversation) => conversation,
                Script::Recorded { .. } => panic!("a synthetic session is a conversation"),
            })
            .collect();
        assert_eq!(conversations[0].system, conversations[2].system);
        assert_ne!(conversations[0].system, conversations[1].system);
        assert_ne!(
            conversations[0].turns[0].text_id,
            conversations[2].turns[0].text_id
        );
    }
}
