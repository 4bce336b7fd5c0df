//! Canonical prompts as text, one feature each, and what they must have in common or not.

use super::*;
use crate::block::BlockHash;

/// The prompt with each mark on a line of its own and digests of media shortened.
fn prompt(api: Api, body: &str) -> String {
    let request = InferenceRequest::parse(api, body.as_bytes()).unwrap();
    let mut writer = PromptWriter::new(&request, Vec::new());
    prompt::write(&request, &mut writer).unwrap();
    let (bytes, further_bytes) = writer.finish();
    let mut shown = String::new();
    let mut rest = &bytes[..];
    while let Some(at) = rest.iter().position(|byte| *byte == 0xff) {
        shown += &String::from_utf8_lossy(&rest[..at]);
        shown += &format!("\n<{}>", char::from(rest[at + 1]));
        rest = &rest[at + 2..];
        if bytes[bytes.len() - rest.len() - 1] == b'i' {
            shown += &format!("{:02x}{:02x}..", rest[0], rest[1]);
            rest = &rest[MEDIA_PROMPT_BYTES..];
        }
    }
    shown += &String::from_utf8_lossy(rest);
    if further_bytes > 0 {
        shown += &format!("\n({further_bytes} bytes of further prompts)");
    }
    shown
}

fn blocks(api: Api, body: &str) -> PromptBlocks {
    let request = InferenceRequest::parse(api, body.as_bytes()).unwrap();
    let root = ChainRoot::new("m", None, request.cache_salt.as_deref());
    request
        .prompt_blocks(root, BlockSize::from_tokens(4).unwrap())
        .unwrap()
}

macro_rules! check {
    ($api:ident, $body:expr, @$expected:literal) => {
        insta::assert_snapshot!(prompt(Api::$api, $body), @$expected)
    };
}

#[test]
fn chat_with_tools_calls_and_answers() {
    check!(ChatCompletions, r#"{"messages":[
        {"role":"system","content":"be brief"},
        {"role":"user","name":"ann","content":[{"type":"text","text":"what is"},{"type":"text","text":"1\n+ 1"}]},
        {"content":null,"role":"assistant","reasoning_content":"hm","tool_calls":[{"id":"c1","function":{"name":"add","arguments":"{}"}}]},
        {"role":"tool","tool_call_id":"c1","content":"2"},
        {"role":"assistant","content":"2","tool_calls":[],"refusal":null}
    ],"tools":[{"type":"function"}],"model":"m"}"#, @r#"

    <t>[{"type":"function"}]
    <m>system
    <c>be brief
    <m>user
    <n>ann
    <c>what is
    <p>1
    + 1
    <m>assistant
    <f>[{"id":"c1","function":{"name":"add","arguments":"{}"}}]
    <m>tool
    <c>2
    <a>c1
    <m>assistant
    <c>2
    "#);
}

#[test]
fn media_count_for_a_fixed_size_and_by_content() {
    check!(ChatCompletions, r#"{"messages":[{"role":"user","content":[
        {"type":"text","text":"see"},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},
        {"type":"input_image","image_url":"data:image\/png;base64,AAAA"},
        {"type":"input_audio","input_audio":{"data":"BBBB","format":"wav"}},
        {"type":"video_url","video_url":{"url":"https://example.org/v.mp4"}},
        {"type":"never_seen","x":1}
    ]}]}"#, @r#"

    <m>user
    <c>see
    <p>
    <i>308b..
    <p>
    <i>308b..
    <p>
    <i>5479..
    <p>
    <i>5de0..
    <p>
    <o>{"type":"never_seen","x":1}
    "#);
}

