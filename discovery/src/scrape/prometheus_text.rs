//! Reads the Prometheus text exposition format (and what OpenMetrics adds to it) without copying.
//!
//! Tolerant: a line that makes no sense is counted and skipped, for one odd series must not hide
//! the load of an engine. Never panics, whatever the bytes.
//!
//! ```
//! use warmgate_discovery::scrape::prometheus_text::samples;
//! let page = "# TYPE up gauge\nup{job=\"a\\\"b\"} 1 1795462046000\nnot a sample\n# EOF\n";
//! let read: Vec<_> = samples(page).collect();
//! let up = read[0].as_ref().unwrap();
//! assert_eq!((up.name, up.value), ("up", 1.0));
//! assert_eq!(up.labels.get("job").as_deref(), Some("a\"b"));
//! assert!(read[1].is_err());
//! ```

use std::borrow::Cow;

/// One sample of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name of the series.
    pub name: &'a str,
    /// Its labels.
    pub labels: Labels<'a>,
    /// Its value; may be NaN or infinite.
    pub value: f64,
}

/// The text between the braces, known to be well formed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Labels<'a>(&'a str);

/// A line that is neither a sample nor a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sample in the text exposition format: `{0}`")]
pub struct BadLine<'a>(pub &'a str);

/// The samples of a page in order. Comments and empty lines are passed over; all that follows
/// `# EOF` is ignored.
pub fn samples(page: &str) -> impl Iterator<Item = Result<Sample<'_>, BadLine<'_>>> {
    page.lines()
        .map(str::trim)
        .take_while(|line| *line != "# EOF")
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| sample(line).ok_or(BadLine(line)))
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let name_end = line
        .find(|c: char| c == '{' || c.is_ascii_whitespace())
        .filter(|end| *end > 0)?;
    let (name, rest) = line.split_at(name_end);
    if !is_name(name, ":") {
        return None;
    }
    let rest = rest.trim_start();
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => {
            let end = labels_end(inside)?;
            (Labels(&inside[..end]), &inside[end + 1..])
        }
        None => (Labels::default(), rest),
    };
    let mut words = rest.split_ascii_whitespace();
    let value = words.next()?.parse().ok()?;
    // A timestamp may follow, and an exemplar after a hash; neither is of use here.
    match words.next() {
        None | Some("#") => {}
        Some(timestamp) => {
            timestamp.parse::<f64>().ok()?;
            if words.next().is_some_and(|word| word != "#") {
                return None;
            }
        }
    }
    Some(Sample {
        name,
        labels,
        value,
    })
}

fn is_name(name: &str, also: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || also.contains(c);
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(is_allowed)
}

/// Place of the closing brace, once every label before it has been checked.
fn labels_end(inside: &str) -> Option<usize> {
    let mut rest = inside;
    loop {
        rest = rest.trim_start();
        if rest.starts_with('}') {
            return Some(inside.len() - rest.len());
        }
        let (_, _, after) = label(rest)?;
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(after_comma) => after_comma,
            None if after.starts_with('}') => after,
            None => return None,
        };
    }
}

/// Splits `name="value"` off: name, raw value, what follows.
fn label(text: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = text.split_once('=')?;
    let name = name.trim_end();
    if !is_name(name, "") {
        return None;
    }
    let value = rest.trim_start().strip_prefix('"')?;
    let mut is_escaped = false;
    let end = value.bytes().position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })?;
    Some((name, &value[..end], &value[end + 1..]))
}

impl<'a> Labels<'a> {
    /// Names and values in the order of the page, escapes undone.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Cow<'a, str>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            rest = rest.trim_start_matches([',', ' ', '\t']);
            let (name, raw, after) = label(rest)?;
            rest = after;
            Some((name, unescape(raw)))
        })
    }

    /// The value of one label; none where it is absent.
    #[must_use]
    pub fn get(self, wanted: &str) -> Option<Cow<'a, str>> {
        self.iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value)
    }
}

