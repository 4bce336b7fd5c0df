//! Prompts made of two texts that are compared: rerank and score.

use super::RequestError;
use super::envelope::PromptFields;
use super::json::Span;
use super::prompt::{Mark, PromptWriter};
use super::text::Sink;

impl<S: Sink> PromptWriter<'_, S> {
    /// The first pair is the prompt. Each further pair is a prompt of its own that begins with its
    /// query again.
    pub(super) fn pairs(&mut self, fields: &PromptFields) -> Result<(), RequestError> {
        let queries = self.texts(fields.query)?;
        let compared = self.texts(fields.compared.or(fields.documents))?;
        let pairs = queries.len().max(compared.len());
        for pair in 0..pairs {
            // One query for all, or one for each.
            let query = queries.get(pair).or(queries.last());
            let text = compared.get(pair).or(compared.last());
            if pair > 0 {
                for part in [query, text].into_iter().flatten() {
                    self.further(*part)?;
                }
                continue;
            }
            if let Some(query) = query {
                self.text(*query)?;
            }
            if let Some(text) = text {
                self.mark(Mark::Compared);
                self.text(*text)?;
            }
        }
        Ok(())
    }

    /// A text or a list of them; of documents that are objects, their `text`.
    fn texts(&self, value: Option<Span>) -> Result<Vec<Span>, RequestError> {
        let Some(value) = value else {
            return Ok(Vec::new());
        };
        let mut texts = Vec::new();
        if self.kind(value) == b'[' {
            let mut walker = self.walk(value);
            walker.items(|walker| {
                texts.push(walker.skip()?);
                Ok(())
            })?;
        } else {
            texts.push(value);
        }
        for text in &mut texts {
            if self.kind(*text) == b'{' {
                let [inner] = self.walk(*text).pick(["text"])?;
                *text = inner.unwrap_or(*text);
            }
        }
        Ok(texts)
    }
}
