//! Anthropic messages, which coding agents speak.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::prompt::{ChainRoot, Prompt};
use super::template::{Content, Message, Rendering};
use super::{
    ApiError, Call, Defaults, Ending, Finish, Head, OutputLimit, Reply, StreamToken, Usage,
    json_string, push_event,
};

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    #[serde(default)]
    system: Option<Content>,
    #[serde(default)]
    tools: Option<Box<RawValue>>,
    max_tokens: Option<u64>,
    stream: Option<bool>,
}

pub(super) fn parse(body: &[u8], defaults: Defaults<'_>) -> Result<Call, ApiError> {
    let body: Body = serde_json::from_slice(body).map_err(|error| ApiError::body(&error))?;
    let messages = body.messages.ok_or_else(|| ApiError::missing("messages"))?;
    if body.max_tokens.is_none() {
        return Err(ApiError::missing("max_tokens"));
    }
    let mut rendering = Rendering::new(body.tools.as_deref());
    if body.system.is_some() {
        rendering.message("system", body.system.as_ref(), None);
    }
    for message in &messages {
        rendering.message(&message.role, message.content.as_ref(), None);
    }
    let model = body.model.unwrap_or_else(|| defaults.model.to_owned());
    let root = ChainRoot {
        model: &model,
        salt: None,
    };
    Ok(Call {
        prompts: vec![Prompt::from_text(root, rendering.finish())],
        model,
        n: 1,
        output: OutputLimit::new(body.max_tokens, "max_tokens")?,
        // Anthropic's API has no such field.
        priority: 0,
        stream: body.stream.unwrap_or(false),
        reply: Box::new(Messages),
    })
}

struct Messages;

impl Reply for Messages {
    fn opening(&self, head: &Head, usage: Usage, out: &mut String) {
        let (id, model) = (&head.id, &head.model);
        let input_tokens = usage.prompt_tokens - usage.cached_tokens;
        push_event(
            out,
            "message_start",
            &format!(
                r#"{{"type":"message_start","message":{{"id":"chatcmpl-{id}","type":"message","role":"assistant","content":[],"model":{model},"stop_reason":null,"stop_sequence":null,"usage":{{"input_tokens":{input_tokens},"output_tokens":0}}}}}}"#
            ),
        );
        push_event(
            out,
            "content_block_start",
            r#"{"type":"content_block_start","content_block":{"type":"text","text":""},"index":0}"#,
        );
    }

    fn token(&self, _: &Head, token: StreamToken<'_>, out: &mut String) {
        let text = json_string(token.text);
        push_event(
            out,
            "content_block_delta",
            &format!(
                r#"{{"type":"content_block_delta","delta":{{"type":"text_delta","text":{text}}},"index":0}}"#
            ),
        );
    }

    fn closing(&self, _: &Head, end: &Ending, out: &mut String) {
        let (reason, usage) = (stop_reason(end.finish), usage_json(end.usage));
        push_event(
            out,
            "content_block_stop",
            r#"{"type":"content_block_stop","index":0}"#,
        );
        push_event(
            out,
            "message_delta",
            &format!(
                r#"{{"type":"message_delta","delta":{{"stop_reason":"{reason}","stop_sequence":null}},"usage":{usage}}}"#
            ),
        );
        push_event(out, "message_stop", r#"{"type":"message_stop"}"#);
    }

    fn whole(&self, head: &Head, end: &Ending) -> String {
        let text = json_string(&end.texts.concat());
        format!(
            r#"{{"id":"chatcmpl-{}","type":"message","role":"assistant","content":[{{"type":"text","text":{text}}}],"model":{},"stop_reason":"{}","stop_sequence":null,"usage":{}}}"#,
            head.id,
            head.model,
            stop_reason(end.finish),
            usage_json(end.usage)
        )
    }
}

fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Length => "max_tokens",
        Finish::Stop => "end_turn",
    }
}

/// Anthropic counts cached tokens beside the input, not within it.
fn usage_json(usage: Usage) -> String {
    format!(
        r#"{{"input_tokens":{},"output_tokens":{},"cache_creation_input_tokens":0,"cache_read_input_tokens":{}}}"#,
        usage.prompt_tokens - usage.cached_tokens,
        usage.completion_tokens,
        usage.cached_tokens
    )
}
