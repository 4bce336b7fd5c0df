//! Reads OpenAI responses, streamed or whole, without I/O: bytes in, tokens and usage out.

use serde::Deserialize;

/// Longest single event of a stream, in bytes.
pub const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What `usage` said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// Absent when the server does not tell.
    pub cached_tokens: Option<u64>,
}

/// A response as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The answer's text so far.
    pub text: String,
    /// Chunks that brought text.
    pub text_chunks: u64,
    pub usage: Option<Usage>,
    /// The end mark was seen.
    pub done: bool,
    /// What the server said went wrong inside the stream.
    pub error: Option<String>,
    buffer: Vec<u8>,
}

#[derive(Deserialize)]
struct RawResponse {
    #[serde(default)]
    choices: Vec<RawChoice>,
    usage: Option<RawUsage>,
    error: Option<RawError>,
}

#[derive(Deserialize)]
struct RawChoice {
    delta: Option<RawMessage>,
    message: Option<RawMessage>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct RawMessage {
    content: Option<String>,
}

#[derive(Deserialize)]
struct RawUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<RawDetails>,
}

#[derive(Deserialize)]
struct RawDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct RawError {
    #[serde(default)]
    message: String,
}

impl Reading {
    /// Takes bytes of a stream as they come; true when they brought text.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let chunks_before = self.text_chunks;
        self.buffer.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(length) = memchr::memchr(b'\n', &self.buffer[start..]) {
            let line = self.buffer[start..start + length].to_vec();
            start += length + 1;
            self.line(&line);
        }
        self.buffer.drain(..start);
        if self.buffer.len() > EVENT_BYTES_MAX {
            self.error = Some(format!("an event is longer than {EVENT_BYTES_MAX} bytes"));
            self.buffer.clear();
        }
        self.text_chunks > chunks_before
    }

    /// Takes a response that is no stream.
    pub(super) fn whole(&mut self, body: &[u8]) {
        self.json(body);
        self.done = self.error.is_none();
    }

    fn line(&mut self, line: &[u8]) {
        let Some(data) = line.strip_prefix(b"data:") else {
            return;
        };
        match data.trim_ascii() {
            b"[DONE]" => self.done = true,
            json => self.json(json),
        }
    }

    fn json(&mut self, json: &[u8]) {
        let raw: RawResponse = match serde_json::from_slice(json) {
            Ok(raw) => raw,
            Err(error) => {
                self.error = Some(format!("unreadable response: {error}"));
                return;
            }
        };
        if let Some(error) = raw.error {
            self.error = Some(error.message);
        }
        if let Some(usage) = raw.usage {
            self.usage = Some(Usage {
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
                cached_tokens: usage
                    .prompt_tokens_details
                    .and_then(|one| one.cached_tokens),
            });
        }
        for choice in raw.choices {
            let message = choice.delta.or(choice.message).and_then(|one| one.content);
            if let Some(text) = choice.text.or(message).filter(|text| !text.is_empty()) {
                self.text.push_str(&text);
                self.text_chunks += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"h\\u00e9\"}}]}\r\n\r\n",
        ": comment\n\n",
        "data: {\"choices\":[{\"text\":\"llo\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,",
        "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n",
        "data: [DONE]\n\n"
    );

    proptest! {
        #[test]
        fn where_chunks_end_makes_no_difference(cuts in prop::collection::vec(0..STREAM.len(), 0..8)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let mut reading = Reading::default();
            for pair in cuts.windows(2) {
                reading.push(&STREAM.as_bytes()[pair[0]..pair[1]]);
            }
            prop_assert_eq!(reading.text.as_str(), "h\u{e9}llo");
            prop_assert_eq!(reading.text_chunks, 2);
            let usage = Usage { prompt_tokens: 9, completion_tokens: 2, cached_tokens: Some(4) };
            prop_assert_eq!(reading.usage, Some(usage));
            prop_assert!(reading.done && reading.error.is_none());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            Reading::default().push(&bytes);
        }
    }

    #[test]
    fn a_role_is_no_token() {
        let mut reading = Reading::default();
        let first = STREAM
            .find("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\"")
            .unwrap();
        assert!(!reading.push(&STREAM.as_bytes()[..first]));
        assert!(reading.push(&STREAM.as_bytes()[first..]));
    }

    #[test]
    fn errors_inside_a_stream_are_seen() {
        let mut reading = Reading::default();
        reading
            .push(b"data: {\"error\": {\"message\": \"dead\", \"code\": 500}}\n\ndata: [DONE]\n\n");
        assert_eq!(reading.error.as_deref(), Some("dead"));
        let mut reading = Reading::default();
        reading.push(b"data: {oops\n\n");
        assert!(reading.error.unwrap().contains("unreadable"));
    }

    #[test]
    fn an_event_may_be_as_long_as_the_limit() {
        let mut reading = Reading::default();
        reading.push(&vec![b'x'; EVENT_BYTES_MAX]);
        assert!(reading.error.is_none());
        reading.push(b"x");
        assert!(reading.error.is_some());
    }

    #[test]
    fn whole_responses_are_read() {
        let mut reading = Reading::default();
        reading.whole(br#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#);
        assert_eq!((reading.text.as_str(), reading.done), ("hi", true));
        assert_eq!(reading.usage.unwrap().cached_tokens, None);
    }
}
