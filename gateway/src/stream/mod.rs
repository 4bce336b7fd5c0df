//! Listening to an answer as it passes: first token, token counts, errors inside the stream.
//!
//! Sans-IO: bytes are fed in, facts come out. Nothing here holds the answer back, and only the name
//! of the model is ever changed ([`ModelRewriter`]).

mod finish;
mod model_place;
mod model_rewriter;
#[cfg(test)]
mod rewriting_tests;
mod sse;
mod usage;

use bytes::Bytes;

use crate::error::ErrorShape;

pub use finish::is_given_up;
pub use model_rewriter::ModelRewriter;
pub use sse::{LINE_BYTES_MAX, SseLines};
pub use usage::{USAGE_TAIL_BYTES, Usage, find_usage};

/// Events after which nothing comes: of Anthropic's messages and of OpenAI's responses.
const LAST_EVENTS: [&[u8]; 4] = [
    b"message_stop",
    b"response.completed",
    b"response.incomplete",
    b"response.failed",
];

/// What has been heard of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Something of the answer itself has arrived, not only comments that keep the line open.
    pub has_begun: bool,
    /// Events with data, the closing one aside: about the number of tokens of a streamed answer.
    pub events: u64,
    /// The last event of a stream has passed: a client that leaves now has all.
    pub is_done: bool,
    /// The engine reported an error although it had begun with a good status.
    pub has_failed: bool,
    /// The engine gave the answer up and said so in its finish reason.
    pub is_given_up: bool,
    /// The engine's own counts, where it reported them.
    pub usage: Usage,
}

/// Listens to one answer.
#[derive(Debug)]
pub struct Listener {
    format: Format,
    heard: Heard,
}

#[derive(Debug)]
enum Format {
    Events(SseLines),
    // Usage stands behind the text in every API, so the end of the body is enough.
    Whole { tail: Vec<u8> },
}

impl Listener {
    /// Listens to an answer of this content type.
    #[must_use]
    pub fn new(content_type: &[u8]) -> Listener {
        let format = if content_type.starts_with(b"text/event-stream") {
            Format::Events(SseLines::default())
        } else {
            Format::Whole { tail: Vec::new() }
        };
        Listener {
            format,
            heard: Heard::default(),
        }
    }

    /// Whether the answer is a stream of events.
    #[must_use]
    pub fn is_events(&self) -> bool {
        matches!(self.format, Format::Events(_))
    }

    /// The next bytes, cut anywhere.
    pub fn feed(&mut self, chunk: &[u8]) {
        let heard = &mut self.heard;
        match &mut self.format {
            Format::Events(lines) => lines.feed(chunk, |line| note_line(heard, line)),
            Format::Whole { tail } => {
                heard.has_begun |= !chunk.is_empty();
                keep_tail(tail, chunk);
            }
        }
    }

    /// Whether anything of the answer itself has arrived.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.heard.has_begun
    }

    /// The endpoint broke off in the middle.
    pub fn note_broken(&mut self) {
        self.heard.has_failed = true;
    }

    /// What has been heard so far. The usage and the finish reason of a body that is no stream are
    /// known only at its end.
    #[must_use]
    pub fn heard(&self) -> Heard {
        let mut heard = self.heard;
        if let Format::Whole { tail } = &self.format {
            heard.is_given_up = is_given_up(tail);
            if let Some(usage) = find_usage(tail) {
                heard.usage = usage;
            }
        }
        heard
    }
}

/// The event that tells a client's library that the engine broke off, to be sent after an event
/// that may be incomplete.
#[must_use]
pub fn broken_event(shape: ErrorShape) -> Bytes {
    Bytes::from_static(match shape {
        ErrorShape::OpenAi => concat!(
            "\n\ndata: {\"error\":{\"message\":\"the model server broke off the answer; retry\",",
            "\"type\":\"server_error\",\"param\":null,\"code\":\"endpoint_broken\"}}\n\n"
        )
        .as_bytes(),
        ErrorShape::Anthropic => concat!(
            "\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",",
            "\"message\":\"the model server broke off the answer; retry\"}}\n\n"
        )
        .as_bytes(),
    })
}

