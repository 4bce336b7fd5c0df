//! The first look: where the top-level fields are, and what the small ones say.

use std::borrow::Cow;

use crate::units::Tokens;

use super::json::{Span, Walker, decode};
use super::rewrite::{ENGINE_ARGUMENTS, Edits, Eraser, is_stripped};
use super::{Api, InferenceRequest, MAX_MODEL_NAME_BYTES, RequestError, SessionKey};

/// Where the parts of a prompt are, whichever API they belong to. Of a field that is given twice
/// the last one counts, as in Python's json, which engines use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PromptFields {
    pub(super) tools: Option<Span>,
    pub(super) functions: Option<Span>,
    pub(super) documents: Option<Span>,
    pub(super) system: Option<Span>,
    pub(super) instructions: Option<Span>,
    pub(super) messages: Option<Span>,
    pub(super) prompt: Option<Span>,
    pub(super) input: Option<Span>,
    /// `query`, `queries`, `text_1` or `data_1`.
    pub(super) query: Option<Span>,
    /// `text_2` or `data_2`.
    pub(super) compared: Option<Span>,
}

/// The small fields that say how a request is to be treated.
#[derive(Default)]
struct Settings {
    model: Option<Span>,
    stream: Option<Span>,
    stream_options: Option<Span>,
    max_tokens: Option<Span>,
    max_completion_tokens: Option<Span>,
    max_output_tokens: Option<Span>,
    choices: Option<Span>,
    cache_salt: Option<Span>,
    extra_key: Option<Span>,
    session_id: Option<Span>,
    prompt_cache_key: Option<Span>,
    conversation: Option<Span>,
    user: Option<Span>,
    metadata: Option<Span>,
}

pub(super) fn parse(api: Api, body: &[u8]) -> Result<InferenceRequest<'_>, RequestError> {
    let body = simdutf8::compat::from_utf8(body).map_err(|error| RequestError::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    let (mut fields, mut settings) = (PromptFields::default(), Settings::default());
    let (mut edits, mut eraser) = (Edits::default(), Eraser::default());

    let mut walker = Walker::first(body);
    if matches!(
        walker.peek(),
        Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
    ) {
        walker.skip()?;
        walker.finish()?;
        return Err(RequestError::NotAnObject);
    }
    edits.top = walker.at() + 1;
    walker.object(|walker, member| {
        let name = member.name.decoded();
        let value = if name == ENGINE_ARGUMENTS && walker.peek() == Some(b'{') {
            engine_arguments(walker, &mut edits.cuts)?
        } else {
            walker.skip()?
        };
        eraser.member(
            Span {
                start: member.start,
                end: value.end,
            },
            is_stripped(&name),
        );
        if name == "model" {
            edits.model_values.push(value);
        }
        if let Some(field) = fields.named(&name).or_else(|| settings.named(&name)) {
            // A null is as good as nothing.
            *field = (value.of(body) != "null").then_some(value);
        }
        Ok(())
    })?;
    let (cuts, has_fields) = eraser.close();
    edits.cuts.extend(cuts);
    edits.has_fields = has_fields;

    let long_strings = walker.finish()?;
    Ok(InferenceRequest {
        api,
        model: settings.model(body)?,
        stream: settings.stream.is_some_and(|value| is_true(value.of(body))),
        wants_usage: member(settings.stream_options, body, "include_usage")
            .is_some_and(|value| is_true(value.of(body))),
        output_limit: settings.output_limit(body),
        choices: settings
            .choices
            .and_then(|value| whole_number(value.of(body)))
            .map_or(1, |n| u32::try_from(n.max(1)).unwrap_or(u32::MAX)),
        session_hint: settings.session_hint(body),
        cache_salt: settings.cache_salt(body),
        body,
        long_strings,
        fields,
        edits,
    })
}

impl PromptFields {
    fn named(&mut self, name: &str) -> Option<&mut Option<Span>> {
        Some(match name {
            "tools" => &mut self.tools,
            "functions" => &mut self.functions,
            "documents" => &mut self.documents,
            "system" => &mut self.system,
            "instructions" => &mut self.instructions,
            "messages" => &mut self.messages,
            "prompt" => &mut self.prompt,
            "input" => &mut self.input,
            "query" | "queries" | "text_1" | "data_1" => &mut self.query,
            "text_2" | "data_2" => &mut self.compared,
            _ => return None,
        })
    }
}

