//! One line of a trace file, from JSON to a request.

use std::time::Duration;

use serde::Deserialize;

use super::{TracePrompt, TraceRequest};
use crate::engine::BYTES_PER_TOKEN;

/// Most blocks one prompt may have: 16 million tokens in blocks of 16.
pub(super) const BLOCKS_MAX: u64 = 1 << 20;

#[derive(Deserialize)]
struct RawLine {
    timestamp: f64,
    input_length: Option<u64>,
    output_length: Option<u64>,
    hash_ids: Option<Vec<u64>>,
    hash_runs: Option<Vec<(u64, u64)>>,
    session_id: Option<u64>,
    api_ms: Option<f64>,
    input: Option<String>,
    output: Option<String>,
}

/// Parses one line; the error says what is wrong with it.
pub(super) fn parse(line: &str) -> Result<TraceRequest, String> {
    let raw: RawLine = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let at = Duration::try_from_secs_f64(raw.timestamp / 1e3)
        .map_err(|_| format!("timestamp {} is no time in ms", raw.timestamp))?;
    let (prompt, input_tokens) = match (raw.hash_ids, raw.hash_runs, raw.input) {
        (Some(ids), None, None) => (TracePrompt::Blocks(ids), raw.input_length),
        (None, Some(runs), None) => (TracePrompt::Blocks(expand(&runs)?), raw.input_length),
        (None, None, Some(text)) => {
            // A template has tokens where a message has none.
            let tokens = tokens_of(&text).max(1);
            (TracePrompt::Text(text), Some(tokens))
        }
        (None, None, None) => (TracePrompt::Blocks(Vec::new()), raw.input_length),
        _ => return Err("only one of hash_ids, hash_runs and input may be given".to_owned()),
    };
    let output_tokens = raw
        .output_length
        .or_else(|| raw.output.as_deref().map(tokens_of));
    Ok(TraceRequest {
        at,
        input_tokens: at_least_one(input_tokens, "input_length")?,
        output_tokens: output_tokens.ok_or("output_length is missing")?.max(1),
        session: raw.session_id,
        // A broken time is no reason to lose the request.
        took: raw
            .api_ms
            .and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok()),
        prompt,
    })
}

fn at_least_one(tokens: Option<u64>, field: &str) -> Result<u64, String> {
    match tokens {
        None => Err(format!("{field} is missing")),
        Some(0) => Err(format!("{field} is 0")),
        Some(tokens) => Ok(tokens),
    }
}

fn expand(runs: &[(u64, u64)]) -> Result<Vec<u64>, String> {
    let total = runs
        .iter()
        .fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
    if total > BLOCKS_MAX {
        return Err(format!(
            "hash_runs name {total} blocks, at most {BLOCKS_MAX} are read"
        ));
    }
    let mut ids = Vec::with_capacity(total as usize);
    for (first, count) in runs {
        let end = first
            .checked_add(*count)
            .ok_or("hash_runs go past the largest id")?;
        ids.extend(*first..end);
    }
    Ok(ids)
}

fn tokens_of(text: &str) -> u64 {
    text.len().div_ceil(BYTES_PER_TOKEN) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(line: &str) -> Result<Vec<u64>, String> {
        match parse(line)?.prompt {
            TracePrompt::Blocks(ids) => Ok(ids),
            TracePrompt::Text(text) => panic!("text {text:?} instead of blocks"),
        }
    }

    #[test]
    fn every_form_of_a_prompt_is_read() {
        let ids =
            r#"{"timestamp": 1500, "input_length": 30, "output_length": 5, "hash_ids": [7, 8]}"#;
        let request = parse(ids).unwrap();
        assert_eq!(request.at, Duration::from_millis(1500));
        assert_eq!((request.input_tokens, request.output_tokens), (30, 5));
        assert_eq!(blocks(ids).unwrap(), [7, 8]);
        let runs = r#"{"timestamp":0,"input_length":80,"output_length":1,"session_id":4,"turn":1,"hash_runs":[[3,2],[90,3]]}"#;
        assert_eq!(blocks(runs).unwrap(), [3, 4, 90, 91, 92]);
        assert_eq!(parse(runs).unwrap().session, Some(4));
        let bare = r#"{"timestamp":0,"input_length":80,"output_length":1}"#;
        assert!(blocks(bare).unwrap().is_empty());
        let text = r#"{"timestamp":0,"input":"abcde","output":"abcdefghi"}"#;
        let request = parse(text).unwrap();
        assert_eq!((request.input_tokens, request.output_tokens), (2, 3));
    }

    #[test]
    fn hostile_lines_are_refused_with_a_reason() {
        let table = [
            ("", "EOF"),
            ("[]", "invalid length"),
            (r#"{"input_length":1,"output_length":1}"#, "timestamp"),
            (
                r#"{"timestamp":-1,"input_length":1,"output_length":1}"#,
                "no time",
            ),
            (
                r#"{"timestamp":1e300,"input_length":1,"output_length":1}"#,
                "no time",
            ),
            (
                r#"{"timestamp":0,"output_length":1}"#,
                "input_length is missing",
            ),
            (
                r#"{"timestamp":0,"input_length":0,"output_length":1}"#,
                "input_length is 0",
            ),
            (
                r#"{"timestamp":0,"input_length":1}"#,
                "output_length is missing",
            ),
            (
                r#"{"timestamp":0,"input_length":1,"output_length":1,"hash_ids":[-1]}"#,
                "invalid",
            ),
            (
                r#"{"timestamp":0,"input_length":1,"output_length":1,"hash_ids":[],"hash_runs":[]}"#,
                "only one of",
            ),
            (
                r#"{"timestamp":0,"input_length":1,"output_length":1,"hash_runs":[[0,1048577]]}"#,
                "at most 1048576",
            ),
            (
                r#"{"timestamp":0,"input_length":1,"output_length":1,"hash_runs":[[18446744073709551615,1]]}"#,
                "largest id",
            ),
        ];
        for (line, reason) in table {
            let error = parse(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn the_largest_prompt_is_read() {
        let line =
            r#"{"timestamp":0,"input_length":1,"output_length":1,"hash_runs":[[0,1048576]]}"#;
        assert_eq!(blocks(line).unwrap().len() as u64, BLOCKS_MAX);
    }
}
