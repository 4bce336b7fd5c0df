//! Why: OpenAI text completions, with every prompt form: text, texts, token ids, lists of those.

use serde::Deserialize;

use super::super::prompt::{ChainRoot, Prompt};
use super::chat::{StreamOptions, usage_json};
use super::{
    ApiError, Call, Defaults, Ending, Head, OutputLimit, Reply, StreamToken, Usage, choices,
    json_string, push_data,
};

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    prompt: Option<PromptForm>,
    max_tokens: Option<u64>,
    n: Option<usize>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    cache_salt: Option<String>,
}

/// Text or token ids, one or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum PromptForm {
    Text(String),
    Ids(Vec<u32>),
    Texts(Vec<String>),
    IdLists(Vec<Vec<u32>>),
}

impl PromptForm {
    pub(super) fn prompts(self, root: ChainRoot<'_>) -> Vec<Prompt> {
        match self {
            Self::Text(text) => vec![Prompt::from_text(root, text)],
            Self::Ids(ids) => vec![Prompt::from_token_ids(root, &ids)],
            Self::Texts(texts) => texts
                .into_iter()
                .map(|text| Prompt::from_text(root, text))
                .collect(),
            Self::IdLists(lists) => lists
                .iter()
                .map(|ids| Prompt::from_token_ids(root, ids))
                .collect(),
        }
    }
}

pub(super) fn parse(body: &[u8], defaults: Defaults<'_>) -> Result<Call, ApiError> {
    let body: Body = serde_json::from_slice(body).map_err(|error| ApiError::body(&error))?;
    let form = body.prompt.ok_or_else(|| ApiError::missing("prompt"))?;
    let model = body.model.unwrap_or_else(|| defaults.model.to_owned());
    let prompts = form.prompts(ChainRoot {
        model: &model,
        salt: body.cache_salt.as_deref(),
    });
    let include_usage = body.stream_options.unwrap_or_default().include_usage;
    Ok(Call {
        n: choices(body.n, prompts.len())?,
        model,
        prompts,
        output: OutputLimit::new(body.max_tokens, "max_tokens")?,
        stream: body.stream.unwrap_or(false),
        reply: Box::new(Completions { include_usage }),
    })
}

struct Completions {
    include_usage: bool,
}

impl Reply for Completions {
    fn opening(&self, _: &Head, _: Usage, _: &mut String) {}

    fn token(&self, head: &Head, token: StreamToken<'_>, out: &mut String) {
        let (start, choice, text) = (start(head), token.choice, json_string(token.text));
        let finish = match token.finish {
            Some(finish) => format!(r#""{}""#, finish.name()),
            None => "null".to_owned(),
        };
        push_data(
            out,
            &format!(
                r#"{start},"choices":[{{"index":{choice},"text":{text},"logprobs":null,"finish_reason":{finish},"stop_reason":null}}]}}"#
            ),
        );
    }

    fn closing(&self, head: &Head, end: &Ending, out: &mut String) {
        if self.include_usage {
            let (start, usage) = (start(head), usage_json(end.usage));
            push_data(out, &format!(r#"{start},"choices":[],"usage":{usage}}}"#));
        }
        push_data(out, "[DONE]");
    }

    fn whole(&self, head: &Head, end: &Ending) -> String {
        let finish = end.finish.name();
        let choices: Vec<String> = end
            .texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let text = json_string(text);
                format!(
                    r#"{{"index":{index},"text":{text},"logprobs":null,"finish_reason":"{finish}","stop_reason":null}}"#
                )
            })
            .collect();
        let (start, usage) = (start(head), usage_json(end.usage));
        format!(
            r#"{start},"choices":[{}],"usage":{usage}}}"#,
            choices.join(",")
        )
    }
}

fn start(head: &Head) -> String {
    format!(
        r#"{{"id":"cmpl-{}","object":"text_completion","created":{},"model":{}"#,
        head.id, head.created, head.model
    )
}
