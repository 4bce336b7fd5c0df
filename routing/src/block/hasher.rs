//! Bytes in, chain of block hashes out, without ever holding more than one unfinished block.
//!
//! `h[i] = xxh3(h[i-1] || xxh3(block[i]))`, with `h[-1]` the [`ChainRoot`]. The block is hashed
//! without its parent so that it can be read straight from the caller's slice; the second, 16 byte
//! hash costs a tenth of the first and lets every bit of the parent reach every bit of the child.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{BlockHash, BlockSize};

/// Whatever must differ for two equal texts to have nothing in common: model, adapter and salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChainRoot(u64);

impl ChainRoot {
    /// Root for prompts to `model`, through a LoRA adapter where one is named, salted where the
    /// client asked for a cache of its own.
    #[must_use]
    pub fn new(model: &str, lora: Option<&str>, salt: Option<&str>) -> ChainRoot {
        let mut hash = Xxh3::new();
        // Length before text, and a tag for absence: no two triples write the same bytes.
        for part in [Some(model), lora, salt] {
            match part {
                Some(text) => {
                    hash.update(&[1]);
                    hash.update(&(text.len() as u64).to_le_bytes());
                    hash.update(text.as_bytes());
                }
                None => hash.update(&[0]),
            }
        }
        ChainRoot(hash.digest())
    }

    /// Root for prompts given as token ids, whose bytes must not be taken for text.
    #[must_use]
    pub fn of_token_ids(self) -> ChainRoot {
        ChainRoot(chain(self.0, xxh3_64(b"token ids")))
    }
}

/// Cuts a stream of bytes into blocks and chains their hashes.
///
/// ```
/// use warmgate_routing::block::{BlockHasher, BlockSize, ChainRoot};
///
/// let size = BlockSize::from_tokens(4).expect("4 is not zero"); // 16 bytes
/// let mut hasher = BlockHasher::new(ChainRoot::new("llama", None, None), size);
/// hasher.update(b"two blocks of sixteen ");
/// hasher.update(b"bytes and a bit");
/// let (hashes, bytes) = hasher.finish();
/// assert_eq!((hashes.len(), bytes), (2, 37));
/// ```
#[derive(Clone, Debug)]
pub struct BlockHasher {
    parent: u64,
    block_bytes: usize,
    unfinished: Vec<u8>,
    hashes: Vec<BlockHash>,
    bytes: u64,
}

impl BlockHasher {
    /// Starts a chain.
    #[must_use]
    pub fn new(root: ChainRoot, size: BlockSize) -> BlockHasher {
        BlockHasher {
            parent: root.0,
            block_bytes: size.bytes(),
            unfinished: Vec::new(),
            hashes: Vec::new(),
            bytes: 0,
        }
    }

    /// Continues the prompt. Where it is cut into updates makes no difference.
    pub fn update(&mut self, mut more: &[u8]) {
        self.bytes += more.len() as u64;
        if !self.unfinished.is_empty() {
            let missing = self.block_bytes - self.unfinished.len();
            let Some((head, rest)) = more.split_at_checked(missing) else {
                self.unfinished.extend_from_slice(more);
                return;
            };
            self.unfinished.extend_from_slice(head);
            let content = xxh3_64(&self.unfinished);
            self.close_block(content);
            self.unfinished.clear();
            more = rest;
        }
        let mut blocks = more.chunks_exact(self.block_bytes);
        for block in &mut blocks {
            self.close_block(xxh3_64(block));
        }
        self.unfinished.extend_from_slice(blocks.remainder());
    }

    /// The hashes of all full blocks, and the length in bytes of all that was given.
    #[must_use]
    pub fn finish(self) -> (Vec<BlockHash>, u64) {
        (self.hashes, self.bytes)
    }

    fn close_block(&mut self, content: u64) {
        self.parent = chain(self.parent, content);
        self.hashes.push(BlockHash(self.parent));
    }
}

fn chain(parent: u64, content: u64) -> u64 {
    xxh3_64(&((u128::from(content) << 64) | u128::from(parent)).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn hashes(root: ChainRoot, tokens: u32, pieces: &[&[u8]]) -> Vec<BlockHash> {
        let size = BlockSize::from_tokens(tokens).unwrap();
        let mut hasher = BlockHasher::new(root, size);
        pieces.iter().for_each(|piece| hasher.update(piece));
        hasher.finish().0
    }

    fn root() -> ChainRoot {
        ChainRoot::new("model", None, None)
    }

    #[test]
    fn roots_are_framed() {
        let triples = [
            ("ab", None, None),
            ("a", Some("b"), None),
            ("a", None, Some("b")),
            ("", Some("ab"), None),
            ("", Some("a"), Some("b")),
            ("ab", Some(""), None),
            ("ab", None, Some("")),
            ("ab", Some(""), Some("")),
        ];
        let mut roots: Vec<u64> = triples.map(|(m, l, s)| ChainRoot::new(m, l, s).0).to_vec();
        roots.extend(triples.map(|(m, l, s)| ChainRoot::new(m, l, s).of_token_ids().0));
        roots.sort_unstable();
        roots.dedup();
        assert_eq!(roots.len(), 2 * triples.len());
    }

    #[test]
    fn hashes_are_the_same_in_every_release() {
        // Replicas of different versions exchange hashes during an upgrade.
        let text = b"The quick brown fox jumps over the lazy dog.";
        let expected = [7370891134412400254, 2043576129382561274].map(BlockHash);
        assert_eq!(hashes(root(), 4, &[text]), expected);
    }

    #[test]
    fn a_block_counts_from_its_last_byte_on() {
        for (length, blocks) in [(0, 0), (15, 0), (16, 1), (17, 1), (31, 1), (32, 2)] {
            assert_eq!(
                hashes(root(), 4, &[&vec![b'x'; length]]).len(),
                blocks,
                "{length}"
            );
        }
    }

    proptest! {
        #[test]
        fn cutting_makes_no_difference(
            text in vec(any::<u8>(), 0..600),
            cuts in vec(0usize..600, 0..12),
            tokens in 1u32..20,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            prop_assert_eq!(hashes(root(), tokens, &pieces), hashes(root(), tokens, &[&text]));
        }

        #[test]
        fn hashes_are_equal_exactly_as_far_as_the_prefix_is(
            shared in vec(any::<u8>(), 0..300),
            left in vec(any::<u8>(), 0..100),
            right in vec(any::<u8>(), 0..100),
            tokens in 1u32..20,
        ) {
            let left = [shared.clone(), left].concat();
            let right = [shared, right].concat();
            let common = left.iter().zip(&right).take_while(|(l, r)| l == r).count();
            let left = hashes(root(), tokens, &[&left]);
            let right = hashes(root(), tokens, &[&right]);
            let whole = common / (4 * tokens as usize);
            for (index, (l, r)) in left.iter().zip(&right).enumerate() {
                prop_assert_eq!(l == r, index < whole, "block {} of {} shared", index, whole);
            }
        }

        #[test]
        fn other_salts_share_nothing(
            text in vec(any::<u8>(), 0..600), salts in (".{0,9}", ".{0,9}"), tokens in 1u32..20,
        ) {
            prop_assume!(salts.0 != salts.1);
            let salted = |salt: &str| {
                hashes(ChainRoot::new("model", None, Some(salt)), tokens, &[&text])
            };
            let (mine, others) = (salted(&salts.0), salted(&salts.1));
            prop_assert!(mine.iter().all(|hash| !others.contains(hash)));
        }
    }
}
