//! Rewritten answers against answers that were printed with the other name from the start.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use warmgate_routing::request::Api;

use super::ModelRewriter;

const EVENTS: &str = "text/event-stream; charset=utf-8";
const NAME: &str = "chat \"one\"";

/// The chunks, rewritten one by one.
fn rewritten(api: Api, content_type: &str, chunks: &[&[u8]]) -> String {
    let mut rewriter = ModelRewriter::new(api, content_type.as_bytes(), NAME).unwrap();
    let pieces = chunks
        .iter()
        .map(|chunk| rewriter.feed(Bytes::copy_from_slice(chunk)));
    let bytes = pieces.flatten().collect();
    String::from_utf8(bytes).unwrap()
}

fn whole(api: Api, body: &str) -> String {
    rewritten(api, "application/json", &[body.as_bytes()])
}

#[test]
fn only_the_field_at_its_place() {
    let cases = [
        (r#"{"model":"x"}"#, r#"{"model":"chat \"one\""}"#),
        (
            r#" { "id" : 1 , "model" : "x\"\\" , "a" : [ ] } "#,
            r#" { "id" : 1 , "model" : "chat \"one\"" , "a" : [ ] } "#,
        ),
        (
            r#"{"model":"x","a":{"model":"x"},"b":[{"model":"x"}],"model":"y"}"#,
            r#"{"model":"chat \"one\"","a":{"model":"x"},"b":[{"model":"x"}],"model":"chat \"one\""}"#,
        ),
        (r#"{"model":null,"models":"x","mode":"x"}"#, ""),
        (r#"{"model":["model","x"],"a":"model","b":"x"}"#, ""),
        (r#"{"text":"\"model\":\"x\"","m\\odel":"x"}"#, ""),
        (r#"{"a":"{\"model\":\"x\"}","model":{"model":"x"}}"#, ""),
        (r#"[{"model":"x"}]"#, ""),
        (r#""model""#, ""),
        (r#"{"message":{"model":"x"},"response":{"model":"x"}}"#, ""),
        ("", ""),
        ("no json \"model\":\"x\"", ""),
    ];
    for (body, expected) in cases {
        let expected = if expected.is_empty() { body } else { expected };
        assert_eq!(whole(Api::ChatCompletions, body), expected);
    }
}

#[test]
fn events_of_some_apis_wrap_the_answer() {
    let body = |[top, message, deep, response]: [&str; 4]| {
        format!(
            r#"{{"message":{{"id":"m","model":{message},"in":{{"model":{deep}}}}},"response":{{"model":{response}}},"model":{top}}}"#
        )
    };
    let (old, new) = (r#""x""#, r#""chat \"one\"""#);
    for (api, expected) in [
        (Api::AnthropicMessages, [new, new, old, old]),
        (Api::Responses, [new, old, old, new]),
        (Api::Embeddings, [new, old, old, old]),
    ] {
        assert_eq!(whole(api, &body([old; 4])), body(expected), "{api:?}");
    }
}

#[test]
fn lines_of_a_stream_that_are_no_data_stay_as_they_are() {
    let stream = |name: &str| {
        [
            ": {\"model\":\"x\"}\n\n",
            "event: {\"model\":\"x\"}\r\ndata: {\"model\":NAME,\r\ndata: \"model\":NAME}\r\n\r\n",
            "database: {\"model\":\"x\"}\n",
            "data:{\"model\":NAME}\n\ndata: [DONE]\n\n",
            "data: {\"a\":\"cut\n\ndata: {\"model\":NAME}\n\n",
            "dat",
        ]
        .concat()
        .replace("NAME", name)
    };
    let given = stream("\"x\"");
    let expected = stream("\"chat \\\"one\\\"\"");
    assert_eq!(
        rewritten(Api::Completions, EVENTS, &[given.as_bytes()]),
        expected
    );
    let single: Vec<&[u8]> = given.as_bytes().chunks(1).collect();
    assert_eq!(rewritten(Api::Completions, EVENTS, &single), expected);
}

#[test]
fn what_is_neither_json_nor_events_is_not_touched() {
    let new = |content_type: &str| {
        ModelRewriter::new(Api::ChatCompletions, content_type.as_bytes(), NAME).is_some()
    };
    assert!(new("Application/JSON; charset=utf-8") && new(EVENTS));
    assert!(!new("text/plain") && !new("") && !new("application/jsonl"));
}

/// Answers with fields called like those that matter at every level, and text full of quotes.
fn answer() -> impl Strategy<Value = Value> {
    let name = || prop::sample::select(vec!["model", "message", "response", "a", "choices"]);
    let leaf = prop_oneof![
        "[ -~é\n\"\\\\]{0,20}".prop_map(Value::from),
        Just(json!("\"model\":\"x\"")),
        any::<f64>().prop_map(|number| json!(number)),
        Just(Value::Null),
    ];
    let inner = leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..5)
                .prop_map(|members| members.into_iter().collect()),
        ]
    });
    prop::collection::vec((name(), inner), 0..6).prop_map(|members| members.into_iter().collect())
}

fn with_name(answer: &Value, inner: Option<&str>) -> Value {
    let mut answer = answer.clone();
    let rename = |object: &mut Value| {
        if let Some(model) = object.get_mut("model").filter(|model| model.is_string()) {
            *model = json!(NAME);
        }
    };
    rename(&mut answer);
    if let Some(inner) = inner.and_then(|inner| answer.get_mut(inner)) {
        rename(inner);
    }
    answer
}

fn pieces<'a>(text: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect()
}

const APIS: [(Api, Option<&str>); 3] = [
    (Api::ChatCompletions, None),
    (Api::AnthropicMessages, Some("message")),
    (Api::Responses, Some("response")),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn as_if_the_engine_had_written_the_name(
        answers in prop::collection::vec(answer(), 1..4),
        api in prop::sample::select(APIS.to_vec()),
        is_pretty: bool, has_returns: bool,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let print = |answer: &Value| match is_pretty {
            true => serde_json::to_string_pretty(answer).unwrap(),
            false => answer.to_string(),
        };
        let (api, inner) = api;
        let given = print(&answers[0]);
        let expected = print(&with_name(&answers[0], inner));
        let chunks = pieces(given.as_bytes(), &cuts);
        prop_assert_eq!(rewritten(api, "application/json", &chunks), expected);

        let end = if has_returns { "\r\n" } else { "\n" };
        let event = |text: String| {
            let lines = text.lines().map(|line| format!("data: {line}{end}"));
            lines.collect::<String>() + end
        };
        let given: String = answers.iter().map(|answer| event(print(answer))).collect();
        let named = answers.iter().map(|answer| with_name(answer, inner));
        let expected: String = named.map(|answer| event(print(&answer))).collect();
        let chunks = pieces(given.as_bytes(), &cuts);
        prop_assert_eq!(rewritten(api, EVENTS, &chunks), expected);
    }

    #[test]
    fn any_bytes_are_borne_and_borders_do_not_matter(
        bytes in prop::collection::vec(prop::sample::select(
            b"data: {}[],:\"\\\r\nmodelx\xff".to_vec()), 0..80),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        for content_type in ["application/json", EVENTS] {
            let run = |chunks: &[&[u8]]| {
                let mut rewriter =
                    ModelRewriter::new(Api::Responses, content_type.as_bytes(), NAME).unwrap();
                let fed = chunks.iter().map(|chunk| rewriter.feed(Bytes::copy_from_slice(chunk)));
                fed.flatten().collect::<Vec<u8>>()
            };
            prop_assert_eq!(run(&pieces(&bytes, &cuts)), run(&[&bytes]));
        }
    }
}
