//! Messages become one text in an order that makes each turn's prompt start with the whole
//! previous turn and its answer, as real chat templates (here ChatML) do.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

/// One message of a conversation, in OpenAI's or Anthropic's form.
#[derive(Deserialize)]
pub(super) struct Message {
    pub role: String,
    #[serde(default)]
    pub content: Option<Content>,
    #[serde(default)]
    pub tool_calls: Option<Box<RawValue>>,
}

/// Text, or parts of which some are text.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Value>),
}

/// A prompt under construction.
pub(super) struct Rendering {
    text: String,
}

impl Rendering {
    /// Begins with the tools, which templates put first.
    pub(super) fn new(tools: Option<&RawValue>) -> Self {
        let mut text = String::new();
        if let Some(tools) = tools.filter(|tools| tools.get() != "null") {
            text.push_str("<|tools|>");
            text.push_str(tools.get());
            text.push('\n');
        }
        Self { text }
    }

    /// Appends a message.
    pub(super) fn message(
        &mut self,
        role: &str,
        content: Option<&Content>,
        calls: Option<&RawValue>,
    ) {
        self.text.push_str("<|im_start|>");
        self.text.push_str(role);
        self.text.push('\n');
        match content {
            Some(Content::Text(text)) => self.text.push_str(text),
            Some(Content::Parts(parts)) => parts.iter().for_each(|part| self.part(part)),
            None => {}
        }
        if let Some(calls) = calls {
            self.text.push_str(calls.get());
        }
        self.text.push_str("<|im_end|>\n");
    }

    /// Ends with the cue for the answer.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("<|im_start|>assistant\n");
        self.text
    }

    /// Images and the like count as a marker with the hash of their JSON.
    fn part(&mut self, part: &Value) {
        match part.get("text").and_then(Value::as_str) {
            Some(text) => self.text.push_str(text),
            None => {
                let hash = xxh3_64(part.to_string().as_bytes());
                self.text.push_str(&format!("<|media:{hash:016x}|>"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(json: &str) -> String {
        let messages: Vec<Message> = serde_json::from_str(json).unwrap();
        let mut rendering = Rendering::new(None);
        for message in &messages {
            rendering.message(
                &message.role,
                message.content.as_ref(),
                message.tool_calls.as_deref(),
            );
        }
        rendering.finish()
    }

    #[test]
    fn a_turn_begins_with_the_turn_before_and_its_answer() {
        let first = render(r#"[{"role":"system","content":"s"},{"role":"user","content":"u"}]"#);
        let second = render(
            r#"[{"role":"system","content":"s"},{"role":"user","content":"u"},
                {"role":"assistant","content":"ash bay "},{"role":"user","content":"v"}]"#,
        );
        assert!(second.starts_with(&format!("{first}ash bay ")));
    }

    #[test]
    fn parts_equal_text_and_media_count_by_content() {
        let parts = render(r#"[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#);
        assert_eq!(parts, render(r#"[{"role":"user","content":"hi"}]"#));
        let image = |url: &str| {
            render(&format!(
                r#"[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"{url}"}}}}]}}]"#
            ))
        };
        assert_eq!(image("a"), image("a"));
        assert_ne!(image("a"), image("b"));
    }
}
