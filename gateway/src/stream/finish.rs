//! How an engine says that it gave an answer up, although the answer ends as it should.

use std::sync::LazyLock;

use memchr::memmem;

/// Finish reasons of vLLM and SGLang for a generation that they gave up: aborted by the engine, or
/// failed inside it. Others (`stop`, `length`, `tool_calls`, `content_filter`) are the model's own.
const GIVEN_UP: [&[u8]; 2] = [b"\"abort\"", b"\"error\""];

/// Whether a choice in `json` was given up. `json` may be cut at its beginning. The search is by
/// bytes, as for usage: a quote inside a JSON string is escaped.
#[must_use]
pub fn is_given_up(json: &[u8]) -> bool {
    const KEY: &[u8] = b"\"finish_reason\"";
    // Made once: this is part of every streamed token's way.
    static FINDER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(KEY));
    FINDER.find_iter(json).any(|at| {
        let value = json[at + KEY.len()..].trim_ascii_start();
        let value = value.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        value.is_some_and(|value| GIVEN_UP.iter().any(|reason| value.starts_with(reason)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reasons_of_the_engine_count_and_only_where_the_field_stands() {
        for (json, expected) in [
            (r#"{"choices":[{"finish_reason":"abort"}]}"#, true),
            (
                r#"{"choices":[{"finish_reason": "error", "index":0}]}"#,
                true,
            ),
            (
                r#"tail"},"finish_reason":"stop"},{"finish_reason":"abort"}]}"#,
                true,
            ),
            (r#"{"choices":[{"finish_reason":"stop"}]}"#, false),
            (r#"{"choices":[{"finish_reason":null}]}"#, false),
            (r#"{"choices":[{"finish_reason":"errors"}]}"#, false),
            (
                r#"{"content":"say \"finish_reason\":\"abort\"","finish_reason":"length"}"#,
                false,
            ),
            (r#"{"finish_reason""#, false),
            ("", false),
        ] {
            assert_eq!(is_given_up(json.as_bytes()), expected, "{json}");
        }
    }
}
