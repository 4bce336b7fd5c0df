//! Every API the engine speaks is one file here that turns a body into a [`Call`] and a
//! stream of tokens back into that API's shape; the rest of the engine does not know them.
//!
//! Shapes follow responses recorded from vLLM 0.32.0. To add an API, add its file and a line to
//! [`APIS`].

mod chat;
mod completions;
mod embeddings;
mod error;
mod logprobs;
mod messages;
mod openai;
mod responses;
mod template;
mod tokenize;
mod tool_call;

pub(super) use error::ApiError;
pub(super) use tokenize::tokenize;

use super::config::{CHOICES_MAX, DEFAULT_OUTPUT_TOKENS};
use super::prompt::Prompt;

type Parse = fn(&[u8], Defaults<'_>) -> Result<Call, ApiError>;

/// Path and parser of every inference API.
const APIS: [(&str, Parse); 5] = [
    ("/v1/chat/completions", chat::parse),
    ("/v1/completions", completions::parse),
    ("/v1/embeddings", embeddings::parse),
    ("/v1/responses", responses::parse),
    ("/v1/messages", messages::parse),
];

/// The parser for `path`, if it is an inference API.
pub(super) fn parser(path: &str) -> Option<Parse> {
    APIS.iter()
        .find(|(known, _)| *known == path)
        .map(|(_, parse)| *parse)
}

/// What fills the gaps of a body.
#[derive(Clone, Copy)]
pub(super) struct Defaults<'a> {
    /// Served model when the body names none, as vLLM does.
    pub model: &'a str,
}

/// What a client asked for, whatever the API.
pub(super) struct Call {
    pub model: String,
    pub prompts: Vec<Prompt>,
    /// Answers to each prompt, at least 1.
    pub n: usize,
    pub output: OutputLimit,
    /// Lower is admitted earlier.
    pub priority: i64,
    pub stream: bool,
    pub reply: Box<dyn Reply>,
}

/// How long the answer will be and why it ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutputLimit {
    pub tokens: u64,
    pub finish: Finish,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// The client's limit was reached.
    Length,
    /// The model was done; here: the client set no limit.
    Stop,
}

impl Finish {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Stop => "stop",
        }
    }
}

impl OutputLimit {
    /// `asked` is the body's limit under the name `param`.
    pub(super) fn new(asked: Option<u64>, param: &'static str) -> Result<Self, ApiError> {
        match asked {
            Some(0) => Err(ApiError::parameter(
                param,
                format!("{param} must be at least 1, got 0. (parameter={param}, value=0)"),
            )),
            Some(tokens) => Ok(Self {
                tokens,
                finish: Finish::Length,
            }),
            None => Ok(Self {
                tokens: DEFAULT_OUTPUT_TOKENS,
                finish: Finish::Stop,
            }),
        }
    }
}

/// `n` of a body, checked together with the number of prompts.
pub(super) fn choices(n: Option<usize>, prompts: usize) -> Result<usize, ApiError> {
    let n = n.unwrap_or(1);
    if n == 0 || n.saturating_mul(prompts) > CHOICES_MAX {
        let message = format!("n times prompts must be between 1 and {CHOICES_MAX}");
        return Err(ApiError::parameter("n", message));
    }
    Ok(n)
}

/// What every chunk of one response repeats.
pub(super) struct Head {
    /// The request's id without the API's prefix, from `x-request-id` or made up; needs no
    /// escaping in JSON.
    pub id: String,
    /// A JSON string, quotes included.
    pub model: String,
    /// Unix seconds.
    pub created: u64,
}

/// Token counts of one response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub prompt_tokens: u64,
    pub cached_tokens: u64,
    pub completion_tokens: u64,
}

/// One token of a stream.
#[derive(Clone, Copy)]
pub(super) struct StreamToken<'a> {
    pub choice: usize,
    /// 0 for the first of its choice.
    pub index: u64,
    pub text: &'a str,
    /// Set on the last token.
    pub finish: Option<Finish>,
}

/// Writes responses in one API's shape. Streams are `opening`, `token`..., `closing`, each
/// appending complete server-sent events.
pub(super) trait Reply: Send + Sync {
    /// Before the first token of the whole response.
    fn opening(&self, head: &Head, usage: Usage, out: &mut String);
    /// One token.
    fn token(&self, head: &Head, token: StreamToken<'_>, out: &mut String);
    /// After the last token.
    fn closing(&self, head: &Head, end: &Ending, out: &mut String);
    /// The whole response at once.
    fn whole(&self, head: &Head, end: &Ending) -> String;
}

/// Everything known when all answers are complete.
pub(super) struct Ending {
    /// Answer texts in order of choice.
    pub texts: Vec<String>,
    pub finish: Finish,
    pub usage: Usage,
}

/// Appends `data: {json}` as one event.
fn push_data(out: &mut String, json: &str) {
    out.push_str("data: ");
    out.push_str(json);
    out.push_str("\n\n");
}

/// Appends a named event, as Anthropic's and the Responses API do.
fn push_event(out: &mut String, name: &str, json: &str) {
    out.push_str("event: ");
    out.push_str(name);
    out.push('\n');
    push_data(out, json);
}

/// `text` as a JSON string, quotes included.
pub(super) fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
