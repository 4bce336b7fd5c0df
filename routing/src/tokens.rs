//! How many bytes of prompt a token is worth, learned per model from what engines count.

use hashbrown::HashMap;
use parking_lot::RwLock;

use crate::block::{BlockSize, NOMINAL_BYTES_PER_TOKEN, PromptBlocks};
use crate::units::{Blocks, Tokens};

/// Models whose rate is remembered; further ones use the nominal rate.
pub const MODELS_MAX: usize = 1_024;
/// Weight of a new observation. A hundred answers settle it; one odd prompt hardly moves it.
const LEARNING_RATE: f64 = 0.05;
/// Prompts shorter than this are mostly chat template and teach nothing.
const TEACHING_PROMPT_MIN: Tokens = Tokens(64);
/// Rates outside are taken for a mistake (images, hidden prompts), not for language: CJK text is
/// about 2 to 4 bytes a token, code with long identifiers below 8.
const PLAUSIBLE_BYTES_PER_TOKEN: std::ops::RangeInclusive<f64> = 1.0..=16.0;

/// Bytes per token of each model. Concurrent.
#[derive(Debug, Default)]
pub struct TokenRates {
    by_model: RwLock<HashMap<String, f64>>,
}

/// The rate that holds for one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BytesPerToken(f64);

impl Default for BytesPerToken {
    fn default() -> BytesPerToken {
        BytesPerToken(f64::from(NOMINAL_BYTES_PER_TOKEN))
    }
}

impl BytesPerToken {
    /// Tokens in so many bytes.
    #[must_use]
    pub fn tokens(self, bytes: u64) -> Tokens {
        Tokens((bytes as f64 / self.0) as u64)
    }

    /// Blocks that hold so many tokens.
    #[must_use]
    pub fn blocks(self, tokens: Tokens, size: BlockSize) -> Blocks {
        Blocks((tokens.as_f64() * self.0 / size.bytes() as f64).min(f64::from(u32::MAX)) as u32)
    }

    /// The rate as a number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TokenRates {
    /// The rate for a prompt of `model`; nominal until learned, exact for token ids.
    #[must_use]
    pub fn rate(&self, model: &str, prompt: &PromptBlocks) -> BytesPerToken {
        if prompt.is_token_ids {
            return BytesPerToken::default();
        }
        self.by_model
            .read()
            .get(model)
            .copied()
            .map_or_else(BytesPerToken::default, BytesPerToken)
    }

    /// An engine has counted the tokens of a prompt.
    pub fn learn(&self, model: &str, prompt: &PromptBlocks, counted: Tokens) {
        let bytes = prompt.bytes + prompt.further_bytes;
        if prompt.is_token_ids || counted < TEACHING_PROMPT_MIN {
            return;
        }
        let seen = bytes as f64 / counted.as_f64();
        if !PLAUSIBLE_BYTES_PER_TOKEN.contains(&seen) {
            return;
        }
        let mut by_model = self.by_model.write();
        if let Some(rate) = by_model.get_mut(model) {
            *rate += LEARNING_RATE * (seen - *rate);
        } else if by_model.len() < MODELS_MAX {
            by_model.insert(model.to_owned(), seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt(bytes: u64) -> PromptBlocks {
        PromptBlocks {
            bytes,
            ..PromptBlocks::default()
        }
    }

    #[test]
    fn learns_what_engines_count_and_ignores_what_cannot_be() {
        let (rates, text) = (TokenRates::default(), prompt(6_000));
        assert_eq!(rates.rate("m", &text).tokens(6_000), Tokens(1_500));
        rates.learn("m", &text, Tokens(2_000));
        assert_eq!(rates.rate("m", &text).tokens(6_000), Tokens(2_000));
        rates.learn("m", &text, Tokens(100_000));
        rates.learn("m", &prompt(10_000_000), Tokens(64));
        rates.learn("m", &prompt(63 * 16), Tokens(63));
        assert_eq!(rates.rate("m", &text).tokens(6_000), Tokens(2_000));
        let ids = PromptBlocks {
            is_token_ids: true,
            ..prompt(400)
        };
        assert_eq!(rates.rate("m", &ids).tokens(400), Tokens(100));
    }

    #[test]
    fn remembers_as_many_models_as_the_limit_and_no_more() {
        let (rates, text) = (TokenRates::default(), prompt(200));
        for model in 0..=MODELS_MAX {
            rates.learn(&format!("m{model}"), &text, Tokens(100));
        }
        let is_learned = |model: usize| rates.rate(&format!("m{model}"), &text).get() == 2.0;
        assert!(is_learned(MODELS_MAX - 1));
        assert!(!is_learned(MODELS_MAX));
    }
}
