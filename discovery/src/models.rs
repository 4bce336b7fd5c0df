//! Reads what `/v1/models` answers, in the shapes of vLLM, SGLang, TGI and llama.cpp.

use serde::Deserialize;
use warmgate_routing::Tokens;
use warmgate_routing::report::ServedModel;

/// Most bytes of a list of models; an entry of vLLM takes about 600.
pub const MODELS_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most models and adapters of an endpoint; more are left out.
pub const MODELS_MAX: usize = 1_024;
/// Longest name of a model in bytes; entries with longer ones are left out.
pub const MODEL_NAME_BYTES_MAX: usize = 512;

#[derive(Deserialize)]
struct RawList {
    data: Vec<RawModel>,
}

#[derive(Deserialize)]
struct RawModel {
    id: String,
    #[serde(default)]
    parent: Option<String>,
    /// vLLM, SGLang.
    #[serde(default)]
    max_model_len: Option<u64>,
    /// llama.cpp: further names of the same model.
    #[serde(default)]
    aliases: Vec<String>,
}

/// The models of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelList {
    /// Sorted by name, each name once.
    pub models: Vec<ServedModel>,
    /// Entries left out because of a limit.
    pub left_out: usize,
}

/// What is wrong with a list of models.
#[derive(Debug, thiserror::Error)]
#[error("not a list of models in OpenAI's shape: {0}")]
pub struct ModelsError(#[from] serde_json::Error);

/// Reads a list of models.
///
/// # Errors
/// Where the text is not JSON with a `data` list of objects that have an `id`.
pub fn read_models(body: &[u8]) -> Result<ModelList, ModelsError> {
    let raw: RawList = serde_json::from_slice(body)?;
    let mut models: Vec<ServedModel> = Vec::new();
    for RawModel {
        id,
        parent,
        max_model_len,
        aliases,
    } in raw.data
    {
        let names = std::iter::once(id).chain(aliases);
        models.extend(names.map(|name| ServedModel {
            name,
            parent: parent.clone(),
            max_model_len: max_model_len.map(Tokens),
        }));
    }
    models.sort();
    models.dedup_by(|next, first| next.name == first.name);
    let found = models.len();
    models.retain(|model| {
        let parent_bytes = model.parent.as_ref().map_or(0, String::len);
        let bytes = 1..=MODEL_NAME_BYTES_MAX;
        bytes.contains(&model.name.len()) && parent_bytes <= MODEL_NAME_BYTES_MAX
    });
    models.truncate(MODELS_MAX);
    Ok(ModelList {
        left_out: found - models.len(),
        models,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(body: &str) -> Vec<String> {
        let list = read_models(body.as_bytes()).unwrap();
        let name = |model: &ServedModel| match &model.parent {
            Some(parent) => format!("{} of {parent}", model.name),
            None => model.name.clone(),
        };
        list.models.iter().map(name).collect()
    }

    #[test]
    fn reads_every_engine() {
        let vllm = include_str!("../tests/pages/vllm_0_32_models_lora.json");
        assert_eq!(names(vllm), ["lora-a of tiny", "lora-b of tiny", "tiny"]);
        let sglang = include_str!("../tests/pages/sglang_0_5_23_models.json");
        assert_eq!(names(sglang), ["tiny"]);
        let llama_cpp = include_str!("../tests/pages/llama_cpp_b11434_models.json");
        assert_eq!(names(llama_cpp), ["tiny"]);
        let aliases = r#"{"object":"list","data":[{"id":"a","aliases":["b","a"]}]}"#;
        assert_eq!(names(aliases), ["a", "b"]);
        assert!(names(r#"{"data":[]}"#).is_empty());
    }

    #[test]
    fn refuses_what_is_no_list() {
        for body in [
            "",
            "null",
            "[]",
            r#"{"error":"Not Found"}"#,
            r#"{"data":[{"name":"x"}]}"#,
        ] {
            assert!(read_models(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn limits_hold_at_the_limit_and_one_beyond() {
        let of = |count: usize| {
            let entries: Vec<_> = (0..count).map(|n| format!(r#"{{"id":"m{n}"}}"#)).collect();
            read_models(format!(r#"{{"data":[{}]}}"#, entries.join(",")).as_bytes()).unwrap()
        };
        assert_eq!(
            (of(MODELS_MAX).models.len(), of(MODELS_MAX).left_out),
            (MODELS_MAX, 0)
        );
        let over = of(MODELS_MAX + 1);
        assert_eq!((over.models.len(), over.left_out), (MODELS_MAX, 1));
        let named = |bytes: usize| {
            let body = format!(r#"{{"data":[{{"id":"{}"}}]}}"#, "n".repeat(bytes));
            read_models(body.as_bytes()).unwrap().models.len()
        };
        assert_eq!(named(MODEL_NAME_BYTES_MAX), 1);
        assert_eq!(named(MODEL_NAME_BYTES_MAX + 1), 0);
        assert_eq!(named(0), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read_models(&body);
        }
    }
}
