//! Reads a request once: what routing has to know, and the prompt as a chain of block hashes.
//!
//! One body, two looks, no tree. The first look ([`InferenceRequest::parse`]) walks the whole body
//! and notes where the top-level fields are; only the small ones are decoded. The second look
//! ([`InferenceRequest::prompt_blocks`]) walks the fields that make up the prompt, in the order in
//! which engines render them, and streams their text into the block hasher. Two looks, because the
//! order in the body is the client's: most send `tools` after `messages`.
//!
//! Liberal where engines differ: a prompt that cannot be understood (`prompt_embeds`, a field of
//! the wrong type) has no blocks, and the request is routed by load; the engine says what it
//! thinks of it. Strict where it matters to others: what is no JSON object is refused, and what
//! would let a client order an engine about is cut out ([`InferenceRequest::rewritten`]). All else
//! is forwarded byte for byte.
//!
//! | file | what |
//! |---|---|
//! | `api` | which paths are read |
//! | `envelope` | the top-level fields |
//! | `session` | whose conversation it is |
//! | `opening` | what of a conversation stays the same from turn to turn |
//! | `rewrite` | what is cut out or replaced, and why |
//! | `prompt` | the canonical prompt, common to all APIs |
//! | `chat`, `inputs`, `pairs` | prompts made of messages; of texts or token ids; of texts compared |
//! | `json`, `text`, `search` | values and strings of JSON, in place |
//!
//! ```
//! use warmgate_routing::block::{BlockSize, ChainRoot};
//! use warmgate_routing::request::{Api, InferenceRequest};
//!
//! let body = br#"{"model":"llama","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
//! let request = InferenceRequest::parse(Api::ChatCompletions, body)?;
//! assert_eq!(request.model.as_deref(), Some("llama"));
//! assert!(request.stream);
//!
//! let root = ChainRoot::new("llama", None, request.cache_salt.as_deref());
//! let prompt = request.prompt_blocks(root, BlockSize::default())?;
//! assert_eq!(prompt.hashes.len(), 0, "shorter than a block");
//! assert_eq!(request.rewritten(None), None, "nothing to change");
//! # Ok::<(), warmgate_routing::request::RequestError>(())
//! ```

use std::borrow::Cow;

use crate::block::{BlockHasher, BlockSize, ChainRoot, PromptBlocks};
use crate::units::Tokens;

mod api;
mod chat;
mod envelope;
mod error;
mod inputs;
mod json;
mod opening;
mod pairs;
mod prompt;
mod rewrite;
mod search;
mod session;
#[cfg(test)]
mod tests;
mod text;

pub use api::Api;
pub use error::{Problem, RequestError};
pub use json::MAX_DEPTH;
pub use opening::Opening;
pub use prompt::MEDIA_PROMPT_BYTES;
pub use session::{SESSION_HEADERS, SessionKey};

use envelope::PromptFields;
use json::LongStrings;
use prompt::PromptWriter;
use rewrite::Edits;

/// Longest name of a model, in bytes. The longest on Hugging Face is 193 (96 each for owner and
/// repository); names become metric labels and log fields.
pub const MAX_MODEL_NAME_BYTES: usize = 256;

/// A request as far as routing has to understand it. Borrows from the body.
#[derive(Clone, Debug)]
pub struct InferenceRequest<'a> {
    /// Whose shape the body has.
    pub api: Api,
    /// The model asked for; engines take the one they have where it is absent.
    pub model: Option<Cow<'a, str>>,
    /// The answer is to come as a stream of events.
    pub stream: bool,
    /// The client asked for usage at the end of the stream (`stream_options.include_usage`).
    pub wants_usage: bool,
    /// Most tokens that may be generated for each choice.
    pub output_limit: Option<Tokens>,
    /// Answers to be generated from the one prompt (`n`); at least 1.
    pub choices: u32,
    /// From the body: `session_id`, `prompt_cache_key`, `conversation`, then `user` or Anthropic's
    /// `metadata.user_id`. A header beats it: [`SessionKey::from_headers`].
    pub session_hint: Option<SessionKey>,
    /// The client wants a cache of its own: `cache_salt`, with SGLang's `extra_key` if any.
    pub cache_salt: Option<Cow<'a, str>>,
    body: &'a str,
    long_strings: LongStrings,
    fields: PromptFields,
    edits: Edits,
}

impl<'a> InferenceRequest<'a> {
    /// Reads the top-level fields of a body.
    ///
    /// # Errors
    /// If the body is not a JSON object in UTF-8, or its `model` is no string or too long.
    pub fn parse(api: Api, body: &'a [u8]) -> Result<InferenceRequest<'a>, RequestError> {
        envelope::parse(api, body)
    }

    /// Hashes the prompt in blocks of `size`, chained from `root`.
    ///
    /// # Errors
    /// If a text of the prompt has an escape that JSON does not know.
    pub fn prompt_blocks(
        &self,
        root: ChainRoot,
        size: BlockSize,
    ) -> Result<PromptBlocks, RequestError> {
        let is_token_ids = inputs::is_token_ids(self);
        let root = if is_token_ids {
            root.of_token_ids()
        } else {
            root
        };
        let mut writer = PromptWriter::new(self, BlockHasher::new(root, size));
        prompt::write(self, &mut writer)?;
        let (hasher, further_bytes) = writer.finish();
        let (hashes, bytes) = hasher.finish();
        Ok(PromptBlocks {
            hashes,
            bytes,
            further_bytes,
            is_token_ids,
        })
    }

    /// What of the prompt stays the same as turns are added; none where there is no prompt.
    ///
    /// # Errors
    /// If a text of it has an escape that JSON does not know.
    pub fn opening(&self) -> Result<Option<Opening>, RequestError> {
        opening::of(self)
    }

    /// The body as an engine may see it: without the fields that only the gateway sets, and with
    /// `new_model` in place of the client's. None: forward the body as it came.
    #[must_use]
    pub fn rewritten(&self, new_model: Option<&str>) -> Option<Vec<u8>> {
        let is_same = new_model.is_some() && new_model == self.model.as_deref();
        self.edits.apply(self.body, new_model.filter(|_| !is_same))
    }
}
