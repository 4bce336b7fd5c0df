//! Measuring what a gateway costs needs an engine that costs next to nothing: fixed answers,
//! no parsing, no model.

use memchr::memmem;

/// A complete chat answer.
pub(super) const WHOLE: &str = r#"{"id":"chatcmpl-instant","object":"chat.completion","created":0,"model":"instant","choices":[{"index":0,"message":{"role":"assistant","content":"ash bay "},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":16,"total_tokens":18,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0}}}"#;

/// A complete chat stream.
pub(super) const STREAM: &str = concat!(
    r#"data: {"id":"chatcmpl-instant","object":"chat.completion.chunk","created":0,"model":"instant","choices":[{"index":0,"delta":{"role":"assistant","content":"ash "},"finish_reason":null}]}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-instant","object":"chat.completion.chunk","created":0,"model":"instant","choices":[{"index":0,"delta":{"content":"bay "},"finish_reason":"length"}]}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-instant","object":"chat.completion.chunk","created":0,"model":"instant","choices":[],"usage":{"prompt_tokens":16,"total_tokens":18,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0}}}"#,
    "\n\ndata: [DONE]\n\n"
);

/// Whether a body asks for a stream, by looking for the usual spellings instead of parsing.
pub(super) fn wants_stream(body: &[u8]) -> bool {
    memmem::find(body, br#""stream":true"#).is_some()
        || memmem::find(body, br#""stream": true"#).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_seen() {
        assert!(wants_stream(br#"{"stream":true}"#));
        assert!(wants_stream(br#"{"stream": true}"#));
        assert!(!wants_stream(br#"{"stream": false}"#));
    }

    #[test]
    fn the_fixed_answers_are_json() {
        serde_json::from_str::<serde_json::Value>(WHOLE).unwrap();
        for event in STREAM.split("\n\n").filter(|event| !event.is_empty()) {
            let data = event.strip_prefix("data: ").unwrap();
            assert!(data == "[DONE]" || serde_json::from_str::<serde_json::Value>(data).is_ok());
        }
    }
}