#[test]
fn anthropic() {
    check!(AnthropicMessages, r#"{"max_tokens":9,"messages":[
        {"role":"user","content":[{"type":"text","text":"read it","cache_control":{"type":"ephemeral"}},
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},
            {"type":"tool_use","id":"t1","name":"read","input":{"path":"a"}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"text of a"}]}]}
    ],"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1; cch=1f;"},{"type":"text","text":"be brief"}],"tools":[{"name":"read"}]}"#, @r#"

    <t>[{"name":"read"}]
    <m>system
    <c>be brief
    <m>user
    <c>read it
    <p>
    <i>a2d8..
    <m>assistant
    <c>
    <f>read
    <f>{"path":"a"}
    <f>t1
    <m>user
    <c>
    <a>t1
    <c>text of a
    "#);
}

#[test]
fn responses() {
    check!(Responses, r#"{"input":[
        {"role":"user","content":"add 1 and 1"},
        {"type":"message","role":"user","content":[{"type":"input_text","text":"please"}]},
        {"type":"reasoning","summary":[]},
        {"type":"function_call","call_id":"c1","name":"add","arguments":"{\"a\":1}"},
        {"type":"function_call_output","call_id":"c1","output":"2"},
        {"type":"item_reference","id":"i1"}
    ],"instructions":"be brief","tools":[{"type":"function"}]}"#, @r#"

    <t>[{"type":"function"}]
    <m>system
    <c>be brief
    <m>user
    <c>add 1 and 1
    <m>user
    <c>please
    <m>assistant
    <f>add
    <f>{"a":1}
    <f>c1
    <m>tool
    <a>c1
    <c>2
    <o>{"type":"item_reference","id":"i1"}
    "#);
}

