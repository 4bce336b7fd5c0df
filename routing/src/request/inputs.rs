//! Prompts given as they are: a text, token ids, or a list of either.

use super::envelope::PromptFields;
use super::json::Span;
use super::prompt::PromptWriter;
use super::text::Sink;
use super::{Api, InferenceRequest, RequestError};

/// Token ids gathered before they are passed on, to spare a call for each.
const TOKEN_IDS_AT_ONCE: usize = 256;

/// Whether the first prompt of a request is a list of token ids.
pub(super) fn is_token_ids(request: &InferenceRequest<'_>) -> bool {
    let PromptFields {
        prompt,
        input,
        messages,
        ..
    } = request.fields;
    let value = match request.api {
        Api::Completions => prompt,
        Api::Embeddings if messages.is_none() => input,
        _ => None,
    };
    let is_space = |c: char| c.is_ascii_whitespace();
    let Some(list) = value.and_then(|value| value.of(request.body).strip_prefix('[')) else {
        return false;
    };
    let list = list.trim_start_matches(is_space);
    let first = list
        .strip_prefix('[')
        .unwrap_or(list)
        .trim_start_matches(is_space);
    first.starts_with(|c: char| c.is_ascii_digit())
}

impl<S: Sink> PromptWriter<'_, S> {
    /// The first prompt; of the others, only how long they are.
    pub(super) fn inputs(&mut self, value: Option<Span>) -> Result<(), RequestError> {
        let Some(value) = value else { return Ok(()) };
        match self.kind(value) {
            b'"' => self.text(value),
            b'[' if self
                .first_item(value)
                .is_some_and(|kind| kind.is_ascii_digit()) =>
            {
                self.token_ids(value)
            }
            b'[' => {
                let mut is_first = true;
                self.each(value, |writer, item| {
                    let is_first = std::mem::take(&mut is_first);
                    match (writer.kind(item), is_first) {
                        (b'[', true) => writer.token_ids(item),
                        (b'[', false) => writer.further_token_ids(item),
                        (_, true) => writer.text(item),
                        (_, false) => writer.further(item),
                    }
                })
            }
            _ => Ok(()),
        }
    }

    fn first_item(&self, list: Span) -> Option<u8> {
        let rest = &list.of(self.body)[1..];
        rest.bytes().find(|byte| !byte.is_ascii_whitespace())
    }

    /// Four bytes for each id, little end first. What is no id (negative, a fraction, beyond 32
    /// bits) is written as the largest one, which no vocabulary has.
    fn token_ids(&mut self, list: Span) -> Result<(), RequestError> {
        let mut gathered = Vec::with_capacity(4 * TOKEN_IDS_AT_ONCE);
        for id in list.of(self.body)[1..list.end - list.start - 1].split(',') {
            let id: u32 = id.trim_ascii().parse().unwrap_or(u32::MAX);
            gathered.extend_from_slice(&id.to_le_bytes());
            if gathered.len() == gathered.capacity() {
                self.out.write(&gathered);
                gathered.clear();
            }
        }
        self.out.write(&gathered);
        Ok(())
    }

    fn further_token_ids(&mut self, list: Span) -> Result<(), RequestError> {
        let commas = memchr::memchr_iter(b',', list.of(self.body).as_bytes()).count();
        let is_empty = self.first_item(list) == Some(b']');
        self.further_bytes += if is_empty { 0 } else { 4 * (commas as u64 + 1) };
        Ok(())
    }
}
