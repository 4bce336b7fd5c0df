//! What each engine calls the figures that routing reads. One file each, nothing else in it.
//!
//! To add an engine: an [`Engine`] variant, a file with its [`NameTable`], a line in [`TABLES`].

use warmgate_routing::endpoint::Engine;

use super::name_table::NameTable;

mod llama_cpp;
mod sglang;
mod tensorrt_llm;
mod tgi;
mod triton;
mod vllm;

/// Every engine whose metrics are understood.
pub(crate) const TABLES: [&NameTable; 6] = [
    &vllm::TABLE,
    &sglang::TABLE,
    &tgi::TABLE,
    &triton::TABLE,
    &tensorrt_llm::TABLE,
    &llama_cpp::TABLE,
];

/// The table of `engine`.
pub(crate) fn table(engine: Engine) -> &'static NameTable {
    TABLES
        .into_iter()
        .find(|table| table.engine == engine)
        .expect("invariant: every engine has a table, as the test below checks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_has_a_table() {
        use Engine::{LlamaCpp, Sglang, TensorrtLlm, Tgi, Triton, Vllm};
        for engine in [Vllm, Sglang, Tgi, Triton, TensorrtLlm, LlamaCpp] {
            assert_eq!(table(engine).engine, engine);
            assert!(!table(engine).places.is_empty());
        }
    }
}
