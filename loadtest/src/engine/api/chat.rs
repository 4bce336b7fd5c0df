//! Why: OpenAI chat completions, the API most clients speak.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::prompt::{ChainRoot, Prompt};
use super::template::{Message, Rendering};
use super::{
    ApiError, Call, Defaults, Ending, Head, OutputLimit, Reply, StreamToken, Usage, choices,
    json_string, push_data,
};

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    messages: Option<Vec<Message>>,
    #[serde(default)]
    tools: Option<Box<RawValue>>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    n: Option<usize>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    cache_salt: Option<String>,
}

/// `stream_options` of the OpenAI APIs.
#[derive(Deserialize, Clone, Copy, Default)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub include_usage: bool,
}

pub(super) fn parse(body: &[u8], defaults: Defaults<'_>) -> Result<Call, ApiError> {
    let body: Body = serde_json::from_slice(body).map_err(|error| ApiError::body(&error))?;
    let messages = body.messages.ok_or_else(|| ApiError::missing("messages"))?;
    let mut rendering = Rendering::new(body.tools.as_deref());
    for message in &messages {
        rendering.message(
            &message.role,
            message.content.as_ref(),
            message.tool_calls.as_deref(),
        );
    }
    let model = body.model.unwrap_or_else(|| defaults.model.to_owned());
    let root = ChainRoot {
        model: &model,
        salt: body.cache_salt.as_deref(),
    };
    let prompt = Prompt::from_text(root, rendering.finish());
    let output = match body.max_completion_tokens {
        Some(tokens) => OutputLimit::new(Some(tokens), "max_completion_tokens"),
        None => OutputLimit::new(body.max_tokens, "max_tokens"),
    }?;
    let include_usage = body.stream_options.unwrap_or_default().include_usage;
    Ok(Call {
        model,
        prompts: vec![prompt],
        n: choices(body.n, 1)?,
        output,
        stream: body.stream.unwrap_or(false),
        reply: Box::new(Chat { include_usage }),
    })
}

struct Chat {
    include_usage: bool,
}

impl Reply for Chat {
    fn opening(&self, _: &Head, _: Usage, _: &mut String) {}

    fn token(&self, head: &Head, token: StreamToken<'_>, out: &mut String) {
        let start = chunk_start(head);
        let (choice, text) = (token.choice, json_string(token.text));
        if token.index == 0 {
            push_data(
                out,
                &format!(
                    r#"{start},"choices":[{{"index":{choice},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}]}}"#
                ),
            );
        }
        let finish = match token.finish {
            Some(finish) => {
                format!(r#""{}","stop_reason":null,"token_ids":null"#, finish.name())
            }
            None => r#"null,"token_ids":null"#.to_owned(),
        };
        push_data(
            out,
            &format!(
                r#"{start},"choices":[{{"index":{choice},"delta":{{"content":{text}}},"logprobs":null,"finish_reason":{finish}}}]}}"#
            ),
        );
    }

    fn closing(&self, head: &Head, end: &Ending, out: &mut String) {
        if self.include_usage {
            let (start, usage) = (chunk_start(head), usage_json(end.usage));
            push_data(out, &format!(r#"{start},"choices":[],"usage":{usage}}}"#));
        }
        push_data(out, "[DONE]");
    }

    fn whole(&self, head: &Head, end: &Ending) -> String {
        let finish = end.finish.name();
        let choices: Vec<String> = end
            .texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let text = json_string(text);
                format!(
                    r#"{{"index":{index},"message":{{"role":"assistant","content":{text},"refusal":null}},"logprobs":null,"finish_reason":"{finish}","stop_reason":null}}"#
                )
            })
            .collect();
        format!(
            r#"{{"id":"chatcmpl-{}","object":"chat.completion","created":{},"model":{},"choices":[{}],"usage":{}}}"#,
            head.id,
            head.created,
            head.model,
            choices.join(","),
            usage_json(end.usage)
        )
    }
}

fn chunk_start(head: &Head) -> String {
    format!(
        r#"{{"id":"chatcmpl-{}","object":"chat.completion.chunk","created":{},"model":{}"#,
        head.id, head.created, head.model
    )
}

/// `usage` of the OpenAI APIs, with the detail that tells how warm the cache was.
pub(super) fn usage_json(usage: Usage) -> String {
    let Usage {
        prompt_tokens,
        cached_tokens,
        completion_tokens,
    } = usage;
    let total = prompt_tokens + completion_tokens;
    format!(
        r#"{{"prompt_tokens":{prompt_tokens},"total_tokens":{total},"completion_tokens":{completion_tokens},"prompt_tokens_details":{{"cached_tokens":{cached_tokens}}}}}"#
    )
}