#[test]
fn rerank_and_score() {
    check!(Rerank, r#"{"documents":["one",{"text":"two"},"three"],"query":"q?"}"#, @"
    q?
    <v>one
    (12 bytes of further prompts)
    ");
    check!(Score, r#"{"text_1":["a","b"],"text_2":["c","dd"]}"#, @"
    a
    <v>c
    (3 bytes of further prompts)
    ");
    check!(Score, r#"{"queries":"a","documents":"b"}"#, @"
    a
    <v>b
    ");
}

#[test]
fn completions_and_embeddings() {
    check!(Completions, r#"{"prompt":"once \"upon\""}"#, @r#"once "upon""#);
    check!(Completions, r#"{"prompt":["one","two","thr\u00e9"]}"#, @"
    one
    (8 bytes of further prompts)
    ");
    check!(Embeddings, r#"{"input":["one"]}"#, @"one");
    check!(Embeddings, r#"{"messages":[{"role":"user","content":"one"}]}"#, @"

    <m>user
    <c>one
    ");
    for body in [
        r#"{"prompt":[]}"#,
        r#"{"prompt":7}"#,
        r#"{"prompt_embeds":"AA"}"#,
        "{}",
    ] {
        assert_eq!(
            blocks(Api::Completions, body),
            PromptBlocks::default(),
            "{body}"
        );
    }
}

#[test]
fn token_ids_are_four_bytes_each() {
    for (body, further_bytes) in [
        (r#"{"prompt":[1, 2,300,70000, 5]}"#, 0),
        (r#"{"prompt":[ [1,2,300,70000,5],[1,2],[] ]}"#, 8),
    ] {
        let prompt = blocks(Api::Completions, body);
        assert!(prompt.is_token_ids);
        assert_eq!(
            (prompt.bytes, prompt.further_bytes),
            (20, further_bytes),
            "{body}"
        );
        assert_eq!(prompt.hashes.len(), 1);
    }
    let ids = blocks(Api::Completions, r#"{"prompt":[97,98,99,100]}"#);
    let text = r#"{"prompt":"a\u0000\u0000\u0000b\u0000\u0000\u0000c\u0000\u0000\u0000d\u0000\u0000\u0000"}"#;
    assert_ne!(ids.hashes, blocks(Api::Completions, text).hashes);
}

#[test]
fn the_order_of_fields_and_the_escaping_make_no_difference() {
    let tools = r#""tools":[{"type":"function","function":{"name":"f"}}]"#;
    let messages = r#""messages":[{"role":"user","content":"a longer text: é/\n"}]"#;
    let escaped = r#""messages":[{"content":"a longer text: \u00e9\/\u000a","role":"user"}]"#;
    let first = blocks(Api::ChatCompletions, &format!("{{{tools},{messages}}}"));
    assert!(first.hashes.len() > 2);
    assert_eq!(
        blocks(Api::ChatCompletions, &format!("{{{messages},{tools}}}")),
        first
    );
    assert_eq!(
        blocks(Api::ChatCompletions, &format!("{{{escaped},{tools}}}")),
        first
    );
}

#[test]
fn the_same_conversation_is_the_same_through_every_api() {
    let chat = r#"{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hello there, you"}]}"#;
    let anthropic = r#"{"system":"be brief","messages":[{"role":"user","content":[{"type":"text","text":"hello there, you"}]}]}"#;
    let responses = r#"{"instructions":"be brief","input":"hello there, you"}"#;
    let expected = blocks(Api::ChatCompletions, chat);
    assert_eq!(blocks(Api::AnthropicMessages, anthropic), expected);
    assert_eq!(blocks(Api::Responses, responses), expected);
}

#[test]
fn a_growing_conversation_keeps_its_chain() {
    let mut messages = vec![serde_json::json!({"role": "system", "content": "be brief"})];
    let mut before: Vec<BlockHash> = Vec::new();
    for turn in 0..10 {
        messages.push(serde_json::json!({"role": "user", "content": format!("question {turn}\n")}));
        let body = serde_json::json!({"messages": messages, "n": turn}).to_string();
        let hashes = blocks(Api::ChatCompletions, &body).hashes;
        assert!(hashes.len() > before.len());
        assert_eq!(hashes[..before.len()], before[..]);
        before = hashes;
        messages
            .push(serde_json::json!({"role": "assistant", "content": "answer", "reasoning": "so"}));
    }
}

#[test]
fn structures_do_not_collide() {
    let contents = [
        r#"[{"role":"user","content":"ab"}]"#,
        r#"[{"role":"user","content":["a","b"]}]"#,
        r#"[{"role":"usera","content":"b"}]"#,
        r#"[{"role":"user","name":"a","content":"b"}]"#,
        r#"[{"role":"user","content":"a"},{"role":"user","content":"b"}]"#,
        r#"[{"role":"user","content":"a"},{"role":"","content":"userb"}]"#,
        r#"[{"role":"user","content":"a","tool_call_id":"b"}]"#,
        r#"[{"role":"user","content":"a","tool_calls":"b"}]"#,
    ];
    let mut prompts = contents
        .map(|c| prompt(Api::ChatCompletions, &format!("{{\"messages\":{c}}}")))
        .to_vec();
    prompts.sort();
    prompts.dedup();
    assert_eq!(prompts.len(), contents.len());
}

#[test]
fn salts_share_nothing() {
    let body = |salt: &str| format!(r#"{{"prompt":"sixteen bytes and more",{salt}"n":1}}"#);
    let salts = [
        "",
        r#""cache_salt":"a","#,
        r#""cache_salt":"b","#,
        r#""extra_key":"a","#,
        r#""cache_salt":"a","extra_key":"a","#,
    ];
    let mut hashes: Vec<BlockHash> = salts
        .iter()
        .map(|salt| blocks(Api::Completions, &body(salt)).hashes[0])
        .collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), salts.len());
}

#[test]
fn a_bad_escape_in_the_prompt_is_found_where_it_is() {
    let body = "{\"messages\":[\n{\"role\":\"user\",\"content\":\"a\\qb\"}]}";
    let request = InferenceRequest::parse(Api::ChatCompletions, body.as_bytes()).unwrap();
    let error = request.prompt_blocks(ChainRoot::new("m", None, None), BlockSize::default());
    assert_eq!(
        error.unwrap_err().to_string(),
        "the body is not valid JSON: malformed escape at line 2 column 28"
    );
}
