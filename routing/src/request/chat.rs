//! Prompts made of messages: OpenAI's chat and responses, Anthropic's messages.

use super::RequestError;
use super::envelope::PromptFields;
use super::json::{Span, decode};
use super::prompt::{Mark, PromptWriter};
use super::text::Sink;

/// Types of content that templates leave out of earlier turns, and that clients may or may not
/// send back.
const REASONING: &[&str] = &[
    "\"reasoning\"",
    "\"reasoning_text\"",
    "\"thinking\"",
    "\"redacted_thinking\"",
];

/// Claude Code puts its version and a checksum of the request into the first block of `system`. We
/// skip that block: it changes with every request, and all that follows would be taken for new.
const ATTRIBUTION: &str = "\"x-anthropic-billing-header";

/// The role of whoever opens a conversation.
const USER: &str = "user";

impl<S: Sink> PromptWriter<'_, S> {
    /// Tools, then system, then the conversation.
    pub(super) fn chat(&mut self, fields: &PromptFields) -> Result<(), RequestError> {
        for tools in [fields.tools, fields.functions].into_iter().flatten() {
            self.mark(Mark::Tools);
            self.raw(tools);
        }
        if let Some(documents) = fields.documents {
            self.mark(Mark::Documents);
            self.raw(documents);
        }
        self.system(fields)?;
        match (fields.messages, fields.input) {
            (Some(messages), _) => self.messages(messages),
            (None, Some(input)) if self.kind(input) == b'"' => {
                self.role("user");
                self.mark(Mark::Content);
                self.text(input)
            }
            (None, Some(input)) => self.messages(input),
            (None, None) => Ok(()),
        }
    }

    /// System, and the conversation up to its first message from the user.
    pub(super) fn opening(&mut self, fields: &PromptFields) -> Result<(), RequestError> {
        self.system(fields)?;
        let Some(conversation) = fields.messages.or(fields.input) else {
            return Ok(());
        };
        if self.kind(conversation) == b'"' {
            return self.text(conversation);
        }
        let mut is_over = false;
        self.each(conversation, |writer, item| {
            if is_over || writer.kind(item) != b'{' {
                return Ok(());
            }
            let [role] = writer.walk(item).pick(["role"])?;
            is_over = role.is_some_and(|role| {
                let role = decode(role.of(writer.body));
                role.as_deref() == Some(USER)
            });
            writer.message(item)
        })
    }

    fn system(&mut self, fields: &PromptFields) -> Result<(), RequestError> {
        for system in [fields.system, fields.instructions].into_iter().flatten() {
            self.role("system");
            self.mark(Mark::Content);
            self.content(system)?;
        }
        Ok(())
    }

    fn messages(&mut self, list: Span) -> Result<(), RequestError> {
        self.each(list, |writer, item| match writer.kind(item) {
            b'{' => writer.message(item),
            _ => Ok(()),
        })
    }

    fn role(&mut self, role: &str) {
        self.mark(Mark::Message);
        self.out.write(role.as_bytes());
    }

    /// A message, or one of the other items of OpenAI's responses.
    fn message(&mut self, item: Span) -> Result<(), RequestError> {
        let [
            kind,
            role,
            name,
            content,
            tool_calls,
            function_call,
            tool_call_id,
        ] = self.walk(item).pick([
            "type",
            "role",
            "name",
            "content",
            "tool_calls",
            "function_call",
            "tool_call_id",
        ])?;
        let Some(role) = role else {
            return self.item(item, kind);
        };
        self.mark(Mark::Message);
        self.text(role)?;
        if let Some(name) = name {
            self.mark(Mark::Name);
            self.text(name)?;
        }
        if let Some(content) = content {
            self.mark(Mark::Content);
            self.content(content)?;
        }
        for calls in [tool_calls, function_call].into_iter().flatten() {
            if calls.of(self.body) != "[]" {
                self.mark(Mark::Calls);
                self.raw(calls);
            }
        }
        if let Some(id) = tool_call_id {
            self.mark(Mark::Answers);
            self.text(id)?;
        }
        Ok(())
    }

    /// An item of OpenAI's responses that has no role.
    fn item(&mut self, item: Span, kind: Option<Span>) -> Result<(), RequestError> {
        match kind.map(|kind| kind.of(self.body)) {
            Some("\"function_call\"") => {
                let [name, arguments, id] =
                    self.walk(item).pick(["name", "arguments", "call_id"])?;
                self.role("assistant");
                self.call([name, arguments, id])
            }
            Some("\"function_call_output\"") => {
                let [id, output] = self.walk(item).pick(["call_id", "output"])?;
                self.role("tool");
                self.answer(id, output)
            }
            Some(kind) if REASONING.contains(&kind) => Ok(()),
            _ => {
                self.mark(Mark::Other);
                self.raw(item);
                Ok(())
            }
        }
    }

    /// A text, or a list of parts.
    fn content(&mut self, content: Span) -> Result<(), RequestError> {
        match self.kind(content) {
            b'"' => self.text(content),
            b'{' => self.part(content),
            b'[' => {
                let mut is_first = true;
                self.each(content, |writer, part| {
                    if writer.is_left_out(part)? {
                        return Ok(());
                    }
                    // One part alone is the same as a plain text.
                    if !std::mem::take(&mut is_first) {
                        writer.mark(Mark::Part);
                    }
                    match writer.kind(part) {
                        b'{' => writer.part(part),
                        _ => writer.text(part),
                    }
                })
            }
            _ => Ok(()),
        }
    }

    fn is_left_out(&self, part: Span) -> Result<bool, RequestError> {
        if self.kind(part) != b'{' {
            return Ok(false);
        }
        let [kind, text] = self.walk(part).pick(["type", "text"])?;
        let is_attribution = text.is_some_and(|text| text.of(self.body).starts_with(ATTRIBUTION));
        Ok(is_attribution || kind.is_some_and(|kind| REASONING.contains(&kind.of(self.body))))
    }

    /// One part of a content: text, media, or Anthropic's calls of tools and their results.
    fn part(&mut self, part: Span) -> Result<(), RequestError> {
        let [kind, text, refusal] = self.walk(part).pick(["type", "text", "refusal"])?;
        if let Some(text) = text.or(refusal) {
            return self.text(text);
        }
        match kind.map(|kind| kind.of(self.body)) {
            Some("\"tool_use\"") => {
                let [name, input, id] = self.walk(part).pick(["name", "input", "id"])?;
                self.call([name, input, id])
            }
            Some("\"tool_result\"") => {
                let [id, content] = self.walk(part).pick(["tool_use_id", "content"])?;
                self.answer(id, content)
            }
            _ => self.media_part(part),
        }
    }

    fn media_part(&mut self, part: Span) -> Result<(), RequestError> {
        // OpenAI's names, vLLM's, and Anthropic's `source`.
        let media = self.walk(part).pick([
            "image_url",
            "image",
            "input_audio",
            "audio_url",
            "video_url",
            "file",
            "file_data",
            "file_id",
            "source",
        ])?;
        let Some(media) = media.into_iter().flatten().next() else {
            self.mark(Mark::Other);
            self.raw(part);
            return Ok(());
        };
        if self.kind(media) != b'{' {
            return self.media(media);
        }
        let places = self
            .walk(media)
            .pick(["url", "data", "file_data", "file_id"])?;
        self.media(places.into_iter().flatten().next().unwrap_or(media))
    }

    fn call(&mut self, parts: [Option<Span>; 3]) -> Result<(), RequestError> {
        for part in parts.into_iter().flatten() {
            self.mark(Mark::Calls);
            self.text(part)?;
        }
        Ok(())
    }

    fn answer(&mut self, id: Option<Span>, content: Option<Span>) -> Result<(), RequestError> {
        if let Some(id) = id {
            self.mark(Mark::Answers);
            self.text(id)?;
        }
        let Some(content) = content else {
            return Ok(());
        };
        self.mark(Mark::Content);
        self.content(content)
    }
}
