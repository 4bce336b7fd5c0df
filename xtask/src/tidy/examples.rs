//! Law: every example file is named by a test, so that what readers copy works.
//!
//! Naming is all that is checked: a test that names a file and does nothing with it is a
//! matter for review.

use super::Violation;
use super::rust_source::{is_test_path, mentions_tests};
use super::tree::Tree;

const FOLDER: &str = "deploy/examples/";

/// A violation for every file below `deploy/examples` that no test names.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let tests: Vec<&str> = tree
        .with_extension("rs")
        .filter(|file| is_test_path(&file.path) || mentions_tests(&file.text))
        .filter(|file| !file.path.starts_with("xtask/"))
        .map(|file| file.text.as_str())
        .collect();
    tree.files()
        .iter()
        .filter(|file| file.path.starts_with(FOLDER) && !file.has_extension("md"))
        .filter(|file| !tests.iter().any(|text| names(text, file.name())))
        .map(|file| {
            let message = format!("no test names `{}`: read it in one", file.name());
            Violation::new(&file.path, 1, message)
        })
        .collect()
}

/// Whether the text has the name as a whole word: `a.yaml` is not in `data.yaml`.
fn names(text: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.match_indices(name).any(|(at, _)| {
        !text[..at].ends_with(part_of_name) && !text[at + name.len()..].starts_with(part_of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_must_be_named_by_a_test() {
        for (path, text, named) in [
            (
                "gateway/tests/examples.rs",
                r#""deploy/examples/dns.yaml""#,
                true,
            ),
            (
                "gateway/src/config/mod.rs",
                r#"#[cfg(test)] mod t { "dns.yaml" }"#,
                true,
            ),
            (
                "gateway/src/config/mod.rs",
                r#"fn f() { "dns.yaml" }"#,
                false,
            ),
            (
                "gateway/tests/examples.rs",
                r#""other-dns.yaml" "dns.yaml.bak""#,
                false,
            ),
            ("gateway/tests/examples.rs", "", false),
            ("docs/examples.md", "dns.yaml", false),
        ] {
            let tree = Tree::of(&[(path, text), ("deploy/examples/dns.yaml", "")]);
            assert_eq!(check(&tree).is_empty(), named, "{path}: {text}");
        }
    }

    #[test]
    fn prose_beside_the_examples_needs_no_test() {
        assert!(check(&Tree::of(&[("deploy/examples/README.md", "")])).is_empty());
        assert!(check(&Tree::of(&[("deploy/compose.yaml", "")])).is_empty());
    }
}