/// Whether a stream begins with an engine's own failure, so that nothing was computed for the client
/// and another engine may do better. What the request itself is to blame for does not count.
#[must_use]
pub fn begins_with_failure(first: &[u8]) -> bool {
    let Some(data) = first.strip_prefix(b"data:").map(<[u8]>::trim_ascii_start) else {
        return false;
    };
    if !data.starts_with(br#"{"error""#) {
        return false;
    }
    let mut events = serde_json::Deserializer::from_slice(data).into_iter::<WireFailure>();
    matches!(events.next(), Some(Ok(event)) if event.error.code >= 500)
}

/// An error event of vLLM and SGLang, as far as it matters.
#[derive(serde::Deserialize)]
struct WireFailure {
    error: WireCause,
}

#[derive(serde::Deserialize)]
struct WireCause {
    code: u16,
}

fn note_line(heard: &mut Heard, line: &[u8]) {
    let Some(data) = line.strip_prefix(b"data:") else {
        // Comments keep the connection open; event names come with a data line of their own.
        if let Some(event) = line.strip_prefix(b"event:") {
            let event = event.trim_ascii_start();
            heard.has_failed |= event == b"error";
            heard.is_done |= LAST_EVENTS.contains(&event);
            heard.is_given_up |= event == b"response.failed";
        }
        return;
    };
    let data = data.trim_ascii_start();
    if data == b"[DONE]" {
        heard.is_done = true;
        return;
    }
    heard.has_begun = true;
    heard.events += 1;
    // Engines put the error first in the object; the same word inside text is never there.
    heard.has_failed |= data.starts_with(br#"{"error""#);
    heard.is_given_up |= is_given_up(data);
    if let Some(usage) = find_usage(data) {
        heard.usage = heard.usage.merged(usage);
    }
}

fn keep_tail(tail: &mut Vec<u8>, chunk: &[u8]) {
    if chunk.len() >= USAGE_TAIL_BYTES {
        tail.clear();
        tail.extend_from_slice(&chunk[chunk.len() - USAGE_TAIL_BYTES..]);
        return;
    }
    let surplus = (tail.len() + chunk.len()).saturating_sub(USAGE_TAIL_BYTES);
    tail.drain(..surplus);
    tail.extend_from_slice(chunk);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use warmgate_routing::Tokens;

    /// Frames as vLLM 0.32.0 sends them, shortened.
    const CHAT: &str = concat!(
        ": ping\n\n",
        "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"say \\\"usage\\\": {\\\"error\\\"\"}}]}\n\n",
        "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":20,\"total_tokens\":22,",
        "\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":16}}}\n\n",
        "data: [DONE]\n\n",
    );

    fn hear(content_type: &str, chunks: &[&[u8]]) -> Heard {
        let mut listener = Listener::new(content_type.as_bytes());
        chunks.iter().for_each(|chunk| listener.feed(chunk));
        listener.heard()
    }

    #[test]
    fn a_stream_tells_its_tokens_and_usage_and_does_not_fall_for_text() {
        let heard = hear("text/event-stream; charset=utf-8", &[CHAT.as_bytes()]);
        assert!(heard.has_begun && heard.is_done && !heard.has_failed);
        assert_eq!(heard.events, 3);
        assert_eq!(heard.usage.prompt, Some(Tokens(20)));
        assert_eq!(heard.usage.completion, Some(Tokens(2)));
        assert_eq!(heard.usage.cached, Some(Tokens(16)));
    }

    #[test]
    fn a_comment_is_no_beginning() {
        assert!(!hear("text/event-stream", &[b": ping\n\n"]).has_begun);
    }

    #[test]
    fn failures_inside_a_stream_are_heard() {
        let cases: [&[u8]; 4] = [
            b"data: {\"error\": {\"message\": \"EngineCore\", \"code\": 500}}\n\ndata: [DONE]\n\n",
            b"data: {\"error\":{\"object\":\"error\",\"code\":500}}\n\n",
            b"data:{\"error\":\"text\"}\r\n\r\n",
            b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}\n\n",
        ];
        for case in cases {
            assert!(hear("text/event-stream", &[case]).has_failed, "{case:?}");
        }
    }

    #[test]
    fn only_an_engines_own_failure_at_the_very_beginning_calls_for_another_engine() {
        let cases: [(&[u8], bool); 8] = [
            (b"data: {\"error\": {\"message\": \"EngineCore\", \"code\": 500}}\n\ndata: [DONE]\n\n", true),
            (b"data: {\"error\":{\"object\":\"error\",\"code\":503}}\n\n", true),
            (b"data: {\"error\": {\"message\": \"too long\", \"code\": 400}}\n\n", false),
            (b"data: {\"error\": \"text\"}\n\n", false),
            (b"data: {\"error\": {\"code\": 5", false),
            (b"data: {\"id\":\"c\"}\n\ndata: {\"error\":{\"code\":500}}\n\n", false),
            (b"{\"error\":{\"code\":500}}", false),
            (b"", false),
        ];
        for (first, expected) in cases {
            assert_eq!(
                begins_with_failure(first),
                expected,
                "{}",
                first.escape_ascii()
            );
        }
    }

    #[test]
    fn anthropic_counts_come_in_two_events() {
        let heard = hear(
            "text/event-stream",
            &[
                b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":",
                b"{\"input_tokens\":9,\"output_tokens\":0,\"cache_read_input_tokens\":4}}}\n\n",
                b"event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":7}}\n\n",
            ],
        );
        assert_eq!(heard.usage.prompt, Some(Tokens(9)));
        assert_eq!(heard.usage.completion, Some(Tokens(7)));
        assert!(!heard.is_done);
        assert!(hear("text/event-stream", &[b"event: message_stop\ndata: {}\n\n"]).is_done);
        assert_eq!(heard.usage.cached, Some(Tokens(4)));
    }

    #[test]
    fn an_answer_that_was_given_up_is_told_apart() {
        let events =
            |last: &str| format!("data: {{\"choices\":[{{\"delta\":{{}}}}]}}\n\n{last}\n\n");
        for (content_type, body, expected) in [
            (
                "text/event-stream",
                events(r#"data: {"choices":[{"finish_reason":"abort"}]}"#),
                true,
            ),
            (
                "text/event-stream",
                events(r#"data: {"choices":[{"finish_reason":"stop"}]}"#),
                false,
            ),
            (
                "text/event-stream",
                events("event: response.failed\ndata: {}"),
                true,
            ),
            (
                "application/json",
                r#"{"choices":[{"finish_reason":"error"}]}"#.to_owned(),
                true,
            ),
            (
                "application/json",
                r#"{"choices":[{"finish_reason":"length"}]}"#.to_owned(),
                false,
            ),
        ] {
            let heard = hear(content_type, &[body.as_bytes()]);
            assert_eq!(heard.is_given_up, expected, "{body}");
            assert!(!heard.has_failed);
        }
    }

    #[test]
    fn a_whole_body_tells_its_usage_at_the_end() {
        let padding = "x".repeat(3 * USAGE_TAIL_BYTES);
        let body = format!(
            "{{\"choices\":[{{\"text\":\"{padding}\"}}],\"usage\":{{\"prompt_tokens\":5,\"completion_tokens\":1}}}}"
        );
        let heard = hear("application/json", &[body.as_bytes()]);
        assert_eq!(heard.usage.prompt, Some(Tokens(5)));
        assert_eq!(heard.usage.cached, None);
    }

    proptest! {
        #[test]
        fn chunk_borders_do_not_matter(cuts in proptest::collection::vec(0..CHAT.len(), 0..20)) {
            let mut cuts = cuts;
            cuts.extend([0, CHAT.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> =
                cuts.windows(2).map(|pair| &CHAT.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(
                hear("text/event-stream", &chunks),
                hear("text/event-stream", &[CHAT.as_bytes()])
            );
            prop_assert_eq!(hear("application/json", &chunks).usage, find_usage(CHAT.as_bytes()).unwrap());
        }

        #[test]
        fn any_bytes_are_borne(bytes: Vec<u8>, cut: usize) {
            let cut = cut % (bytes.len() + 1);
            hear("text/event-stream", &[&bytes[..cut], &bytes[cut..]]);
            hear("application/json", &[&bytes[..cut], &bytes[cut..]]);
        }
    }
}
