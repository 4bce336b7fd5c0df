//! Token counts as engines report them, found without reading the text around them.

use std::sync::LazyLock;

use memchr::memmem;
use serde::Deserialize;
use warmgate_routing::Tokens;

/// Bytes at the end of a body that are kept to find its usage in; usage objects are below 1 KiB,
/// and what stands behind them (timings, metadata) is of that order too.
pub const USAGE_TAIL_BYTES: usize = 8 * 1024;

/// Counts of one answer; each is absent where the engine did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: Option<Tokens>,
    /// Tokens generated.
    pub completion: Option<Tokens>,
    /// Tokens of the prompt that came from the engine's cache.
    pub cached: Option<Tokens>,
}

impl Usage {
    /// What `later` says, and what only `self` knew.
    #[must_use]
    pub fn merged(self, later: Usage) -> Usage {
        Usage {
            prompt: later.prompt.or(self.prompt),
            completion: later.completion.or(self.completion),
            cached: later.cached.or(self.cached),
        }
    }
}

/// The OpenAI names and, for the Messages and Responses APIs, the Anthropic and newer OpenAI ones.
#[derive(Deserialize)]
struct Wire {
    #[serde(alias = "input_tokens")]
    prompt_tokens: Option<u64>,
    #[serde(alias = "output_tokens")]
    completion_tokens: Option<u64>,
    #[serde(alias = "input_tokens_details")]
    prompt_tokens_details: Option<WireDetails>,
    cache_read_input_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct WireDetails {
    cached_tokens: Option<u64>,
}

/// The last usage object in `json`, which may be cut at its beginning. The search is by bytes: a
/// quote inside a JSON string is escaped, so `"usage":` can only be a key.
#[must_use]
pub fn find_usage(json: &[u8]) -> Option<Usage> {
    const KEY: &[u8] = b"\"usage\"";
    // Made once: looking for the key is part of every streamed token's way.
    static FINDER: LazyLock<memmem::FinderRev<'static>> =
        LazyLock::new(|| memmem::FinderRev::new(KEY));
    let mut places = FINDER.rfind_iter(json);
    places.find_map(|at| usage_value(&json[at + KEY.len()..]))
}

fn usage_value(after_key: &[u8]) -> Option<Usage> {
    let value = after_key.trim_ascii_start().strip_prefix(b":")?;
    let mut values = serde_json::Deserializer::from_slice(value).into_iter::<Option<Wire>>();
    let wire = values.next()?.ok()??;
    let cached = wire
        .prompt_tokens_details
        .and_then(|details| details.cached_tokens);
    Some(Usage {
        prompt: wire.prompt_tokens.map(Tokens),
        completion: wire.completion_tokens.map(Tokens),
        cached: cached.or(wire.cache_read_input_tokens).map(Tokens),
    })
}
