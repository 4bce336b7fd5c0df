//! The opening of a conversation: what every later request of it repeats.
//!
//! Chat clients send the whole conversation each time. System prompt and first message of the user
//! stand in all of its requests, and whatever follows changes from turn to turn. Tools are left
//! out: agents add some on the way. Where there are no turns (completions, embeddings, rerank), the
//! whole prompt is the opening.

use xxhash_rust::xxh3::Xxh3;

use super::prompt::{self, PromptWriter};
use super::text::Sink;
use super::{Api, InferenceRequest, RequestError};

/// Hash of an opening, the same in all replicas; the text itself is never kept or logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Opening(pub u64);

/// Hashes, and knows whether there was anything.
struct Digest {
    hash: Xxh3,
    is_empty: bool,
}

impl Sink for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.is_empty &= bytes.is_empty();
        self.hash.update(bytes);
    }
}

pub(super) fn of(request: &InferenceRequest<'_>) -> Result<Option<Opening>, RequestError> {
    let digest = Digest {
        hash: Xxh3::new(),
        is_empty: true,
    };
    let mut writer = PromptWriter::new(request, digest);
    match request.api {
        Api::ChatCompletions | Api::Responses | Api::AnthropicMessages => {
            writer.opening(&request.fields)?;
        }
        Api::Embeddings | Api::Completions | Api::Rerank | Api::Score => {
            prompt::write(request, &mut writer)?;
        }
    }
    let (Digest { hash, is_empty }, _) = writer.finish();
    Ok((!is_empty).then(|| Opening(hash.digest())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(api: Api, body: &str) -> Option<Opening> {
        let request = InferenceRequest::parse(api, body.as_bytes()).unwrap();
        request.opening().unwrap()
    }

    fn chat(messages: &str) -> Option<Opening> {
        opening(
            Api::ChatCompletions,
            &format!(r#"{{"model":"m","messages":[{messages}]}}"#),
        )
    }

    const SYSTEM: &str = r#"{"role":"system","content":"be kind"}"#;
    const FIRST: &str = r#"{"role":"user","content":"what is a goat?"}"#;
    const TURN: &str =
        r#"{"role":"assistant","content":"an animal"},{"role":"user","content":"which?"}"#;

    #[test]
    fn turns_are_added_and_the_opening_stays() {
        let first = chat(&format!("{SYSTEM},{FIRST}"));
        assert!(first.is_some());
        for more in [TURN.to_owned(), format!("{TURN},{TURN}")] {
            assert_eq!(chat(&format!("{SYSTEM},{FIRST},{more}")), first, "{more}");
        }
        let parts =
            r#"{"content":[{"type":"text","text":"what is a g\u006fat?"}],"role":"us\u0065r"}"#;
        assert_eq!(chat(&format!("{SYSTEM},{parts},{TURN}")), first);
        for other in [FIRST.to_owned(), format!("{SYSTEM},{TURN}")] {
            assert_ne!(chat(&other), first, "{other}");
        }
    }

    #[test]
    fn a_greeting_before_the_users_first_words_belongs_to_the_opening() {
        let greeting = r#"{"role":"assistant","content":"hello"}"#;
        let first = chat(&format!("{greeting},{FIRST}"));
        assert_eq!(chat(&format!("{greeting},{FIRST},{TURN}")), first);
        assert_ne!(first, chat(&format!("{greeting},{SYSTEM}")));
    }

    #[test]
    fn every_api_with_turns() {
        let anthropic = |more: &str| {
            let body = format!(r#"{{"system":"be kind","messages":[{FIRST}{more}]}}"#);
            opening(Api::AnthropicMessages, &body)
        };
        assert_eq!(anthropic(""), anthropic(&format!(",{TURN}")));
        let responses = |more: &str| {
            let body = format!(r#"{{"instructions":"be kind","input":[{FIRST}{more}]}}"#);
            opening(Api::Responses, &body)
        };
        let item = r#",{"type":"function_call","name":"f","arguments":"{}","call_id":"c"}"#;
        assert_eq!(responses(""), responses(item));
        assert_eq!(responses(""), anthropic(""), "the same words");
        let text = opening(Api::Responses, r#"{"input":"what is a goat?"}"#);
        assert_ne!(text, opening(Api::Responses, r#"{"input":"what?"}"#));
    }

    #[test]
    fn tools_may_come_on_the_way() {
        let with = |tools: &str| {
            let body = format!(r#"{{"tools":{tools},"messages":[{FIRST}]}}"#);
            opening(Api::ChatCompletions, &body)
        };
        assert_eq!(with("[]"), with(r#"[{"type":"function"}]"#));
    }

    #[test]
    fn without_turns_all_of_the_prompt_counts() {
        let completion =
            |prompt: &str| opening(Api::Completions, &format!(r#"{{"prompt":{prompt}}}"#));
        assert_ne!(completion("\"a b\""), completion("\"a\""));
        assert_ne!(completion("[1,2]"), completion("[1,3]"));
        assert_ne!(
            opening(Api::Rerank, r#"{"query":"q","documents":["a"]}"#),
            opening(Api::Rerank, r#"{"query":"q","documents":["b"]}"#)
        );
    }

    #[test]
    fn nothing_has_no_opening() {
        assert_eq!(chat(""), None);
        for body in ["{}", r#"{"messages":7}"#, r#"{"prompt":"x"}"#] {
            assert_eq!(opening(Api::ChatCompletions, body), None, "{body}");
        }
    }
}
