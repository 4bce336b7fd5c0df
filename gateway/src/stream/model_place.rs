//! Finds where the name of the model stands in an answer that comes in pieces, by its place in the
//! JSON: text that only looks like it is never touched.

use memchr::memchr2;

/// The member whose value is a model's name.
const MODEL: &[u8] = b"model";

/// Walks over one JSON text in pieces and puts another name where the model's stands: at the top
/// of the text, and at the top of one object within it.
#[derive(Debug)]
pub(super) struct ModelPlace {
    /// Quotes and escapes included.
    name: Vec<u8>,
    /// The member of the text that may hold a name as well.
    inner: Option<&'static [u8]>,
    /// Brackets that are open.
    depth: u32,
    /// How many of them, from the outermost on, are objects that may hold a name.
    watched: u32,
    expected: Expected,
    state: State,
    key: Key,
}

/// What comes next in the innermost object that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Key,
    Colon,
    Value,
    Comma,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Between,
    Inside { string: Text, is_escaped: bool },
}

/// What a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Key,
    /// The name to be replaced; what stands for it has been written.
    Model,
    Other,
}

impl ModelPlace {
    pub(super) fn new(name: &str, inner: Option<&'static [u8]>) -> ModelPlace {
        ModelPlace {
            name: serde_json::Value::from(name).to_string().into_bytes(),
            inner,
            depth: 0,
            watched: 0,
            expected: Expected::Value,
            state: State::Between,
            key: Key::default(),
        }
    }

    /// Another text begins.
    pub(super) fn restart(&mut self) {
        (self.depth, self.watched) = (0, 0);
        self.state = State::Between;
    }

    /// Appends the next piece, rewritten, to `out`.
    pub(super) fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        // What has been written, or left out, of the piece.
        let mut done = 0;
        let mut at = 0;
        while at < piece.len() {
            match self.state {
                State::Between => {
                    if self.token(piece[at]) {
                        out.extend_from_slice(&piece[done..at]);
                        out.extend_from_slice(&self.name);
                        done = at + 1;
                    }
                    at += 1;
                }
                State::Inside { string, is_escaped } => {
                    let end = self.string_end(string, is_escaped, &piece[at..]);
                    at += end;
                    if string == Text::Model {
                        done = at;
                    }
                }
            }
        }
        out.extend_from_slice(&piece[done..]);
    }

    /// Takes a byte outside of strings. True where the name begins with it.
    fn token(&mut self, byte: u8) -> bool {
        let is_watched = self.depth > 0 && self.depth == self.watched;
        match byte {
            b'{' => {
                let is_inner = is_watched
                    && self.depth == 1
                    && self.expected == Expected::Value
                    && self.inner.is_some_and(|inner| self.key.is(inner));
                if self.depth == 0 || is_inner {
                    self.watched = self.depth + 1;
                    self.expected = Expected::Key;
                }
                self.depth = self.depth.saturating_add(1);
            }
            b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.watched > self.depth {
                    self.watched = self.depth;
                    self.expected = Expected::Comma;
                }
            }
            b',' if is_watched => self.expected = Expected::Key,
            b':' if is_watched && self.expected == Expected::Colon => {
                self.expected = Expected::Value;
            }
            b'"' => {
                let string = match (is_watched, self.expected) {
                    (true, Expected::Key) => Text::Key,
                    (true, Expected::Value) if self.key.is(MODEL) => Text::Model,
                    _ => Text::Other,
                };
                if string == Text::Key {
                    self.key = Key::default();
                }
                self.state = State::Inside {
                    string,
                    is_escaped: false,
                };
                return string == Text::Model;
            }
            _ => {}
        }
        false
    }

    /// Walks over what is left of a string in `rest`, with its closing quote; returns how long
    /// that is.
    fn string_end(&mut self, string: Text, is_escaped: bool, rest: &[u8]) -> usize {
        let plain = if is_escaped {
            1
        } else {
            memchr2(b'"', b'\\', rest).unwrap_or(rest.len())
        };
        if string == Text::Key {
            self.key.extend(&rest[..plain]);
        }
        let is_escaped = match rest.get(plain) {
            Some(b'"') => {
                self.string_ended(string);
                return plain + 1;
            }
            Some(b'\\') => true,
            // The end of an escape, or of the piece.
            _ => {
                let is_escaped = false;
                self.state = State::Inside { string, is_escaped };
                return plain;
            }
        };
        if string == Text::Key {
            self.key.extend(b"\\");
        }
        self.state = State::Inside { string, is_escaped };
        plain + 1
    }

    fn string_ended(&mut self, string: Text) {
        self.state = State::Between;
        if self.depth == self.watched {
            self.expected = match string {
                Text::Key => Expected::Colon,
                Text::Model | Text::Other => Expected::Comma,
            };
        }
    }
}

/// The longest name that is looked for.
const KEY_BYTES_MAX: usize = 8;

/// A member's name as it stands in the text, as far as it matters.
#[derive(Debug, Default)]
struct Key {
    bytes: [u8; KEY_BYTES_MAX],
    /// Of the whole name, kept or not.
    length: usize,
}

impl Key {
    fn extend(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = *byte;
            }
            self.length = self.length.saturating_add(1);
        }
    }

    fn is(&self, name: &[u8]) -> bool {
        self.bytes.get(..self.length) == Some(name)
    }
}
