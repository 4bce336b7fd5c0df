//! OpenAI embeddings, so that a gateway's path for them can be tested; the vectors mean
//! nothing.

use serde::Deserialize;

use super::super::prompt::ChainRoot;
use super::completions::PromptForm;
use super::{
    ApiError, Call, Defaults, Ending, Finish, Head, OutputLimit, Reply, StreamToken, Usage, choices,
};

#[derive(Deserialize)]
struct Body {
    model: Option<String>,
    input: Option<PromptForm>,
    #[serde(default)]
    priority: i64,
}

pub(super) fn parse(body: &[u8], defaults: Defaults<'_>) -> Result<Call, ApiError> {
    let body: Body = serde_json::from_slice(body).map_err(|error| ApiError::body(&error))?;
    let form = body.input.ok_or_else(|| ApiError::missing("input"))?;
    let model = body.model.unwrap_or_else(|| defaults.model.to_owned());
    let prompts = form.prompts(ChainRoot {
        model: &model,
        salt: None,
    });
    choices(None, prompts.len())?;
    Ok(Call {
        model,
        prompts,
        n: 1,
        // Pooling takes one pass, which costs what prefill up to a first token costs.
        output: OutputLimit {
            tokens: 1,
            finish: Finish::Stop,
        },
        priority: body.priority,
        stream: false,
        reply: Box::new(Embeddings),
    })
}

struct Embeddings;

impl Reply for Embeddings {
    fn opening(&self, _: &Head, _: Usage, _: &mut String) {}

    fn token(&self, _: &Head, _: StreamToken<'_>, _: &mut String) {}

    fn closing(&self, _: &Head, _: &Ending, _: &mut String) {}

    fn whole(&self, head: &Head, end: &Ending) -> String {
        let data: Vec<String> = (0..end.texts.len())
            .map(|index| {
                format!(r#"{{"index":{index},"object":"embedding","embedding":[0.5,0.5,0.5,0.5]}}"#)
            })
            .collect();
        let tokens = end.usage.prompt_tokens;
        format!(
            r#"{{"id":"embd-{}","object":"list","created":{},"model":{},"data":[{}],"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens},"completion_tokens":0,"prompt_tokens_details":null}}}}"#,
            head.id,
            head.created,
            head.model,
            data.join(",")
        )
    }
}
