//! Which of the inference APIs a path belongs to.

/// An API whose requests carry a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// OpenAI's chat completions.
    ChatCompletions,
    /// OpenAI's completions.
    Completions,
    /// OpenAI's embeddings, also with vLLM's `messages`.
    Embeddings,
    /// OpenAI's responses.
    Responses,
    /// Jina's and Cohere's rerank.
    Rerank,
    /// vLLM's score.
    Score,
    /// Anthropic's messages.
    AnthropicMessages,
}

/// Paths that are read. Everything else passes through unread.
const PATHS: &[(&str, Api)] = &[
    ("/v1/chat/completions", Api::ChatCompletions),
    ("/v1/completions", Api::Completions),
    ("/v1/embeddings", Api::Embeddings),
    ("/v1/responses", Api::Responses),
    ("/v1/messages", Api::AnthropicMessages),
    ("/rerank", Api::Rerank),
    ("/v1/rerank", Api::Rerank),
    ("/v2/rerank", Api::Rerank),
    ("/score", Api::Score),
    ("/v1/score", Api::Score),
];

impl Api {
    /// The API at a path (without its query), if it is one that carries prompts.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Api> {
        PATHS
            .iter()
            .find(|(known, _)| *known == path)
            .map(|(_, api)| *api)
    }

    /// The label in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Api::ChatCompletions => "chat_completions",
            Api::Completions => "completions",
            Api::Embeddings => "embeddings",
            Api::Responses => "responses",
            Api::Rerank => "rerank",
            Api::Score => "score",
            Api::AnthropicMessages => "anthropic_messages",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_prompts_are_read() {
        assert_eq!(
            Api::from_path("/v1/chat/completions"),
            Some(Api::ChatCompletions)
        );
        for path in [
            "/v1/models",
            "/v1/responses/resp_1",
            "/v1/messages/count_tokens",
            "/",
            "",
        ] {
            assert_eq!(Api::from_path(path), None, "{path}");
        }
    }
}
