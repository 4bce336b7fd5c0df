//! What OpenAI's chat and text completions have in common.

use serde::Deserialize;

use super::{Head, Usage, push_data};

/// `stream_options`.
#[derive(Deserialize, Clone, Copy, Default)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub include_usage: bool,
}

/// A kind of object: how its id begins and what it is called.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub id_prefix: &'static str,
    pub object: &'static str,
}

/// The beginning of a response or chunk, up to `choices`.
pub(super) fn start(kind: Kind, head: &Head) -> String {
    let Kind { id_prefix, object } = kind;
    format!(
        r#"{{"id":"{id_prefix}{}","object":"{object}","created":{},"model":{}"#,
        head.id, head.created, head.model
    )
}

/// A whole response with `choices`, each JSON already.
pub(super) fn whole(kind: Kind, head: &Head, choices: &[String], usage: Usage) -> String {
    let (start, usage) = (start(kind, head), usage_json(usage));
    format!(
        r#"{start},"choices":[{}],"usage":{usage}}}"#,
        choices.join(",")
    )
}

/// The end of a stream, with a last chunk for `usage` where it was asked for.
pub(super) fn push_end(kind: Kind, head: &Head, usage: Option<Usage>, out: &mut String) {
    if let Some(usage) = usage {
        let (start, usage) = (start(kind, head), usage_json(usage));
        push_data(out, &format!(r#"{start},"choices":[],"usage":{usage}}}"#));
    }
    push_data(out, "[DONE]");
}

/// `usage`, with the detail that tells how warm the cache was.
fn usage_json(usage: Usage) -> String {
    let Usage {
        prompt_tokens,
        cached_tokens,
        completion_tokens,
    } = usage;
    let total = prompt_tokens + completion_tokens;
    format!(
        r#"{{"prompt_tokens":{prompt_tokens},"total_tokens":{total},"completion_tokens":{completion_tokens},"prompt_tokens_details":{{"cached_tokens":{cached_tokens}}}}}"#
    )
}
