//! Prompts made from block ids, so that equal prefixes are equal text and each block is as
//! many bytes as its tokens cost on a simulated engine.

use super::{TracePrompt, TraceRequest};
use crate::engine::BYTES_PER_TOKEN;

/// Words of three letters and a space: one simulated token each, harmless in JSON.
const WORDS: &[u8] = b"the and for you was his are her one our out day get has him how man new \
now old see two way who boy did its let put say she too ";
const WORD_BITS: u32 = 5;

/// Appends `tokens` tokens of text that depends on `id` alone.
///
/// ```
/// let mut text = String::new();
/// warmgate_loadtest::trace::block_text(7, 16, &mut text);
/// assert_eq!(text.len(), 64);
/// ```
pub fn block_text(id: u64, tokens: u64, out: &mut String) {
    let mut state = id;
    let mut bits = 0_u64;
    let mut left = 0;
    for _ in 0..tokens {
        if left == 0 {
            bits = split_mix(&mut state);
            left = u64::BITS / WORD_BITS;
        }
        let word = (bits & ((1 << WORD_BITS) - 1)) as usize * BYTES_PER_TOKEN;
        bits >>= WORD_BITS;
        left -= 1;
        WORDS[word..word + BYTES_PER_TOKEN]
            .iter()
            .for_each(|byte| out.push(char::from(*byte)));
    }
}

/// The prompt of a recorded request. `own_id` seeds what its blocks do not cover, so it must be
/// unlike any block id.
pub fn prompt_text(request: &TraceRequest, block_tokens: u64, own_id: u64) -> String {
    let ids = match &request.prompt {
        TracePrompt::Text(text) => return text.clone(),
        TracePrompt::Blocks(ids) => ids,
    };
    let mut text = String::with_capacity(request.input_tokens as usize * BYTES_PER_TOKEN);
    let mut left = request.input_tokens;
    for id in ids {
        let tokens = left.min(block_tokens);
        block_text(*id, tokens, &mut text);
        left -= tokens;
    }
    block_text(own_id, left, &mut text);
    text
}

/// Sebastiano Vigna's SplitMix64: good enough words at one multiplication for twelve of them.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn request(ids: &[u64], input_tokens: u64) -> TraceRequest {
        TraceRequest {
            at: Duration::ZERO,
            input_tokens,
            output_tokens: 1,
            session: None,
            took: None,
            prompt: TracePrompt::Blocks(ids.to_vec()),
        }
    }

    #[test]
    fn every_word_is_one_token() {
        assert_eq!(WORDS.len(), BYTES_PER_TOKEN << WORD_BITS);
        assert!(WORDS.chunks(BYTES_PER_TOKEN).all(|word| word[3] == b' '));
    }

    #[test]
    fn equal_ids_are_equal_text_and_lengths_are_exact() {
        let long = prompt_text(&request(&[1, 2, 3], 40), 16, 900);
        let other = prompt_text(&request(&[1, 2, 4], 40), 16, 901);
        assert_eq!(long.len(), 160);
        assert_eq!(long[..128], other[..128]);
        assert_ne!(long[128..], other[128..]);
        let uncovered = prompt_text(&request(&[1], 40), 16, 900);
        assert_eq!(uncovered.len(), 160);
        assert_eq!(uncovered[..64], long[..64]);
        assert_ne!(uncovered, prompt_text(&request(&[1], 40), 16, 901));
        assert_eq!(prompt_text(&request(&[1, 2, 3], 20), 16, 900), long[..80]);
    }
}
