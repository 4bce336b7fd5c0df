//! Walks JSON text in place: where each value starts and ends, with no tree and no copy.
//!
//! The grammar is that of RFC 8259, with one liberty: escapes inside of strings that nobody reads
//! are not checked. (serde_json takes about 150 us to find the fields of a 512 KB body with a line
//! break every 40 bytes, more than all the rest of the work; here a string is skipped by searching
//! for its closing quote.) Ends of long strings are remembered, so that they are searched once.

use std::borrow::Cow;

use memchr::memchr;

#[cfg(test)]
mod tests;

use super::error::{Problem, RequestError};
use super::search::find;

/// Levels of brackets in a body. serde_json stops at 128 too.
pub const MAX_DEPTH: usize = 128;

/// Strings from this length on are worth remembering.
const LONG_STRING_BYTES: usize = 128;

/// A piece of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) fn of(self, body: &str) -> &str {
        &body[self.start..self.end]
    }
}

/// Where long strings end; filled by the first walk, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct LongStrings(Vec<Span>);

/// What a walk does with [`LongStrings`]: the first one learns, later ones know.
pub(super) trait StringEnds {
    fn known(&self, start: usize) -> Option<usize>;
    fn learn(&mut self, string: Span);
}

impl StringEnds for LongStrings {
    fn known(&self, _: usize) -> Option<usize> {
        None
    }
    fn learn(&mut self, string: Span) {
        self.0.push(string);
    }
}

impl StringEnds for &LongStrings {
    fn known(&self, start: usize) -> Option<usize> {
        let index = self.0.binary_search_by_key(&start, |string| string.start);
        index.ok().map(|index| self.0[index].end)
    }
    fn learn(&mut self, _: Span) {}
}

/// The name of a member as it stands in the body, quotes included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'b>(&'b str);

impl<'b> Name<'b> {
    /// The name as the engine will read it: `"k\u0065y"` is `key`.
    pub(super) fn decoded(self) -> Cow<'b, str> {
        // What cannot be decoded has a backslash in it, and is none of the names we know.
        decode(self.0).unwrap_or(Cow::Borrowed(self.0))
    }
}

/// The text of a JSON string, or none if it is no string or has an impossible escape.
pub(super) fn decode(string: &str) -> Option<Cow<'_, str>> {
    let inner = string.strip_prefix('"')?.strip_suffix('"')?;
    if memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(string).ok().map(Cow::Owned)
}

/// A position in the body that moves over whole values.
#[derive(Debug)]
pub(super) struct Walker<'b, Ends> {
    body: &'b str,
    at: usize,
    depth: usize,
    ends: Ends,
}

impl<'b> Walker<'b, LongStrings> {
    /// The first walk, over the whole body.
    pub(super) fn first(body: &'b str) -> Self {
        Walker {
            body,
            at: 0,
            depth: 0,
            ends: LongStrings::default(),
        }
    }

    /// What the first walk has learned, if nothing but space is left.
    pub(super) fn finish(mut self) -> Result<LongStrings, RequestError> {
        match self.peek() {
            None => Ok(self.ends),
            Some(_) => Err(self.error(Problem::TrailingText)),
        }
    }
}

impl<'b> Walker<'b, &'b LongStrings> {
    /// A later walk, over one value.
    pub(super) fn over(body: &'b str, value: Span, ends: &'b LongStrings) -> Self {
        Walker {
            body,
            at: value.start,
            depth: 0,
            ends,
        }
    }
}

