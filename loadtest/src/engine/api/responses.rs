//! OpenAI responses, the successor of chat completions.

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
    input: Option<Input>,
    instructions: Option<String>,
    #[serde(default)]
    tools: Option<Box<RawValue>>,
    max_output_tokens: Option<u64>,
    stream: Option<bool>,
    cache_salt: Option<String>,
    #[serde(default)]
    priority: i64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Message>),
}

pub(super) fn parse(body: &[u8], defaults: Defaults<'_>) -> Result<Call, ApiError> {
    let body: Body = serde_json::from_slice(body).map_err(|error| ApiError::body(&error))?;
    let input = body.input.ok_or_else(|| ApiError::missing("input"))?;
    let mut rendering = Rendering::new(body.tools.as_deref());
    if let Some(instructions) = body.instructions {
        rendering.message("system", Some(&Content::Text(instructions)), None);
    }
    match input {
        Input::Text(text) => rendering.message("user", Some(&Content::Text(text)), None),
        Input::Items(items) => {
            items
                .iter()
                .for_each(|item| rendering.message(&item.role, item.content.as_ref(), None));
        }
    }
    let model = body.model.unwrap_or_else(|| defaults.model.to_owned());
    let root = ChainRoot {
        model: &model,
        salt: body.cache_salt.as_deref(),
    };
    Ok(Call {
        prompts: vec![Prompt::from_text(root, rendering.finish())],
        model,
        n: 1,
        output: OutputLimit::new(body.max_output_tokens, "max_output_tokens")?,
        priority: body.priority,
        stream: body.stream.unwrap_or(false),
        reply: Box::new(Responses),
    })
}

struct Responses;

impl Reply for Responses {
    fn opening(&self, head: &Head, _: Usage, out: &mut String) {
        let empty = response(head, "in_progress", "", "null");
        for name in ["response.created", "response.in_progress"] {
            push_event(
                out,
                name,
                &format!(r#"{{"type":"{name}","response":{empty}}}"#),
            );
        }
        let item = item(head, "in_progress", "");
        push_event(
            out,
            "response.output_item.added",
            &format!(r#"{{"type":"response.output_item.added","output_index":0,"item":{item}}}"#),
        );
    }

    fn token(&self, head: &Head, token: StreamToken<'_>, out: &mut String) {
        let (id, text) = (&head.id, json_string(token.text));
        push_event(
            out,
            "response.output_text.delta",
            &format!(
                r#"{{"type":"response.output_text.delta","item_id":"msg_{id}","output_index":0,"content_index":0,"delta":{text}}}"#
            ),
        );
    }

    fn closing(&self, head: &Head, end: &Ending, out: &mut String) {
        let (id, text) = (&head.id, json_string(&end.texts.concat()));
        push_event(
            out,
            "response.output_text.done",
            &format!(
                r#"{{"type":"response.output_text.done","item_id":"msg_{id}","output_index":0,"content_index":0,"text":{text}}}"#
            ),
        );
        let name = match end.finish {
            Finish::Length => "response.incomplete",
            Finish::Stop => "response.completed",
        };
        let whole = self.whole(head, end);
        push_event(
            out,
            name,
            &format!(r#"{{"type":"{name}","response":{whole}}}"#),
        );
    }

    fn whole(&self, head: &Head, end: &Ending) -> String {
        let status = match end.finish {
            Finish::Length => "incomplete",
            Finish::Stop => "completed",
        };
        let item = item(head, "completed", &end.texts.concat());
        response(head, status, &item, &usage_json(end.usage))
    }
}

/// A response object; `usage` and `output` are JSON already.
fn response(head: &Head, status: &str, output: &str, usage: &str) -> String {
    let details = match status {
        "incomplete" => r#"{"reason":"max_output_tokens"}"#,
        _ => "null",
    };
    format!(
        r#"{{"id":"resp_{}","created_at":{},"incomplete_details":{details},"model":{},"object":"response","output":[{output}],"status":"{status}","usage":{usage}}}"#,
        head.id, head.created, head.model
    )
}

fn item(head: &Head, status: &str, text: &str) -> String {
    let (id, text) = (&head.id, json_string(text));
    format!(
        r#"{{"id":"msg_{id}","content":[{{"annotations":[],"text":{text},"type":"output_text","logprobs":null}}],"role":"assistant","status":"{status}","type":"message"}}"#
    )
}

fn usage_json(usage: Usage) -> String {
    let Usage {
        prompt_tokens,
        cached_tokens,
        completion_tokens,
    } = usage;
    let total = prompt_tokens + completion_tokens;
    format!(
        r#"{{"input_tokens":{prompt_tokens},"input_tokens_details":{{"cached_tokens":{cached_tokens}}},"output_tokens":{completion_tokens},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{total}}}"#
    )
}