impl Settings {
    fn named(&mut self, name: &str) -> Option<&mut Option<Span>> {
        Some(match name {
            "model" => &mut self.model,
            "stream" => &mut self.stream,
            "stream_options" => &mut self.stream_options,
            "max_tokens" => &mut self.max_tokens,
            "max_completion_tokens" => &mut self.max_completion_tokens,
            "max_output_tokens" => &mut self.max_output_tokens,
            "n" => &mut self.choices,
            "cache_salt" => &mut self.cache_salt,
            "extra_key" => &mut self.extra_key,
            "session_id" => &mut self.session_id,
            "prompt_cache_key" => &mut self.prompt_cache_key,
            "conversation" => &mut self.conversation,
            "user" => &mut self.user,
            "metadata" => &mut self.metadata,
            _ => return None,
        })
    }

    fn model<'a>(&self, body: &'a str) -> Result<Option<Cow<'a, str>>, RequestError> {
        let Some(value) = self.model else {
            return Ok(None);
        };
        let model = decode(value.of(body)).ok_or(RequestError::ModelNotAString)?;
        if model.len() > MAX_MODEL_NAME_BYTES {
            return Err(RequestError::ModelTooLong { bytes: model.len() });
        }
        Ok(Some(model))
    }

    /// `max_completion_tokens` is the younger name and wins, as in vLLM and SGLang.
    fn output_limit(&self, body: &str) -> Option<Tokens> {
        [
            self.max_completion_tokens,
            self.max_tokens,
            self.max_output_tokens,
        ]
        .into_iter()
        .flatten()
        .find_map(|value| whole_number(value.of(body)))
        .map(Tokens)
    }

    fn session_hint(&self, body: &str) -> Option<SessionKey> {
        let conversation = member(self.conversation, body, "id").or(self.conversation);
        let user_id = member(self.metadata, body, "user_id");
        [
            self.session_id,
            self.prompt_cache_key,
            conversation,
            self.user,
            user_id,
        ]
        .into_iter()
        .flatten()
        .find_map(|value| SessionKey::from_text(&decode(value.of(body))?))
    }

    fn cache_salt<'a>(&self, body: &'a str) -> Option<Cow<'a, str>> {
        let salt = self.cache_salt.and_then(|value| decode(value.of(body)));
        let Some(key) = self.extra_key else {
            return salt;
        };
        // The raw value, quotes and all, cannot be taken for a part of the salt.
        Some(Cow::Owned(format!(
            "{}\0{}",
            salt.unwrap_or_default(),
            key.of(body)
        )))
    }
}

/// Walks over `vllm_xargs` and adds to `cuts` what is stripped from it.
fn engine_arguments<'b, E: super::json::StringEnds>(
    walker: &mut Walker<'b, E>,
    cuts: &mut Vec<Span>,
) -> Result<Span, RequestError> {
    let start = walker.at();
    let mut eraser = Eraser::default();
    walker.members(|walker, member| {
        let value = walker.skip()?;
        let span = Span {
            start: member.start,
            end: value.end,
        };
        eraser.member(span, is_stripped(&member.name.decoded()));
        Ok(())
    })?;
    cuts.extend(eraser.close().0);
    Ok(Span {
        start,
        end: walker.at(),
    })
}

/// A member of a small object, if it is one.
fn member(object: Option<Span>, body: &str, name: &str) -> Option<Span> {
    let object = object.filter(|value| value.of(body).starts_with('{'))?;
    let ends = super::json::LongStrings::default();
    let [value] = Walker::over(body, object, &ends).pick([name]).ok()?;
    value
}

/// What pydantic, which vLLM and SGLang read with, takes for true.
fn is_true(value: &str) -> bool {
    match value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(word) => ["true", "1", "on", "t", "y", "yes"]
            .iter()
            .any(|yes| yes.eq_ignore_ascii_case(word)),
        None => matches!(value, "true" | "1" | "1.0"),
    }
}

