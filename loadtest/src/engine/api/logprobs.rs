//! Clients that ask for `logprobs` parse them; the simulated ones have the shape, not the
//! meaning.

use super::json_string;
use crate::engine::prompt::BYTES_PER_TOKEN;

/// Log probability of every simulated token.
const LOGPROB: f64 = -0.5;
/// Alternatives a client may ask for, as OpenAI's API has it.
pub(super) const TOP_MAX: usize = 20;

/// `logprobs` of a chat choice with the tokens of `text`, each with `top` alternatives.
pub(super) fn chat(text: &str, top: usize) -> String {
    let content: Vec<String> = tokens(text)
        .map(|token| {
            let one = entry(token);
            let alternatives = vec![format!("{{{one}}}"); top].join(",");
            format!(r#"{{{one},"top_logprobs":[{alternatives}]}}"#)
        })
        .collect();
    format!(r#"{{"content":[{}]}}"#, content.join(","))
}

/// `logprobs` of a text completion's choice; `offset` is where `text` begins in the answer.
pub(super) fn completion(text: &str, offset: usize, top: usize) -> String {
    let list = |item: &dyn Fn(usize, &str) -> String| {
        tokens(text)
            .enumerate()
            .map(|(index, token)| item(index, token))
            .collect::<Vec<_>>()
            .join(",")
    };
    let offsets = list(&|index, _| (offset + index * BYTES_PER_TOKEN).to_string());
    let values = list(&|_, _| LOGPROB.to_string());
    let names = list(&|_, token| json_string(token));
    let tops = match top {
        0 => "null".to_owned(),
        _ => format!(
            "[{}]",
            list(&|_, token| format!("{{{}:{LOGPROB}}}", json_string(token)))
        ),
    };
    format!(
        r#"{{"text_offset":[{offsets}],"token_logprobs":[{values}],"tokens":[{names}],"top_logprobs":{tops}}}"#
    )
}

fn entry(token: &str) -> String {
    let name = json_string(token);
    let bytes: Vec<String> = token.bytes().map(|byte| byte.to_string()).collect();
    format!(
        r#""token":{name},"logprob":{LOGPROB},"bytes":[{}]"#,
        bytes.join(",")
    )
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    // Answers are ASCII words of exactly one token.
    (0..text.len())
        .step_by(BYTES_PER_TOKEN)
        .map(|at| &text[at..(at + BYTES_PER_TOKEN).min(text.len())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn both_shapes_are_json() {
        let chat: Value = serde_json::from_str(&chat("ash bay ", 2)).unwrap();
        assert_eq!(chat["content"][1]["token"], "bay ");
        assert_eq!(chat["content"][1]["bytes"], json!([98, 97, 121, 32]));
        assert_eq!(
            chat["content"][0]["top_logprobs"].as_array().unwrap().len(),
            2
        );
        let text: Value = serde_json::from_str(&completion("ash bay ", 8, 0)).unwrap();
        assert_eq!(text["tokens"], json!(["ash ", "bay "]));
        assert_eq!(text["text_offset"], json!([8, 12]));
        assert!(text["top_logprobs"].is_null());
        let text: Value = serde_json::from_str(&completion("ash ", 0, 1)).unwrap();
        assert_eq!(text["top_logprobs"], json!([{"ash ": LOGPROB}]));
    }
}
