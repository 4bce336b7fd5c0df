//! Traces do not say how many tokens a block has, but lengths and numbers of ids do.

use super::{TracePrompt, TraceRequest};

/// Block sizes that published traces use or could use.
const CANDIDATES_TOKENS: [u64; 9] = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096];
/// Requests looked at.
const SAMPLE: usize = 200;

/// Tokens in one block: the candidate that explains the most of the first requests, where a
/// partial block at the end may have an id or not. None when none explains half of them.
pub(super) fn guess(requests: &[TraceRequest]) -> Option<u64> {
    let sample: Vec<(u64, u64)> = requests
        .iter()
        .filter_map(|request| match &request.prompt {
            TracePrompt::Blocks(ids) if !ids.is_empty() => {
                Some((request.input_tokens, ids.len() as u64))
            }
            _ => None,
        })
        .take(SAMPLE)
        .collect();
    let explained = |block: u64| {
        let fits =
            |&&(tokens, ids): &&(u64, u64)| tokens / block == ids || tokens.div_ceil(block) == ids;
        sample.iter().filter(fits).count()
    };
    let best = CANDIDATES_TOKENS
        .into_iter()
        .max_by_key(|block| explained(*block))?;
    (explained(best) * 2 >= sample.len() && !sample.is_empty()).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn request(input_tokens: u64, ids: u64) -> TraceRequest {
        TraceRequest {
            at: Duration::ZERO,
            input_tokens,
            output_tokens: 1,
            session: None,
            took: None,
            prompt: TracePrompt::Blocks((0..ids).collect()),
        }
    }

    #[test]
    fn the_block_that_explains_the_lengths_wins() {
        let rounded_up = [request(6758, 14), request(513, 2), request(100, 1)];
        assert_eq!(guess(&rounded_up), Some(512));
        let rounded_down = [request(67_388, 1052), request(21_051, 328)];
        assert_eq!(guess(&rounded_down), Some(64));
    }

    #[test]
    fn what_cannot_be_known_is_not_guessed() {
        assert_eq!(guess(&[]), None);
        assert_eq!(guess(&[request(100, 0)]), None);
        assert_eq!(
            guess(&[request(1000, 3), request(1000, 7), request(1000, 41)]),
            None
        );
    }
}
