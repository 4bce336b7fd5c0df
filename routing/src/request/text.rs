//! Decodes JSON strings piece by piece into a [`Sink`], so that the same text has the same hash
//! however a client escapes it, and no decoded copy of the prompt is ever made.

use memchr::memchr;
use xxhash_rust::xxh3::Xxh3;

use crate::block::BlockHasher;

use super::search::{NEAR_BYTES, STEP_BYTES, find_in_step};

/// Where decoded text goes.
pub(super) trait Sink {
    fn write(&mut self, bytes: &[u8]);
}

impl Sink for BlockHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Sink for Xxh3 {
    fn write(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Sink for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Only counts.
#[derive(Debug, Default)]
pub(super) struct Length {
    pub(super) bytes: u64,
}

impl Sink for Length {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
    }
}

/// An escape that JSON does not know, at this offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadEscape {
    pub(super) at: usize,
}

/// Decoded bytes gathered before they are written. A text without escapes is written as it is.
const GATHERED_BYTES: usize = 2048;

/// Writes the text of a string, given without its quotes.
///
/// Half of a surrogate pair, which JavaScript clients do send, is written as the three bytes that
/// UTF-8 would have for it.
pub(super) fn unescape(escaped: &[u8], sink: &mut impl Sink) -> Result<(), BadEscape> {
    let Some(mut from) = memchr(b'\\', escaped) else {
        sink.write(escaped);
        return Ok(());
    };
    sink.write(&escaped[..from]);
    let mut gathered = Gathered {
        bytes: [0; GATHERED_BYTES],
        length: 0,
    };
    loop {
        from += gathered
            .push_escape(&escaped[from..])
            .ok_or(BadEscape { at: from })?;
        // Source code has an escape every few bytes: there a search costs more than the copy.
        let near = gathered.copy_to_escape(&escaped[from..]);
        from += near.copied;
        if gathered.length > GATHERED_BYTES - ADDED_BYTES_MAX || !near.is_at_escape {
            sink.write(&gathered.bytes[..gathered.length]);
            gathered.length = 0;
        }
        if !near.is_at_escape {
            // A long way to the next escape, or none: nothing is copied.
            let rest = &escaped[from..];
            let plain = memchr(b'\\', rest).unwrap_or(rest.len());
            sink.write(&rest[..plain]);
            from += plain;
            if from == escaped.len() {
                return Ok(());
            }
        }
    }
}

/// Most that one escape and the text after it can add: a character, and what is near.
const ADDED_BYTES_MAX: usize = 4 + NEAR_BYTES;

/// What stands for the one character after a backslash; zero for what needs more than a look.
const SHORT_ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'/' as usize] = b'/';
    table[b'b' as usize] = 0x08;
    table[b'f' as usize] = 0x0c;
    table[b'n' as usize] = b'\n';
    table[b'r' as usize] = b'\r';
    table[b't' as usize] = b'\t';
    table
};

struct Gathered {
    bytes: [u8; GATHERED_BYTES],
    length: usize,
}

struct Near {
    copied: usize,
    is_at_escape: bool,
}

impl Gathered {
    /// Copies up to the next backslash if it is near.
    #[inline]
    fn copy_to_escape(&mut self, text: &[u8]) -> Near {
        let mut copied = 0;
        for step in text
            .as_chunks::<STEP_BYTES>()
            .0
            .iter()
            .take(NEAR_BYTES / STEP_BYTES)
        {
            self.bytes[self.length..self.length + STEP_BYTES].copy_from_slice(step);
            if let Some(offset) = find_in_step(b'\\', *step) {
                self.length += offset;
                return Near {
                    copied: copied + offset,
                    is_at_escape: true,
                };
            }
            self.length += STEP_BYTES;
            copied += STEP_BYTES;
        }
        Near {
            copied,
            is_at_escape: false,
        }
    }

