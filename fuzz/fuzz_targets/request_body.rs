//! Bodies of requests: whatever a client sends, reading it must end, and rewriting it must not
//! make anything else of it. The first byte picks the API.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use warmgate_routing::block::{BlockSize, ChainRoot};
use warmgate_routing::request::{Api, InferenceRequest, RequestError};

const APIS: [Api; 7] = [
    Api::ChatCompletions,
    Api::Completions,
    Api::Embeddings,
    Api::Responses,
    Api::Rerank,
    Api::Score,
    Api::AnthropicMessages,
];

const MODEL: &str = "quoted \"model\"";

fuzz_target!(|input: &[u8]| {
    let Some((pick, body)) = input.split_first() else {
        return;
    };
    let api = APIS[usize::from(*pick) % APIS.len()];
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    let request = match InferenceRequest::parse(api, body) {
        Ok(request) => request,
        Err(RequestError::NotJson { .. }) => {
            assert!(!is_json || is_deep(body), "refused what serde_json takes");
            return;
        }
        Err(_) => return,
    };
    let root = ChainRoot::new("model", None, request.cache_salt.as_deref());
    let size = BlockSize::from_tokens(4).expect("invariant: 4 is not zero");
    if let Ok(prompt) = request.prompt_blocks(root, size) {
        assert_eq!(
            prompt.hashes.len() as u64,
            prompt.bytes / size.bytes() as u64
        );
        assert!(
            request.opening().is_ok(),
            "an opening is a part of its prompt"
        );
    } else {
        assert!(!is_json || has_escape(body), "valid JSON has a prompt");
    }

    for model in [None, Some(MODEL)] {
        let Some(rewritten) = request.rewritten(model) else {
            continue;
        };
        assert!(!is_json || serde_json::from_slice::<IgnoredAny>(&rewritten).is_ok());
        let again = InferenceRequest::parse(api, &rewritten).expect("what we wrote can be read");
        assert_eq!(again.rewritten(None), None, "one pass takes everything out");
        assert_eq!(again.model.as_deref(), model.or(request.model.as_deref()));
        assert_eq!(
            again.prompt_blocks(root, size).ok(),
            request.prompt_blocks(root, size).ok(),
            "the prompt is the same",
        );
    }
});

fn is_deep(body: &[u8]) -> bool {
    let brackets = body
        .iter()
        .filter(|byte| matches!(byte, b'[' | b'{'))
        .count();
    brackets > warmgate_routing::request::MAX_DEPTH
}

fn has_escape(body: &[u8]) -> bool {
    body.contains(&b'\\')
}
