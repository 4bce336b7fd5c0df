//! The simulated engine's words. An answer depends on the prompt alone, so that two engines
//! give the same bytes, and each token is four bytes long, so that it counts as one when sent back.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::prompt::BYTES_PER_TOKEN;

/// Three letters and a space each; harmless in JSON.
const WORDS: [&str; 32] = [
    "ash ", "bay ", "cod ", "dew ", "elm ", "fog ", "gem ", "hay ", "ice ", "jet ", "key ", "log ",
    "map ", "net ", "oak ", "pea ", "ray ", "sea ", "tea ", "urn ", "van ", "web ", "yew ", "zip ",
    "arc ", "bee ", "cup ", "dot ", "ear ", "fin ", "gum ", "hat ",
];

/// The words of one choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    seed: u64,
}

impl Answer {
    /// `choice` makes the `n` answers to one prompt differ.
    pub(super) fn new(prompt_seed: u64, choice: usize) -> Self {
        Self {
            seed: prompt_seed.wrapping_add(choice as u64),
        }
    }

    /// Text of token number `index`.
    pub(super) fn token(&self, index: u64) -> &'static str {
        let draw = xxh3_64_with_seed(&index.to_le_bytes(), self.seed);
        WORDS[(draw % WORDS.len() as u64) as usize]
    }

    /// Text of the first `tokens` tokens.
    pub(super) fn text(&self, tokens: u64) -> String {
        let mut text = String::with_capacity(tokens as usize * BYTES_PER_TOKEN);
        (0..tokens).for_each(|index| text.push_str(self.token(index)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_one_token() {
        assert!(WORDS.iter().all(|word| word.len() == BYTES_PER_TOKEN));
    }

    #[test]
    fn choices_differ_and_repeat() {
        let text = |choice| Answer::new(9, choice).text(40);
        assert_eq!(text(0), text(0));
        assert_ne!(text(0), text(1));
    }
}
