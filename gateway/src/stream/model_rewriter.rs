//! Puts the name that a client asked for in place of the one that the engine has for the model.
//!
//! Bytes go through as they come: only the value of the field is exchanged, and nothing is held
//! back. Content that contains `"model":"..."` itself is a string, and strings are not looked into.

use bytes::Bytes;
use memchr::memchr2;
use warmgate_routing::request::Api;

use super::model_place::ModelPlace;

/// Rewrites one answer.
#[derive(Debug)]
pub struct ModelRewriter {
    place: ModelPlace,
    format: Format,
}

#[derive(Debug)]
enum Format {
    /// One JSON text.
    Whole,
    /// Events, of which each has one in its lines of data.
    Events(Line),
}

/// Where in a stream of events we are.
#[derive(Debug)]
enum Line {
    /// So many bytes of the name of a line of data have passed, and nothing else.
    Name(usize),
    Data,
    Other,
    /// After a carriage return, which a line feed may follow.
    Return,
}

/// How a line of data begins.
const DATA: &[u8] = b"data:";

impl ModelRewriter {
    /// For an answer of this content type, to whom asked for `name`; none where such an answer has
    /// no such field.
    #[must_use]
    pub fn new(api: Api, content_type: &[u8], name: &str) -> Option<ModelRewriter> {
        let essence = content_type.split(|byte| *byte == b';').next()?;
        let essence = essence.trim_ascii().to_ascii_lowercase();
        let format = match essence.as_slice() {
            b"text/event-stream" => Format::Events(Line::Name(0)),
            b"application/json" => Format::Whole,
            _ => return None,
        };
        // In streams these two wrap the answer so far in an object of the event.
        let inner: Option<&[u8]> = match api {
            Api::AnthropicMessages => Some(b"message"),
            Api::Responses => Some(b"response"),
            Api::ChatCompletions
            | Api::Completions
            | Api::Embeddings
            | Api::Rerank
            | Api::Score => None,
        };
        Some(ModelRewriter {
            place: ModelPlace::new(name, inner),
            format,
        })
    }

    /// The next bytes as the client is to get them; may be none for now.
    #[must_use]
    pub fn feed(&mut self, chunk: Bytes) -> Bytes {
        let mut out = Vec::with_capacity(chunk.len() + 64);
        match &mut self.format {
            Format::Whole => self.place.feed(&chunk, &mut out),
            Format::Events(line) => events(line, &mut self.place, &chunk, &mut out),
        }
        Bytes::from(out)
    }
}

fn events(line: &mut Line, place: &mut ModelPlace, mut chunk: &[u8], out: &mut Vec<u8>) {
    loop {
        let end = memchr2(b'\n', b'\r', chunk);
        let (text, rest) = chunk.split_at(end.unwrap_or(chunk.len()));
        if !text.is_empty() {
            within_line(line, place, text, out);
        }
        let Some((end, rest)) = rest.split_first() else {
            return;
        };
        out.push(*end);
        *line = line_ended(line, place, *end);
        chunk = rest;
    }
}

fn within_line(line: &mut Line, place: &mut ModelPlace, mut text: &[u8], out: &mut Vec<u8>) {
    if matches!(line, Line::Return) {
        *line = Line::Name(0);
    }
    if let Line::Name(known) = *line {
        let wanted = &DATA[known..];
        let same = wanted.iter().zip(text).take_while(|(a, b)| a == b).count();
        let (name, rest) = text.split_at(same);
        out.extend_from_slice(name);
        text = rest;
        *line = match same {
            same if same == wanted.len() => Line::Data,
            same if text.is_empty() => Line::Name(known + same),
            _ => Line::Other,
        };
    }
    match line {
        Line::Data => place.feed(text, out),
        _ => out.extend_from_slice(text),
    }
}

/// A line has ended with `end`. A blank one ends the event; the lines of data before it are one
/// text.
fn line_ended(line: &Line, place: &mut ModelPlace, end: u8) -> Line {
    let is_blank = match line {
        // The second half of a line's end.
        Line::Return if end == b'\n' => return Line::Name(0),
        Line::Name(0) | Line::Return => true,
        Line::Name(_) | Line::Data | Line::Other => false,
    };
    if is_blank {
        place.restart();
    }
    match end {
        b'\r' => Line::Return,
        _ => Line::Name(0),
    }
}