    /// Decodes the escape that `text` begins with, and returns how long it is.
    #[inline]
    fn push_escape(&mut self, text: &[u8]) -> Option<usize> {
        let short = SHORT_ESCAPES[usize::from(*text.get(1)?)];
        if short != 0 {
            self.bytes[self.length] = short;
            self.length += 1;
            return Some(2);
        }
        let (code_point, length) = unicode_escape(text)?;
        self.push(code_point);
        Some(length)
    }

    fn push(&mut self, code_point: u32) {
        let rest = &mut self.bytes[self.length..];
        self.length += match char::from_u32(code_point) {
            Some(character) => character.encode_utf8(rest).len(),
            None => {
                let low_bits = |shift: u32| 0x80 | (code_point >> shift & 0x3f) as u8;
                let first = 0xe0 | (code_point >> 12) as u8;
                rest[..3].copy_from_slice(&[first, low_bits(6), low_bits(0)]);
                3
            }
        };
    }
}

/// The code point of `\uXXXX`, or of two of them that make a pair, and how long that is.
fn unicode_escape(text: &[u8]) -> Option<(u32, usize)> {
    let first = hex4(text.strip_prefix(b"\\u")?)?;
    let second = text[6..].strip_prefix(b"\\u").and_then(hex4);
    Some(match (first, second) {
        (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), 12)
        }
        _ => (first, 6),
    })
}

fn hex4(text: &[u8]) -> Option<u32> {
    text.get(..4)?.iter().try_fold(0, |code, digit| {
        Some(code << 4 | char::from(*digit).to_digit(16)?)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unescaped(escaped: &str) -> Result<Vec<u8>, BadEscape> {
        let mut text = Vec::new();
        unescape(escaped.as_bytes(), &mut text).map(|()| text)
    }

    #[test]
    fn every_escape() {
        let escaped = r#"\"\\\/\b\f\n\r\t\u00e9\u4e2d\uD83D\ude00 end"#;
        let text = "\"\\/\u{8}\u{c}\n\r\té中😀 end";
        assert_eq!(unescaped(escaped).unwrap(), text.as_bytes());
    }

    #[test]
    fn half_a_pair_is_kept_apart_from_other_text() {
        assert_eq!(unescaped(r"\ud83d").unwrap(), [0xed, 0xa0, 0xbd]);
        assert_eq!(
            unescaped(r"\ude00\ud83d").unwrap(),
            [0xed, 0xb8, 0x80, 0xed, 0xa0, 0xbd]
        );
        assert_eq!(
            unescaped(r"\ud83d\u0041").unwrap(),
            [0xed, 0xa0, 0xbd, b'A']
        );
    }

    #[test]
    fn impossible_escapes_are_errors() {
        for escaped in [
            r"ab\",
            r"ab\x",
            r"ab\u",
            r"ab\u12",
            r"ab\u12g4",
            r"ab\u+123",
        ] {
            assert_eq!(unescaped(escaped), Err(BadEscape { at: 2 }), "{escaped}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(
            pieces in proptest::collection::vec(
                prop_oneof![
                    "[ -~é中😀]{0,40}".prop_map(|text| serde_json::to_string(&text).unwrap()),
                    any::<char>().prop_map(|c| serde_json::to_string(&c).unwrap()),
                    "\"\\\\[\"nrtbf/ux][0-9a-fA-F]{0,4}\"",
                    "\"\\\\u[dD][89a-fA-F][0-9a-f]{2}\"",
                ],
                0..8,
            ),
        ) {
            let escaped: String = pieces.iter().map(|piece| &piece[1..piece.len() - 1]).collect();
            let quoted = format!("\"{escaped}\"");
            match serde_json::from_str::<String>(&quoted) {
                Ok(text) => prop_assert_eq!(unescaped(&escaped).unwrap(), text.into_bytes()),
                Err(error) => {
                    // We also take halves of surrogate pairs.
                    let is_half = unescaped(&escaped).is_ok_and(|text| String::from_utf8(text).is_err());
                    let is_bad = unescaped(&escaped).is_err();
                    prop_assert!(is_half || is_bad, "{}", error);
                }
            }
        }
    }
}
