//! Request bodies, from scripts to JSON.

use bytes::Bytes;
use serde::Serialize;

use super::load::{Conversation, Turn};
use super::options::{PromptApi, ReplayOptions};
use crate::trace::block_text;

/// A request ready to be sent.
pub(super) struct Outgoing {
    pub path: &'static str,
    pub body: Bytes,
}

const CHAT_PATH: &str = "/v1/chat/completions";
const COMPLETIONS_PATH: &str = "/v1/completions";

/// One message as sent.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Message {
    pub role: &'static str,
    pub content: String,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Message]>,
    max_tokens: u64,
    temperature: u8,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ignore_eos: bool,
}

/// A recorded prompt for the API that the options name.
pub(super) fn recorded(
    options: &ReplayOptions,
    model: &str,
    prompt: String,
    output_tokens: u64,
) -> Outgoing {
    match options.prompt_api {
        PromptApi::Completions => Outgoing {
            path: COMPLETIONS_PATH,
            body: encode(&Body {
                prompt: Some(&prompt),
                ..empty(options, model, output_tokens)
            }),
        },
        PromptApi::Chat => chat(
            options,
            model,
            &[Message {
                role: "user",
                content: prompt,
            }],
            output_tokens,
        ),
    }
}

/// A conversation so far.
pub(super) fn chat(
    options: &ReplayOptions,
    model: &str,
    messages: &[Message],
    output_tokens: u64,
) -> Outgoing {
    let body = Body {
        messages: Some(messages),
        ..empty(options, model, output_tokens)
    };
    Outgoing {
        path: CHAT_PATH,
        body: encode(&body),
    }
}

/// The system message, if it has any text.
pub(super) fn opening(conversation: &Conversation) -> Vec<Message> {
    let system = &conversation.system;
    match system.tokens {
        0 => Vec::new(),
        _ => vec![Message {
            role: "system",
            content: text(system),
        }],
    }
}

/// A user message.
pub(super) fn user(turn: &Turn) -> Message {
    Message {
        role: "user",
        content: text(turn),
    }
}

fn text(turn: &Turn) -> String {
    let mut text = String::new();
    block_text(turn.text_id, turn.tokens, &mut text);
    text
}

fn empty<'a>(options: &ReplayOptions, model: &'a str, output_tokens: u64) -> Body<'a> {
    Body {
        model,
        prompt: None,
        messages: None,
        max_tokens: output_tokens,
        temperature: 0,
        stream: options.stream,
        stream_options: options.stream.then_some(StreamOptions {
            include_usage: true,
        }),
        ignore_eos: options.ignore_eos,
    }
}

fn encode(body: &Body<'_>) -> Bytes {
    Bytes::from(serde_json::to_vec(body).expect("invariant: strings and numbers become JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn decode(outgoing: &Outgoing) -> Value {
        serde_json::from_slice(&outgoing.body).unwrap()
    }

    #[test]
    fn bodies_are_plain_openai() {
        let mut options = ReplayOptions::new("http://x");
        let sent = recorded(&options, "m", "text".to_owned(), 5);
        assert_eq!(sent.path, COMPLETIONS_PATH);
        assert_eq!(
            decode(&sent),
            json!({"model": "m", "prompt": "text", "max_tokens": 5, "temperature": 0,
                   "stream": true, "stream_options": {"include_usage": true}})
        );
        options.prompt_api = PromptApi::Chat;
        options.stream = false;
        options.ignore_eos = true;
        let sent = recorded(&options, "m", "text".to_owned(), 5);
        assert_eq!(sent.path, CHAT_PATH);
        assert_eq!(
            decode(&sent),
            json!({"model": "m", "messages": [{"role": "user", "content": "text"}],
                   "max_tokens": 5, "temperature": 0, "stream": false, "ignore_eos": true})
        );
    }
}
