//! Decodes JSON strings piece by piece into a [`Sink`], so that the same text has the same hash
//! however a client escapes it, and no decoded copy of the prompt is ever made.

use memchr::memchr;
use xxhash_rust::xxh3::Xxh3;

use crate::block::BlockHasher;

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

/// Writes the text of a string, given without its quotes.
///
/// Half of a surrogate pair, which JavaScript clients do send, is written as the three bytes that
/// UTF-8 would have for it.
pub(super) fn unescape(escaped: &[u8], sink: &mut impl Sink) -> Result<(), BadEscape> {
    let mut from = 0;
    while let Some(offset) = memchr(b'\\', &escaped[from..]) {
        let at = from + offset;
        sink.write(&escaped[from..at]);
        let rest = &escaped[at + 1..];
        from = at + 2;
        match rest.first() {
            Some(b'n') => sink.write(b"\n"),
            Some(plain @ (b'"' | b'\\' | b'/')) => sink.write(&[*plain]),
            Some(b't') => sink.write(b"\t"),
            Some(b'r') => sink.write(b"\r"),
            Some(b'b') => sink.write(&[0x08]),
            Some(b'f') => sink.write(&[0x0c]),
            Some(b'u') => {
                let first = hex4(&rest[1..]).ok_or(BadEscape { at })?;
                from += 4;
                let second = rest[5..].strip_prefix(b"\\u").and_then(hex4);
                let (code, is_pair) = match (first, second) {
                    (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                        (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), true)
                    }
                    _ => (first, false),
                };
                from += if is_pair { 6 } else { 0 };
                write_code_point(code, sink);
            }
            _ => return Err(BadEscape { at }),
        }
    }
    sink.write(&escaped[from..]);
    Ok(())
}

fn hex4(text: &[u8]) -> Option<u32> {
    text.get(..4)?.iter().try_fold(0, |code, digit| {
        Some(code << 4 | char::from(*digit).to_digit(16)?)
    })
}

fn write_code_point(code: u32, sink: &mut impl Sink) {
    match char::from_u32(code) {
        Some(character) => sink.write(character.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let low_bits = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
            sink.write(&[0xe0 | (code >> 12) as u8, low_bits(6), low_bits(0)]);
        }
    }
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
                    "\"\\\\[\"nrtbf/u]?[0-9a-fA-F]{0,4}\"",
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
