//! Why a body cannot be read. Always the client's fault, and the same body will never do.

use thiserror::Error;

use super::MAX_MODEL_NAME_BYTES;

/// A body that no engine would take. Says where and what, never what the prompt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Not UTF-8, which JSON must be (RFC 8259, section 8.1).
    #[error("the body is not UTF-8 from byte {at} on; send JSON encoded as UTF-8")]
    NotUtf8 {
        /// Offset of the first bad byte.
        at: usize,
    },
    /// Not JSON.
    #[error("the body is not valid JSON: {problem} at line {line} column {column}")]
    NotJson {
        /// What was met, or missed.
        problem: Problem,
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// JSON, but a list, a text or a number.
    #[error("the body must be a JSON object with the request's fields")]
    NotAnObject,
    /// The field `model` is a number, a list or an object.
    #[error("the field `model` must be a string")]
    ModelNotAString,
    /// The field `model` is longer than [`MAX_MODEL_NAME_BYTES`].
    #[error("the field `model` has {bytes} bytes; at most {MAX_MODEL_NAME_BYTES} are allowed")]
    ModelTooLong {
        /// How long it is.
        bytes: usize,
    },
}

impl RequestError {
    /// With line and column of byte `at`.
    pub(super) fn not_json(body: &str, at: usize, problem: Problem) -> RequestError {
        let before = &body.as_bytes()[..at.min(body.len())];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        RequestError::NotJson {
            problem,
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            column: 1 + before.len() - line_start,
        }
    }
}

/// What is wrong with a JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The text stops in the middle of a value.
    #[error("unexpected end")]
    UnexpectedEnd,
    /// None of `{ [ " - 0..9 t f n`.
    #[error("expected a value")]
    ExpectedValue,
    /// A member of an object without a name in quotes.
    #[error("expected a name in quotes")]
    ExpectedName,
    /// No `:` after a name.
    #[error("expected `:`")]
    ExpectedColon,
    /// Neither `,` nor the closing bracket.
    #[error("expected `,` or a closing bracket")]
    ExpectedCommaOrEnd,
    /// Something after the value.
    #[error("unexpected text after the end of the object")]
    TrailingText,
    /// A number that JSON does not know, such as `01`, `1.` or `+1`.
    #[error("malformed number")]
    MalformedNumber,
    /// A raw byte below 0x20 in a string.
    #[error("control character in a string, which must be escaped")]
    ControlCharacter,
    /// A backslash before anything but `"\/bfnrt` or `u` with four hexadecimal digits.
    #[error("malformed escape")]
    MalformedEscape,
    /// Deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("nested too deeply")]
    TooDeep,
}
