//! A client that demands a tool call must get one; the simulated call has no arguments.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::chat::{CHUNK, WHOLE};
use super::openai::{push_end, start, whole};
use super::{Ending, Head, Reply, StreamToken, Usage, json_string, push_data};

/// `tool_choice`, as far as it forces a call.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum ToolChoice {
    Mode(String),
    Named { function: Named },
}

#[derive(Deserialize)]
pub(super) struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Tool {
    function: Named,
}

/// The function that must be called, if any: the named one, else the first where a call is
/// required.
pub(super) fn forced(choice: Option<ToolChoice>, tools: Option<&RawValue>) -> Option<String> {
    match choice? {
        ToolChoice::Named { function } => Some(function.name),
        ToolChoice::Mode(mode) if mode == "required" => {
            let tools: Vec<Tool> = serde_json::from_str(tools?.get()).ok()?;
            tools.into_iter().next().map(|tool| tool.function.name)
        }
        ToolChoice::Mode(_) => None,
    }
}

/// Answers every choice with one call of `name`.
pub(super) struct ToolCall {
    pub name: String,
    pub include_usage: bool,
}

const ARGUMENTS: &str = "{}";

impl ToolCall {
    fn call(&self, head: &Head, choice: usize, arguments: &str) -> String {
        let (name, arguments) = (json_string(&self.name), json_string(arguments));
        format!(
            r#"{{"id":"chatcmpl-tool-{}-{choice}","type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#,
            head.id
        )
    }
}

impl Reply for ToolCall {
    fn opening(&self, _: &Head, _: Usage, _: &mut String) {}

    fn token(&self, head: &Head, token: StreamToken<'_>, out: &mut String) {
        let (start, choice) = (start(CHUNK, head), token.choice);
        let mut push = |delta: &str, finish: &str| {
            push_data(
                out,
                &format!(
                    r#"{start},"choices":[{{"index":{choice},"delta":{delta},"logprobs":null,"finish_reason":{finish}}}]}}"#
                ),
            );
        };
        if token.index == 0 {
            push(r#"{"role":"assistant","content":null}"#, "null");
            let call = self.call(head, choice, "");
            let call = call.replacen('{', r#"{"index":0,"#, 1);
            push(&format!(r#"{{"tool_calls":[{call}]}}"#), "null");
        }
        if token.finish.is_some() {
            let arguments = json_string(ARGUMENTS);
            push(
                &format!(
                    r#"{{"tool_calls":[{{"index":0,"function":{{"arguments":{arguments}}}}}]}}"#
                ),
                r#""tool_calls""#,
            );
        }
    }

    fn closing(&self, head: &Head, end: &Ending, out: &mut String) {
        push_end(CHUNK, head, self.include_usage.then_some(end.usage), out);
    }

    fn whole(&self, head: &Head, end: &Ending) -> String {
        let choices: Vec<String> = (0..end.texts.len())
            .map(|index| {
                let call = self.call(head, index, ARGUMENTS);
                format!(
                    r#"{{"index":{index},"message":{{"role":"assistant","content":null,"refusal":null,"tool_calls":[{call}]}},"logprobs":null,"finish_reason":"tool_calls","stop_reason":null}}"#
                )
            })
            .collect();
        whole(WHOLE, head, &choices, end.usage)
    }
}
