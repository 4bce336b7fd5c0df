//! The simulation's tokenizer and block hashes. A token is four bytes of rendered prompt,
//! which needs no vocabulary and keeps equal prefixes equal; a token id counts as one token.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::model::BlockHash;

/// Bytes of text in one simulated token, the usual rule of thumb for English.
pub const BYTES_PER_TOKEN: usize = 4;

/// Token ids that the engine tells to whoever asks, so that they have the usual number of digits;
/// the vocabulary of Llama 3.
pub const VOCABULARY: u32 = 128_256;

/// A prompt as the engine sees it: rendered bytes below a root that keeps tenants apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    bytes: Vec<u8>,
    root: u64,
}

/// What a chain of blocks starts from besides text; different roots never share a block.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChainRoot<'a> {
    /// Model or LoRA name.
    pub model: &'a str,
    /// The request's `cache_salt`.
    pub salt: Option<&'a str>,
}

impl ChainRoot<'_> {
    fn hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        hasher.update(self.model.as_bytes());
        // A separator that cannot occur in UTF-8 keeps (model, salt) pairs apart.
        hasher.update(&[0xff]);
        hasher.update(self.salt.unwrap_or_default().as_bytes());
        hasher.digest()
    }
}

impl Prompt {
    /// A prompt given as text.
    pub fn from_text(root: ChainRoot<'_>, text: String) -> Self {
        Self {
            bytes: text.into_bytes(),
            root: root.hash(),
        }
    }

    /// A prompt given as token ids: each becomes the four bytes of one token.
    pub fn from_token_ids(root: ChainRoot<'_>, ids: &[u32]) -> Self {
        Self {
            bytes: ids.iter().flat_map(|id| id.to_le_bytes()).collect(),
            root: root.hash(),
        }
    }

    /// Length in tokens, rounded up.
    pub fn tokens(&self) -> u64 {
        self.bytes.len().div_ceil(BYTES_PER_TOKEN) as u64
    }

    /// A number below [`VOCABULARY`] for each token, equal for equal text.
    pub fn token_ids(&self) -> impl Iterator<Item = u32> {
        let tokens = self.bytes.chunks(BYTES_PER_TOKEN);
        tokens.map(|token| (xxh3_64_with_seed(token, 0) % u64::from(VOCABULARY)) as u32)
    }

    /// A number that is equal for equal prompts; seeds the answer.
    pub fn seed(&self) -> u64 {
        xxh3_64_with_seed(&self.bytes, self.root)
    }

    /// Full blocks of the prompt followed by `answer`, so that the next turn of a conversation
    /// finds what this turn generated.
    pub fn blocks_with(&self, answer: &str, block_tokens: u64) -> Vec<BlockHash> {
        let block_bytes = block_tokens as usize * BYTES_PER_TOKEN;
        let whole = self.bytes.len() / block_bytes * block_bytes;
        let mut parent = self.root;
        let mut blocks = Vec::with_capacity((self.bytes.len() + answer.len()) / block_bytes);
        let mut push = |block: &[u8]| {
            parent = xxh3_64_with_seed(block, parent);
            blocks.push(BlockHash(parent));
        };
        self.bytes[..whole]
            .chunks_exact(block_bytes)
            .for_each(&mut push);
        let rest = [&self.bytes[whole..], answer.as_bytes()].concat();
        rest.chunks_exact(block_bytes).for_each(&mut push);
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Prompt {
        Prompt::from_text(
            ChainRoot {
                model: "m",
                salt: None,
            },
            text.to_owned(),
        )
    }

    #[test]
    fn four_bytes_are_a_token_rounded_up() {
        for (bytes, tokens) in [(0, 0), (1, 1), (4, 1), (5, 2), (64, 16)] {
            assert_eq!(text(&"x".repeat(bytes)).tokens(), tokens, "{bytes} bytes");
        }
        assert_eq!(
            Prompt::from_token_ids(ChainRoot::default(), &[1, 2, 3]).tokens(),
            3
        );
    }

    #[test]
    fn equal_text_has_equal_token_ids() {
        let ids = |words: &str| -> Vec<u32> { text(words).token_ids().collect() };
        let (one, other) = (ids("once upon a time"), ids("once upon a hill"));
        assert_eq!((one.len(), &one[..3]), (4, &other[..3]));
        assert_ne!(one[3], other[3]);
        assert!(one.iter().all(|id| *id < VOCABULARY));
    }

    #[test]
    fn only_full_blocks_count_and_the_answer_continues_the_chain() {
        let first = text("0123456789").blocks_with("abcdef", 2);
        let next = text("0123456789abcdef and more").blocks_with("", 2);
        assert_eq!(first.len(), 2);
        assert_eq!(next.len(), 3);
        assert_eq!(first[..], next[..2]);
    }

    #[test]
    fn a_block_depends_on_all_before_it_and_on_the_root() {
        let chain = |root: ChainRoot<'_>, body: &str| {
            Prompt::from_text(root, body.to_owned()).blocks_with("", 1)
        };
        let plain = ChainRoot {
            model: "m",
            salt: None,
        };
        let salted = ChainRoot {
            model: "m",
            salt: Some("tenant"),
        };
        let tricky = ChainRoot {
            model: "mtenant",
            salt: None,
        };
        assert_ne!(chain(plain, "aaaabbbb")[1], chain(plain, "ccccbbbb")[1]);
        assert_ne!(chain(plain, "aaaa"), chain(salted, "aaaa"));
        assert_ne!(chain(tricky, "aaaa"), chain(salted, "aaaa"));
    }
}
