//! The walker against the grammar's corners and against serde_json.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

fn walk(text: &str) -> Result<LongStrings, RequestError> {
    let mut walker = Walker::first(text);
    walker.skip()?;
    walker.finish()
}

#[test]
fn says_where_and_what() {
    let cases = [
        ("", Problem::UnexpectedEnd, 1, 1),
        ("{\"a\": 1", Problem::UnexpectedEnd, 1, 8),
        ("{\"a\": \"b", Problem::UnexpectedEnd, 1, 9),
        ("{\n  \"a\": nul}", Problem::ExpectedValue, 2, 8),
        ("{\"a\": NaN}", Problem::ExpectedValue, 1, 7),
        ("{\"a\" 1}", Problem::ExpectedColon, 1, 6),
        ("{a: 1}", Problem::ExpectedName, 1, 2),
        ("{\"a\": 1,}", Problem::ExpectedName, 1, 9),
        ("[1 2]", Problem::ExpectedCommaOrEnd, 1, 4),
        ("[1]]", Problem::TrailingText, 1, 4),
        ("[01]", Problem::MalformedNumber, 1, 2),
        ("[\"a\n\"]", Problem::ControlCharacter, 1, 4),
    ];
    for (text, problem, line, column) in cases {
        let expected = RequestError::NotJson {
            problem,
            line,
            column,
        };
        assert_eq!(walk(text).unwrap_err(), expected, "{text:?}");
    }
}

#[test]
fn nesting_at_the_limit_and_one_deeper() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(walk(&nested(MAX_DEPTH)).is_ok());
    let column = MAX_DEPTH + 1;
    let expected = RequestError::NotJson {
        problem: Problem::TooDeep,
        line: 1,
        column,
    };
    assert_eq!(walk(&nested(MAX_DEPTH + 1)).unwrap_err(), expected);
}

#[test]
fn long_strings_are_remembered_and_end_where_they_did() {
    for length in LONG_STRING_BYTES - 4..LONG_STRING_BYTES + 4 {
        let text = format!("[\"{}\", 1]", "x".repeat(length - 2));
        let ends = walk(&text).unwrap();
        assert_eq!(
            ends.0.len(),
            usize::from(length > LONG_STRING_BYTES),
            "{length}"
        );
        let list = Span {
            start: 0,
            end: text.len(),
        };
        let mut found = Vec::new();
        let mut again = Walker::over(&text, list, &ends);
        again
            .items(|walker| {
                found.push(walker.skip()?);
                Ok(())
            })
            .unwrap();
        assert_eq!(
            found[0],
            Span {
                start: 1,
                end: 1 + length
            }
        );
    }
}

#[test]
fn names_are_compared_as_engines_read_them() {
    let text = r#"{"\u0061": 1, "b": 2, "a": 3, "c": null}"#;
    let ends = LongStrings::default();
    let whole = Span {
        start: 0,
        end: text.len(),
    };
    let picked = Walker::over(text, whole, &ends)
        .pick(["a", "b", "c", "d"])
        .unwrap();
    assert_eq!(
        picked.map(|value| value.map(|v| v.of(text))),
        [Some("3"), Some("2"), None, None]
    );
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "[ -~é\n\"\\\\]{0,40}".prop_map(Value::from),
        "[a\"\\\\]{100,160}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("[a-c\"\\\\]{0,3}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn takes_and_refuses_what_serde_json_does(
        value in json(),
        is_pretty in any::<bool>(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), "[ -~\n\"{}\\[\\]:,0-9.eE+\\\\-]"), 0..3,
        ),
    ) {
        let mut text = if is_pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            value.to_string()
        };
        for (index, change) in changes {
            let at = index.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..at + 1, &change);
            }
        }
        match (serde_json::from_str::<IgnoredAny>(&text), walk(&text)) {
            (Ok(_), Err(error)) => prop_assert!(false, "refused: {} {}", error, text),
            // The one liberty: escapes are left to whoever reads the string. serde_json takes the four
            // characters after `\u` without looking, be it past the closing quote to the end.
            (Err(error), Ok(_)) => {
                let is_cut_escape = error.is_eof() && text.contains(r"\u");
                let is_escape = error.to_string().contains("escape") || is_cut_escape;
                prop_assert!(is_escape, "{} {}", error, text);
            }
            _ => {}
        }
    }
}
