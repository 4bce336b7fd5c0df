//! OpenAI text completions, with every prompt form: text, texts, token ids, lists of those.

use serde::Deserialize;

use super::super::prompt::{BYTES_PER_TOKEN, ChainRoot, Prompt};
use super::logprobs;
use super::openai::{Kind, StreamOptions, push_end, start, whole};
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
    logprobs: Option<usize>,
    #[serde(default)]
    priority: i64,
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
        priority: body.priority,
        stream: body.stream.unwrap_or(false),
        reply: Box::new(Completions {
            include_usage,
            logprobs: body.logprobs.map(|top| top.min(logprobs::TOP_MAX)),
        }),
    })
}

const KIND: Kind = Kind {
    id_prefix: "cmpl-",
    object: "text_completion",
};

struct Completions {
    include_usage: bool,
    /// Alternatives for each token, where log probabilities were asked for.
    logprobs: Option<usize>,
}

impl Completions {
    /// `offset_bytes` is where `text` begins in the answer.
    fn logprobs(&self, text: &str, offset_bytes: usize) -> String {
        let json = |top| logprobs::completion(text, offset_bytes, top);
        self.logprobs.map_or_else(|| "null".to_owned(), json)
    }
}

impl Reply for Completions {
    fn opening(&self, _: &Head, _: Usage, _: &mut String) {}

    fn token(&self, head: &Head, token: StreamToken<'_>, out: &mut String) {
        let (start, choice, text) = (start(KIND, head), token.choice, json_string(token.text));
        let logprobs = self.logprobs(token.text, token.index as usize * BYTES_PER_TOKEN);
        let finish = match token.finish {
            Some(finish) => format!(r#""{}""#, finish.name()),
            None => "null".to_owned(),
        };
        push_data(
            out,
            &format!(
                r#"{start},"choices":[{{"index":{choice},"text":{text},"logprobs":{logprobs},"finish_reason":{finish},"stop_reason":null}}]}}"#
            ),
        );
    }

    fn closing(&self, head: &Head, end: &Ending, out: &mut String) {
        push_end(KIND, head, self.include_usage.then_some(end.usage), out);
    }

    fn whole(&self, head: &Head, end: &Ending) -> String {
        let finish = end.finish.name();
        let choice = |(index, answer): (usize, &String)| {
            let (text, logprobs) = (json_string(answer), self.logprobs(answer, 0));
            format!(
                r#"{{"index":{index},"text":{text},"logprobs":{logprobs},"finish_reason":"{finish}","stop_reason":null}}"#
            )
        };
        let choices: Vec<String> = end.texts.iter().enumerate().map(choice).collect();
        whole(KIND, head, &choices, end.usage)
    }
}
