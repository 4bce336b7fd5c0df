//! Errors in vLLM's own shape, so that what stands in front sees what it would really see.

use serde_json::json;

/// A refusal: `{"error": {"message", "type", "param", "code"}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub status: u16,
    pub message: String,
    pub kind: &'static str,
    pub param: Option<String>,
}

impl ApiError {
    /// A parameter with a value that cannot be.
    pub(super) fn parameter(param: &str, message: String) -> Self {
        Self {
            status: 400,
            message,
            kind: "BadRequestError",
            param: Some(param.to_owned()),
        }
    }

    /// A body that is no JSON or lacks fields.
    pub(super) fn body(error: &serde_json::Error) -> Self {
        let message = format!("1 validation error:\n  {error}");
        Self {
            status: 400,
            message,
            kind: "Bad Request",
            param: Some("body".to_owned()),
        }
    }

    /// A field that must be there.
    pub(super) fn missing(field: &str) -> Self {
        let message = format!(
            "1 validation error:\n  {{'type': 'missing', 'loc': 'body.{field}', 'msg': 'Field required'}}"
        );
        Self {
            status: 400,
            message,
            kind: "Bad Request",
            param: Some(format!("body.{field}")),
        }
    }

    /// A model that is not served; names those that are.
    pub(crate) fn unknown_model(asked: &str, served: &[String]) -> Self {
        Self {
            status: 404,
            message: format!(
                "The model `{asked}` does not exist. Valid aliases: {}.",
                served.join(", ")
            ),
            kind: "NotFoundError",
            param: Some("model".to_owned()),
        }
    }

    /// More tokens than the model takes.
    pub(crate) fn too_long(prompt_tokens: u64, max_model_tokens: u64) -> Self {
        Self {
            status: 400,
            message: format!(
                "This model's maximum context length is {max_model_tokens} tokens. However, your prompt \
                 contains {prompt_tokens} input tokens and leaves no room for the output. Please reduce the \
                 length of the input prompt. (parameter=input_tokens, value={prompt_tokens})"
            ),
            kind: "BadRequestError",
            param: Some("input_tokens".to_owned()),
        }
    }

    /// A body past the engine's limit.
    pub(crate) fn body_too_large(limit_bytes: usize) -> Self {
        Self {
            status: 413,
            message: format!("the request body is larger than {limit_bytes} bytes"),
            kind: "BadRequestError",
            param: None,
        }
    }

    /// A planned fault.
    pub(crate) fn injected(status: u16) -> Self {
        Self {
            status,
            message: "the simulated engine was told to fail".to_owned(),
            kind: "InternalServerError",
            param: None,
        }
    }

    /// The response body.
    pub(crate) fn to_json(&self) -> String {
        let error = json!({
            "message": self.message, "type": self.kind, "param": self.param, "code": self.status,
        });
        json!({ "error": error }).to_string()
    }
}
