//! Law: a decision record has a number of its own, a title, and its status right below.

use std::collections::BTreeMap;

use super::Violation;
use super::tree::{File, Tree};

const FOLDER: &str = "docs/decisions/";

/// A violation for every record that cannot be cited or does not say whether it holds.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut numbers: BTreeMap<&str, &str> = BTreeMap::new();
    for file in tree.files() {
        let Some(name) = file.path.strip_prefix(FOLDER) else {
            continue;
        };
        if name == "README.md" {
            continue;
        }
        let Some(number) = number(name) else {
            let message = "the name must be NNNN-words-with-dashes.md";
            found.push(Violation::new(&file.path, 1, message));
            continue;
        };
        if let Some(first) = numbers.insert(number, name) {
            let message = format!("number {number} is taken by {first}");
            found.push(Violation::new(&file.path, 1, message));
        }
        found.extend(status(file));
    }
    found
}

fn number(name: &str) -> Option<&str> {
    let (number, words) = name.strip_suffix(".md")?.split_once('-')?;
    let numbered = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    let worded = !words.is_empty()
        && words
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (numbered && worded).then_some(number)
}

fn status(file: &File) -> Option<Violation> {
    let mut lines = file.text.lines().enumerate();
    let (_, title) = lines.next().unwrap_or_default();
    if !title.starts_with("# ") {
        return Some(Violation::new(
            &file.path,
            1,
            "the first line must be `# ` and the title",
        ));
    }
    let (index, line) = lines
        .find(|(_, line)| !line.trim().is_empty())
        .unwrap_or((1, ""));
    let stated = line
        .strip_prefix("Status:")
        .is_some_and(|status| !status.trim().is_empty());
    (!stated).then(|| {
        let message = "below the title must stand `Status: ` and accepted, superseded by NNNN, ...";
        Violation::new(&file.path, index + 1, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, text: &str) -> Option<usize> {
        let path = format!("docs/decisions/{name}");
        let found = check(&Tree::of(&[(&path, text)]));
        assert!(found.len() <= 1, "{found:?}");
        found.first().map(|violation| violation.line)
    }

    #[test]
    fn the_status_follows_the_title() {
        for (text, broken_at) in [
            ("# Body\nStatus: accepted\n", None),
            ("# Body\n\nStatus: superseded by 0007\n\nText\n", None),
            ("", Some(1)),
            ("Status: accepted\n", Some(1)),
            ("# Body\n", Some(2)),
            ("# Body\n\nText\nStatus: accepted\n", Some(3)),
            ("# Body\nStatus:\n", Some(2)),
            ("## Body\nStatus: accepted\n", Some(1)),
        ] {
            assert_eq!(line("0001-body.md", text), broken_at, "{text:?}");
        }
    }

    #[test]
    fn the_name_is_a_number_and_words() {
        for (name, refused) in [
            ("0001-where-the-body-is-read.md", false),
            ("README.md", false),
            ("1-body.md", true),
            ("00001-body.md", true),
            ("0001.md", true),
            ("0001-.md", true),
            ("0001-Body.md", true),
            ("0001-body.txt", true),
            ("body.md", true),
        ] {
            let found = line(name, "# Body\nStatus: accepted\n");
            assert_eq!(found.is_some(), refused, "{name}");
        }
    }

    #[test]
    fn a_number_is_used_once() {
        let good = "# A\nStatus: accepted\n";
        let pair = |a, b| check(&Tree::of(&[(a, good), (b, good)])).len();
        assert_eq!(
            pair("docs/decisions/0001-a.md", "docs/decisions/0002-b.md"),
            0
        );
        assert_eq!(
            pair("docs/decisions/0001-a.md", "docs/decisions/0001-b.md"),
            1
        );
    }
}