/// A number without a fraction, which may be written as `100.0` or `1e2`.
fn whole_number(value: &str) -> Option<u64> {
    value.parse().ok().or_else(|| {
        let number: f64 = value.parse().ok()?;
        // The cast saturates, and the engine has the last word on absurd limits.
        (number.fract() == 0.0 && number >= 0.0).then_some(number as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<InferenceRequest<'_>, RequestError> {
        InferenceRequest::parse(Api::ChatCompletions, body.as_bytes())
    }

    #[test]
    fn settings_are_read() {
        let request = parse(
            r#"{"model":"a\u002fb","stream":true,"stream_options":{"include_usage":true},
                "max_tokens":7,"max_completion_tokens":1e2,"n":3,"cache_salt":"s"}"#,
        )
        .unwrap();
        assert_eq!(request.model.as_deref(), Some("a/b"));
        assert!(request.stream && request.wants_usage);
        assert_eq!(request.output_limit, Some(Tokens(100)));
        assert_eq!(request.choices, 3);
        assert_eq!(request.cache_salt.as_deref(), Some("s"));
    }

    #[test]
    fn what_is_absent_null_or_odd_has_its_default() {
        for body in [
            "{}",
            r#"{"model":null,"stream":null,"n":null,"max_tokens":null,"user":null,"metadata":null}"#,
            r#"{"stream":"no","n":0,"max_tokens":-1,"user":"","metadata":[],"stream_options":7}"#,
            r#"{"stream":true,"stream":false,"model":"a","model":null}"#,
        ] {
            let request = parse(body).unwrap();
            assert_eq!(request.model, None, "{body}");
            assert!(!request.stream && !request.wants_usage, "{body}");
            assert_eq!((request.output_limit, request.choices), (None, 1), "{body}");
            assert_eq!(
                (request.session_hint, request.cache_salt),
                (None, None),
                "{body}"
            );
        }
    }

    #[test]
    fn sessions_by_precedence() {
        let fields = [
            r#""metadata":{"user_id":"a"}"#,
            r#""user":"b""#,
            r#""conversation":{"id":"c"}"#,
            r#""prompt_cache_key":"d""#,
            r#""session_id":"e""#,
        ];
        for (count, name) in (1..).zip(["a", "b", "c", "d", "e"]) {
            let body = format!("{{{}}}", fields[..count].join(","));
            assert_eq!(
                parse(&body).unwrap().session_hint,
                SessionKey::from_text(name),
                "{body}"
            );
        }
        let hint = parse(r#"{"conversation":"conv_1"}"#).unwrap().session_hint;
        assert_eq!(hint, SessionKey::from_text("conv_1"));
    }

    #[test]
    fn truth_as_engines_see_it() {
        for (value, truth) in [
            ("true", true),
            ("1", true),
            ("\"true\"", true),
            ("\"Yes\"", true),
            ("\"1\"", true),
            ("false", false),
            ("0", false),
            ("\"no\"", false),
            ("yes", false),
            ("[]", false),
        ] {
            assert_eq!(is_true(value), truth, "{value}");
        }
    }

    #[test]
    fn model_names_at_the_limit_and_one_longer() {
        let body = |bytes: usize| format!(r#"{{"model":"{}"}}"#, "m".repeat(bytes));
        assert!(parse(&body(MAX_MODEL_NAME_BYTES)).is_ok());
        let bytes = MAX_MODEL_NAME_BYTES + 1;
        assert_eq!(
            parse(&body(bytes)).unwrap_err(),
            RequestError::ModelTooLong { bytes }
        );
    }

    #[test]
    fn refused() {
        for body in ["[]", "\"a\"", "1", "null"] {
            assert_eq!(
                parse(body).unwrap_err(),
                RequestError::NotAnObject,
                "{body}"
            );
        }
        for body in [r#"{"model":7}"#, r#"{"model":{}}"#, r#"{"model":"\q"}"#] {
            assert_eq!(
                parse(body).unwrap_err(),
                RequestError::ModelNotAString,
                "{body}"
            );
        }
        for body in ["", "{", "[1", "{}x", "\u{feff}{}", "{'a':1}"] {
            assert!(
                matches!(parse(body), Err(RequestError::NotJson { .. })),
                "{body}"
            );
        }
        let error = InferenceRequest::parse(Api::Score, b"{\"a\":\"\xff\"}").unwrap_err();
        assert_eq!(error, RequestError::NotUtf8 { at: 6 });
    }
}
