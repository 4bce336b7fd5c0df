//! `POST /tokenize`, in vLLM's shape: token ids of a text or of a chat's messages.

use std::fmt::Write as _;

use super::{ApiError, Defaults, parser};

/// The whole answer.
pub(in super::super) fn tokenize(
    body: &[u8],
    defaults: Defaults<'_>,
    max_model_tokens: u64,
) -> Result<String, ApiError> {
    let is_chat = serde_json::from_slice::<Form>(body)
        .map_err(|error| ApiError::body(&error))?
        .messages
        .is_some();
    let path = match is_chat {
        true => "/v1/chat/completions",
        false => "/v1/completions",
    };
    let parse = parser(path).expect("invariant: both are inference APIs");
    let call = parse(body, defaults)?;
    let prompt = call
        .prompts
        .first()
        .ok_or_else(|| ApiError::missing("prompt"))?;
    let mut json = format!(
        r#"{{"count":{},"max_model_len":{max_model_tokens},"tokens":["#,
        prompt.tokens()
    );
    for (number, id) in prompt.token_ids().enumerate() {
        let comma = if number > 0 { "," } else { "" };
        let _ = write!(json, "{comma}{id}");
    }
    json.push_str(r#"],"token_strs":null}"#);
    Ok(json)
}

/// Which of the two forms a body has.
#[derive(serde::Deserialize)]
struct Form<'a> {
    #[serde(borrow)]
    messages: Option<&'a serde_json::value::RawValue>,
}
