//! The canonical prompt: one stream of bytes, whatever the API, in the order of engines.
//!
//! Chat templates put tools and system before everything else, so these come first wherever the
//! client wrote them. Marks keep different structures apart: `0xff` and a letter, which no UTF-8
//! text contains. Text is unescaped, so that a conversation has the same blocks whichever client
//! sends it, and through whichever API; what engines do not render (reasoning of earlier turns,
//! `cache_control`, unknown fields) is left out.

use xxhash_rust::xxh3::Xxh3;

use super::json::{LongStrings, Span, Walker};
use super::text::{BadEscape, Length, Sink, unescape};
use super::{Api, InferenceRequest, Problem, RequestError};

/// Bytes that an image, an audio clip or a file counts for: 576 tokens at 4 bytes, the patches of
/// a picture for CLIP ViT-L/14 at 336 pixels, as in LLaVA 1.5 (arXiv:2310.03744). Engines spend
/// from 85 tokens to some thousands, by model and resolution; the bytes of the picture's encoding
/// say nothing about it.
pub const MEDIA_PROMPT_BYTES: usize = 576 * 4;

/// Begins a part of the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mark {
    /// Definitions of tools, as they stand in the body.
    Tools = b't',
    /// Documents for the template, as they stand in the body.
    Documents = b'd',
    /// A message; its role follows.
    Message = b'm',
    /// Name of a message's author.
    Name = b'n',
    /// Content of a message.
    Content = b'c',
    /// A further part of the same content.
    Part = b'p',
    /// An image, an audio clip or a file; its digest follows until the size is reached.
    Media = b'i',
    /// Calls of tools.
    Calls = b'f',
    /// Which call a message answers.
    Answers = b'a',
    /// Something of unknown type, as it stands in the body.
    Other = b'o',
    /// The second of two texts that are compared.
    Compared = b'v',
}

/// Writes a request's prompt.
pub(super) fn write<S: Sink>(
    request: &InferenceRequest<'_>,
    out: &mut PromptWriter<'_, S>,
) -> Result<(), RequestError> {
    let fields = request.fields;
    match request.api {
        Api::ChatCompletions | Api::Responses | Api::AnthropicMessages => out.chat(&fields),
        Api::Embeddings if fields.messages.is_some() => out.chat(&fields),
        Api::Embeddings => out.inputs(fields.input),
        Api::Completions => out.inputs(fields.prompt),
        Api::Rerank | Api::Score => out.pairs(&fields),
    }
}

/// Turns parts of the body into the canonical prompt.
#[derive(Debug)]
pub(super) struct PromptWriter<'b, S> {
    pub(super) body: &'b str,
    long_strings: &'b LongStrings,
    pub(super) out: S,
    pub(super) further_bytes: u64,
}

impl<'b, S: Sink> PromptWriter<'b, S> {
    pub(super) fn new(request: &'b InferenceRequest<'_>, out: S) -> PromptWriter<'b, S> {
        let long_strings = &request.long_strings;
        PromptWriter {
            body: request.body,
            long_strings,
            out,
            further_bytes: 0,
        }
    }

    /// What was written to, and the bytes of further prompts.
    pub(super) fn finish(self) -> (S, u64) {
        (self.out, self.further_bytes)
    }

    pub(super) fn walk(&self, value: Span) -> Walker<'b, &'b LongStrings> {
        Walker::over(self.body, value, self.long_strings)
    }

    /// The first byte of a value tells its type.
    pub(super) fn kind(&self, value: Span) -> u8 {
        self.body.as_bytes()[value.start]
    }

    pub(super) fn mark(&mut self, mark: Mark) {
        self.out.write(&[0xff, mark as u8]);
    }

    /// A value as it stands in the body.
    pub(super) fn raw(&mut self, value: Span) {
        self.out.write(value.of(self.body).as_bytes());
    }

    /// The text of a string; any other value as it stands in the body.
    pub(super) fn text(&mut self, value: Span) -> Result<(), RequestError> {
        match self.inner(value) {
            Some(inner) => {
                unescape(inner, &mut self.out).map_err(|bad| self.bad_escape(value, bad))
            }
            None => {
                self.raw(value);
                Ok(())
            }
        }
    }

    /// Stands for the content at this value, which may be an address or megabytes of base64.
    pub(super) fn media(&mut self, value: Span) -> Result<(), RequestError> {
        let mut digest = Xxh3::new();
        match self.inner(value) {
            Some(inner) => {
                unescape(inner, &mut digest).map_err(|bad| self.bad_escape(value, bad))?;
            }
            None => digest.update(value.of(self.body).as_bytes()),
        }
        let digest = digest.digest128().to_le_bytes();
        self.mark(Mark::Media);
        for _ in 0..MEDIA_PROMPT_BYTES / digest.len() {
            self.out.write(&digest);
        }
        Ok(())
    }

    /// Counts a further prompt, which is work but no prefix.
    pub(super) fn further(&mut self, value: Span) -> Result<(), RequestError> {
        let mut length = Length::default();
        match self.inner(value) {
            Some(inner) => {
                unescape(inner, &mut length).map_err(|bad| self.bad_escape(value, bad))?;
            }
            None => length.write(value.of(self.body).as_bytes()),
        }
        self.further_bytes += length.bytes;
        Ok(())
    }

    /// Calls `visit` with each item of a list, in order; with nothing if it is no list.
    pub(super) fn each(
        &mut self,
        list: Span,
        mut visit: impl FnMut(&mut Self, Span) -> Result<(), RequestError>,
    ) -> Result<(), RequestError> {
        if self.kind(list) != b'[' {
            return Ok(());
        }
        self.walk(list).items(|walker| visit(self, walker.skip()?))
    }

    fn inner(&self, value: Span) -> Option<&'b [u8]> {
        let inner = value.of(self.body).strip_prefix('"')?.strip_suffix('"')?;
        Some(inner.as_bytes())
    }

    fn bad_escape(&self, value: Span, bad: BadEscape) -> RequestError {
        RequestError::not_json(
            self.body,
            value.start + 1 + bad.at,
            Problem::MalformedEscape,
        )
    }
}
