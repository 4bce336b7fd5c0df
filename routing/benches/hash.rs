//! What reading costs: parse a body and hash its prompt. Bounds: 1 KB well below 5 us, 512 KB well
//! below 250 us, as the prompt must be hashed before anything can be decided.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use warmgate_routing::block::{BlockSize, ChainRoot};
use warmgate_routing::request::{Api, InferenceRequest};

/// A chat with one long message made of `line` over and over.
fn chat(line: &str, bytes: usize) -> Vec<u8> {
    let text = line.repeat(bytes / line.len());
    json!({
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": text},
        ],
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "stream": true,
        "max_tokens": 256,
    })
    .to_string()
    .into_bytes()
}

/// A chat of an agent: many messages, contents in parts, tools last.
fn agent(bytes: usize) -> Vec<u8> {
    let result = "fn main() {\n    println!(\"hello\");\n}\n".repeat(50);
    let turn = json!([
        {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function",
            "function": {"name": "read_file", "arguments": "{\"path\": \"src/main.rs\"}"}}]},
        {"role": "tool", "tool_call_id": "call_1",
            "content": [{"type": "text", "text": result}]},
    ]);
    let turns = bytes / turn.to_string().len();
    let messages: Vec<_> = (0..turns)
        .flat_map(|_| turn.as_array().cloned())
        .flatten()
        .collect();
    json!({"messages": messages, "model": "m", "tools": [{"type": "function"}]})
        .to_string()
        .into_bytes()
}

fn parse(criterion: &mut Criterion) {
    const KIB: usize = 1024;
    let bodies = [
        (
            "parse_1k",
            chat("The quick brown fox jumps over the dog.\n", KIB),
        ),
        (
            "parse_512k_plain",
            chat("The quick brown fox jumps over the dog. ", 512 * KIB),
        ),
        (
            "parse_512k_escaped",
            chat("The quick brown fox jumps over the dog\n", 512 * KIB),
        ),
        ("parse_512k_agent", agent(512 * KIB)),
        (
            "parse_512k_chinese",
            chat("敏捷的棕色狐狸跳过了那只懒狗。\n", 512 * KIB),
        ),
    ];
    for (name, body) in bodies {
        let mut group = criterion.benchmark_group("hash");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let request = InferenceRequest::parse(Api::ChatCompletions, black_box(&body))
                    .expect("invariant: the body is valid");
                let root = ChainRoot::new("llama", None, None);
                request.prompt_blocks(root, BlockSize::default())
            });
        });
        group.finish();
    }
}

criterion_group!(benches, parse);
criterion_main!(benches);
