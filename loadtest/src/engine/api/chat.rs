//! OpenAI chat completions, the API most clients speak.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::prompt::{ChainRoot, Prompt};
use super::logprobs;
use super::openai::{Kind, StreamOptions, push_end, start, whole};
use super::template::{Message, Rendering};
use super::tool_call::{self, ToolCall, ToolChoice};
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
    tool_choice: Option<ToolChoice>,
    logprobs: Option<bool>,
    top_logprobs: Option<usize>,
    #[serde(default)]
    priority: i64,
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
    let reply: Box<dyn Reply> = match tool_call::forced(body.tool_choice, body.tools.as_deref()) {
        Some(name) => Box::new(ToolCall {
            name,
            include_usage,
        }),
        None => {
            let asked = body.logprobs.unwrap_or(false);
            let logprobs = asked.then(|| body.top_logprobs.unwrap_or(0).min(logprobs::TOP_MAX));
            Box::new(Chat {
                include_usage,
                logprobs,
            })
        }
    };
    Ok(Call {
        model,
        prompts: vec![prompt],
        n: choices(body.n, 1)?,
        output,
        priority: body.priority,
        stream: body.stream.unwrap_or(false),
        reply,
    })
}

/// Chunks of a chat stream.
pub(super) const CHUNK: Kind = Kind {
    id_prefix: "chatcmpl-",
    object: "chat.completion.chunk",
};
/// A whole chat response.
pub(super) const WHOLE: Kind = Kind {
    id_prefix: "chatcmpl-",
    object: "chat.completion",
};

struct Chat {
    include_usage: bool,
    /// Alternatives for each token, where log probabilities were asked for.
    logprobs: Option<usize>,
}

impl Chat {
    fn logprobs(&self, text: &str) -> String {
        self.logprobs
            .map_or_else(|| "null".to_owned(), |top| logprobs::chat(text, top))
    }
}

impl Reply for Chat {
    fn opening(&self, _: &Head, _: Usage, _: &mut String) {}

    fn token(&self, head: &Head, token: StreamToken<'_>, out: &mut String) {
        let start = start(CHUNK, head);
        let (choice, text) = (token.choice, json_string(token.text));
        if token.index == 0 {
            push_data(
                out,
                &format!(
                    r#"{start},"choices":[{{"index":{choice},"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}]}}"#
                ),
            );
        }
        let logprobs = self.logprobs(token.text);
        let finish = match token.finish {
            Some(finish) => format!(r#""{}","stop_reason":null"#, finish.name()),
            None => "null".to_owned(),
        };
        push_data(
            out,
            &format!(
                r#"{start},"choices":[{{"index":{choice},"delta":{{"content":{text}}},"logprobs":{logprobs},"finish_reason":{finish},"token_ids":null}}]}}"#
            ),
        );
    }

    fn closing(&self, head: &Head, end: &Ending, out: &mut String) {
        push_end(CHUNK, head, self.include_usage.then_some(end.usage), out);
    }

    fn whole(&self, head: &Head, end: &Ending) -> String {
        let finish = end.finish.name();
        let choice = |(index, answer): (usize, &String)| {
            let (text, logprobs) = (json_string(answer), self.logprobs(answer));
            format!(
                r#"{{"index":{index},"message":{{"role":"assistant","content":{text},"refusal":null}},"logprobs":{logprobs},"finish_reason":"{finish}","stop_reason":null}}"#
            )
        };
        let choices: Vec<String> = end.texts.iter().enumerate().map(choice).collect();
        whole(WHOLE, head, &choices, end.usage)
    }
}
