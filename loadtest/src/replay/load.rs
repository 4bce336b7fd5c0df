//! What is to be sent and when, before anything is sent.

use std::time::Duration;

use super::synthetic::{self, SyntheticOptions};
use crate::trace::{Trace, TraceRequest};

/// Sessions in order of arrival.
#[derive(Clone, Debug)]
pub struct Load {
    /// One line for people: where the load comes from.
    pub description: String,
    /// In order of arrival.
    pub sessions: Vec<Session>,
}

/// One client.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Its number; equal for recorded requests of one conversation.
    pub id: u64,
    /// When its first request is due, since the start of the run.
    pub starts_at: Duration,
    /// What it does.
    pub script: Script,
}

/// What a session sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Script {
    /// One recorded request.
    Recorded {
        /// As read from the trace.
        request: TraceRequest,
        /// Tokens in one block of the trace.
        block_tokens: u64,
        /// Seeds what the blocks do not cover; unlike any block id.
        own_id: u64,
    },
    /// A conversation in closed loop.
    Conversation(Conversation),
}

/// A conversation whose every turn repeats all before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// Text of the system message: seed and length in tokens. Equal seeds are equal text.
    pub system: Turn,
    /// The user's messages in order; `think` comes before each but the first.
    pub turns: Vec<Turn>,
    /// Length of every answer in tokens.
    pub output_tokens: u64,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Seeds the text.
    pub text_id: u64,
    /// Length in tokens.
    pub tokens: u64,
    /// How long the user thinks before sending it.
    pub think: Duration,
}

/// Own ids begin here; block ids of known traces are far below.
const OWN_IDS_FROM: u64 = 1 << 60;

impl Load {
    /// Every recorded request at its time.
    pub fn recorded(description: impl Into<String>, trace: Trace) -> Self {
        let block_tokens = trace.block_tokens;
        let session = |(index, request): (u64, TraceRequest)| Session {
            id: request.session.unwrap_or(index),
            starts_at: request.at,
            script: Script::Recorded {
                request,
                block_tokens,
                own_id: OWN_IDS_FROM + index,
            },
        };
        Self {
            description: description.into(),
            sessions: (0..).zip(trace.requests).map(session).collect(),
        }
    }

    /// Conversations that never happened.
    pub fn synthetic(options: &SyntheticOptions) -> Self {
        Self {
            description: options.to_string(),
            sessions: synthetic::sessions(options),
        }
    }

    /// Requests that will be sent if none fails.
    pub fn requests(&self) -> usize {
        self.sessions
            .iter()
            .map(|session| session.script.requests())
            .sum()
    }
}

impl Script {
    fn requests(&self) -> usize {
        match self {
            Self::Recorded { .. } => 1,
            Self::Conversation(conversation) => conversation.turns.len(),
        }
    }
}