/// `\\`, `\"` and `\n` as the format defines them; any other backslash stands for itself.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => text.push('\n'),
            Some(escaped @ ('\\' | '"')) => text.push(escaped),
            Some(other) => text.extend(['\\', other]),
            None => text.push('\\'),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn only(line: &str) -> Sample<'_> {
        let mut read = samples(line);
        let sample = read.next().unwrap().unwrap();
        assert!(read.next().is_none());
        sample
    }

    #[test]
    fn reads_what_engines_write() {
        for (line, name, value) in [
            ("up 1", "up", 1.0),
            ("  up\t 1  ", "up", 1.0),
            ("a:b_c 4.619620352e+09", "a:b_c", 4_619_620_352.0),
            ("up{} -0.5", "up", -0.5),
            ("up{a=\"1\",} 2", "up", 2.0),
            ("up { a = \"1\" , b=\"}\" } 3", "up", 3.0),
            ("up 1 1795462046000", "up", 1.0),
            ("up 1 1795462046.123", "up", 1.0),
            ("up_total 7 # {trace_id=\"x\"} 0.5 1.0", "up_total", 7.0),
            ("up_total 7 1795462046 # {} 0.5", "up_total", 7.0),
            ("up +Inf", "up", f64::INFINITY),
            ("up -Inf", "up", f64::NEG_INFINITY),
        ] {
            let read = only(line);
            assert_eq!((read.name, read.value), (name, value), "{line}");
        }
        assert!(only("up NaN").value.is_nan());
    }

    #[test]
    fn undoes_escapes() {
        let read = only(r#"up{a="x\\y",b="q\"q",c="l\nl",d="\t",e="",f="a,b={}"} 1"#);
        let labels: Vec<_> = read.labels.iter().map(|(_, v)| v.into_owned()).collect();
        assert_eq!(labels, ["x\\y", "q\"q", "l\nl", "\\t", "", "a,b={}"]);
        assert_eq!(read.labels.get("nope"), None);
    }

    #[test]
    fn bad_lines_are_reported_and_hide_nothing() {
        let bad = [
            "up",
            "up{",
            "up{a} 1",
            "up{a=1} 1",
            "up{a=\"1} 1",
            "up{a=\"1\"",
            "up{a=\"1\"b=\"2\"} 1",
            "up x",
            "up 1 x",
            "up 1 2 3",
            "{a=\"1\"} 1",
            "9up 1",
            "u p 1 1 1",
            "ü 1",
            "<html>",
        ];
        for line in bad {
            let page = format!("before 1\n{line}\nafter 2\n");
            let read: Vec<_> = samples(&page).collect();
            assert_eq!(read.len(), 3, "{line}");
            assert_eq!(read[1], Err(BadLine(line)));
            assert!(read[0].is_ok() && read[2].is_ok(), "{line}");
        }
    }

    #[test]
    fn nothing_counts_after_the_end_mark() {
        assert_eq!(samples("a 1\n# HELP a b\n\n# EOF\nb 2\n").count(), 1);
    }

    fn rendered(name: &str, labels: &[(String, String)], value: f64) -> String {
        let escape = |text: &str| {
            text.replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        };
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, text)| format!("{name}=\"{}\"", escape(text)))
            .collect();
        format!("{name}{{{}}} {value}", labels.join(","))
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(page in "\\PC*|[a-z{}=\"\\\\, #\n0-9.]{0,200}") {
            for sample in samples(&page).flatten() {
                prop_assert!(page.contains(sample.name));
                let _ = sample.labels.iter().count();
            }
        }

        #[test]
        fn what_is_written_is_read_again(
            name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,20}",
            // A bare carriage return ends a line for no exporter, but trimming would eat it.
            labels in proptest::collection::vec(("[a-zA-Z_][a-zA-Z0-9_]{0,9}", "[^\r]{0,20}"), 0..5),
            value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO,
        ) {
            let line = rendered(&name, &labels, value);
            let read = sample(&line);
            prop_assert!(read.is_some(), "{line}");
            let read = read.unwrap();
            prop_assert_eq!(read.name, &name);
            prop_assert_eq!(read.value, value);
            let found: Vec<_> = read.labels.iter().map(|(n, v)| (n.to_owned(), v.into_owned())).collect();
            prop_assert_eq!(found, labels);
        }
    }
}
