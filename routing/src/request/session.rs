//! Which session a request belongs to, from what real clients say about it.
//!
//! A header beats the body, because a header is set by whoever knows the session (the agent) and
//! `user` in the body often names a person with many of them. Within each, the first in the table
//! that is not empty counts.

use xxhash_rust::xxh3::xxh3_64;

/// Hash of a session's name, the same in all replicas; the name itself is never kept or logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey(pub u64);

/// Headers that name a session, in lower case, the one that counts most first.
///
/// Not among them: `x-client-request-id`, `x-request-id` and the like, which most clients make
/// anew for each request, and `x-opencode-request`, for the same reason.
pub const SESSION_HEADERS: &[&str] = &[
    "x-session-id",       // the convention; OpenCode, mini-swe-agent, Open WebUI's filters
    "x-session-affinity", // OpenCode, pi
    "x-claude-code-session-id", // Claude Code
    "x-opencode-session", // OpenCode with its own providers
    "x-qwen-code-session-id", // Qwen Code
    "x-amp-thread-id",    // Amp
    "session-id",         // Codex
    "session_id",         // older Codex, pi
    "conversation-id",    // older Codex
    "conversation_id",    // older Codex
    "x-conversation-id",  // llama.cpp's web interface
    "x-litellm-session-id", // LiteLLM in front of us
    "helicone-session-id", // Helicone's SDKs
];

impl SessionKey {
    /// From the text of a hint in the body; none where it is empty.
    #[must_use]
    pub fn from_text(text: &str) -> Option<SessionKey> {
        (!text.is_empty()).then(|| SessionKey(xxh3_64(text.as_bytes())))
    }

    /// From a request's headers, names in lower case: one walk over what is there, as most
    /// requests have few headers and none of these.
    pub fn from_headers<'h>(
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Option<SessionKey> {
        let mut best: Option<(usize, &[u8])> = None;
        for (name, value) in headers {
            let Some(place) = SESSION_HEADERS.iter().position(|known| *known == name) else {
                continue;
            };
            let value = value.trim_ascii();
            if !value.is_empty() && best.is_none_or(|(before, _)| place < before) {
                best = Some((place, value));
            }
        }
        best.map(|(_, value)| SessionKey(xxh3_64(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_and_a_field_with_the_same_text_are_the_same_session() {
        let key = SessionKey::from_text("s-1");
        assert!(key.is_some());
        let header: (&str, &[u8]) = ("x-session-id", b" s-1 ");
        assert_eq!(SessionKey::from_headers([header]), key);
    }

    #[test]
    fn empty_and_foreign_headers_are_no_hint() {
        assert_eq!(SessionKey::from_text(""), None);
        let headers: [(&str, &[u8]); 2] = [("x-session-id", b"  "), ("x-request-id", b"r-1")];
        assert_eq!(SessionKey::from_headers(headers), None);
    }

    #[test]
    fn the_first_in_the_table_that_is_not_empty_counts() {
        let headers: [(&str, &[u8]); 3] = [
            ("conversation_id", b"c"),
            ("session_id", b"s"),
            ("x-session-id", b""),
        ];
        let key = SessionKey::from_headers(headers);
        assert_eq!(key, SessionKey::from_text("s"));
    }
}