impl<'b, Ends: StringEnds> Walker<'b, Ends> {
    /// The first byte of what comes next, with the position on it.
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.body.as_bytes().get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Where the position is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Walks over the value that comes next.
    pub(super) fn skip(&mut self) -> Result<Span, RequestError> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => self.string()?,
            Some(b'{') => self.members(|walker, _| walker.skip().map(drop))?,
            Some(b'[') => self.items(|walker| walker.skip().map(drop))?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal("true")?,
            Some(b'f') => self.literal("false")?,
            Some(b'n') => self.literal("null")?,
            Some(_) => return Err(self.error(Problem::ExpectedValue)),
            None => return Err(self.error(Problem::UnexpectedEnd)),
        }
        Ok(Span {
            start,
            end: self.at,
        })
    }

    /// Walks over an object that must come next.
    pub(super) fn object(
        &mut self,
        visit: impl FnMut(&mut Self, Member<'b>) -> Result<(), RequestError>,
    ) -> Result<(), RequestError> {
        match self.peek() {
            Some(b'{') => self.members(visit),
            Some(_) => Err(self.error(Problem::ExpectedValue)),
            None => Err(self.error(Problem::UnexpectedEnd)),
        }
    }

    /// Walks over an object whose brace comes next. `visit` sees each name with the position before its value, and walks
    /// over that value.
    pub(super) fn members(
        &mut self,
        mut visit: impl FnMut(&mut Self, Member<'b>) -> Result<(), RequestError>,
    ) -> Result<(), RequestError> {
        self.enter()?;
        if self.peek() == Some(b'}') {
            return self.leave();
        }
        loop {
            match self.peek() {
                Some(b'"') => {}
                Some(_) => return Err(self.error(Problem::ExpectedName)),
                None => return Err(self.error(Problem::UnexpectedEnd)),
            }
            let start = self.at;
            self.string()?;
            let name = Name(&self.body[start..self.at]);
            match self.peek() {
                Some(b':') => self.at += 1,
                Some(_) => return Err(self.error(Problem::ExpectedColon)),
                None => return Err(self.error(Problem::UnexpectedEnd)),
            }
            visit(self, Member { name, start })?;
            if !self.comma_before(b'}')? {
                return self.leave();
            }
        }
    }

    /// Walks over an array whose bracket comes next. `visit` sees the position before each item, and walks over it.
    pub(super) fn items(
        &mut self,
        mut visit: impl FnMut(&mut Self) -> Result<(), RequestError>,
    ) -> Result<(), RequestError> {
        self.enter()?;
        if self.peek() == Some(b']') {
            return self.leave();
        }
        loop {
            visit(self)?;
            if !self.comma_before(b']')? {
                return self.leave();
            }
        }
    }

    /// Walks over an object and returns the values of those members; the last one of each name, as
    /// Python's json does it.
    pub(super) fn pick<const N: usize>(
        &mut self,
        names: [&str; N],
    ) -> Result<[Option<Span>; N], RequestError> {
        let mut picked = [None; N];
        self.members(|walker, member| {
            let value = walker.skip()?;
            let name = member.name.decoded();
            if let Some(index) = names.iter().position(|wanted| *wanted == name) {
                // A null is as good as nothing.
                picked[index] = (value.of(walker.body) != "null").then_some(value);
            }
            Ok(())
        })?;
        Ok(picked)
    }

    fn enter(&mut self) -> Result<(), RequestError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(Problem::TooDeep));
        }
        self.at += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), RequestError> {
        self.depth -= 1;
        self.at += 1;
        Ok(())
    }

    /// True and past it at a comma, false and on it at `end`.
    fn comma_before(&mut self, end: u8) -> Result<bool, RequestError> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == end => Ok(false),
            Some(_) => Err(self.error(Problem::ExpectedCommaOrEnd)),
            None => Err(self.error(Problem::UnexpectedEnd)),
        }
    }

    fn string(&mut self) -> Result<(), RequestError> {
        let start = self.at;
        let bytes = self.body.as_bytes();
        let short = &bytes[..bytes.len().min(start + LONG_STRING_BYTES)];
        let end = match closing_quote(short, start) {
            Some(quote) => quote + 1,
            None => match self.ends.known(start) {
                // Its bytes have been checked when it was learned.
                Some(end) => {
                    self.at = end;
                    return Ok(());
                }
                None => match closing_quote(bytes, start) {
                    Some(quote) => {
                        self.ends.learn(Span {
                            start,
                            end: quote + 1,
                        });
                        quote + 1
                    }
                    None => {
                        self.at = bytes.len();
                        return Err(self.error(Problem::UnexpectedEnd));
                    }
                },
            },
        };
        let text = &bytes[start..end];
        // Without an early exit, so that the compiler looks at many bytes at once.
        if text.iter().fold(false, |any, byte| any | (*byte < 0x20)) {
            let offset = text.iter().position(|byte| *byte < 0x20);
            self.at = start + offset.unwrap_or_default();
            return Err(self.error(Problem::ControlCharacter));
        }
        self.at = end;
        Ok(())
    }

    fn number(&mut self) -> Result<(), RequestError> {
        let rest = &self.body.as_bytes()[self.at..];
        let digits = |from: usize| {
            rest[from..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count()
        };
        let mut end = usize::from(rest.first() == Some(&b'-'));
        let whole = digits(end);
        let mut is_good = whole == 1 || (whole > 1 && rest[end] != b'0');
        end += whole;
        if rest.get(end) == Some(&b'.') {
            let fraction = digits(end + 1);
            is_good &= fraction > 0;
            end += 1 + fraction;
        }
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            end += 1 + usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end);
            is_good &= exponent > 0;
            end += exponent;
        }
        if !is_good {
            return Err(self.error(Problem::MalformedNumber));
        }
        self.at += end;
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Result<(), RequestError> {
        if !self.body[self.at..].starts_with(word) {
            return Err(self.error(Problem::ExpectedValue));
        }
        self.at += word.len();
        Ok(())
    }

    fn error(&self, problem: Problem) -> RequestError {
        RequestError::not_json(self.body, self.at, problem)
    }
}

/// A member of an object: its name, and where that starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'b> {
    pub(super) name: Name<'b>,
    pub(super) start: usize,
}

/// The first quote after the opening one at `start` that has an even number of backslashes before
/// it, within `bytes`.
fn closing_quote(bytes: &[u8], start: usize) -> Option<usize> {
    let mut from = start + 1;
    loop {
        let quote = from + find(b'"', bytes.get(from..)?)?;
        // A quote that is part of the text ends the run, so no backslash is counted twice.
        let backslashes = bytes[from..quote]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\');
        if backslashes.count() % 2 == 0 {
            return Some(quote);
        }
        from = quote + 1;
    }
}
