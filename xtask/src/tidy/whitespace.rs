//! Law: no line of a text we write ends in spaces, and every such text ends in a newline.

use super::Violation;
use super::tree::{File, Tree};

/// Texts written by hand. What tests recorded from elsewhere is kept byte for byte.
const EXTENSIONS: [&str; 10] = [
    "rs", "md", "toml", "yaml", "yml", "sh", "py", "html", "css", "js",
];

/// Hand-written files that have no extension.
const NAMES: [&str; 2] = [".ci/run", "deploy/Dockerfile"];

/// A violation for every such line.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.files().iter().filter(|file| is_handwritten(file)) {
        for (index, line) in file.text.split('\n').enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                let message = "white space at the end of the line";
                found.push(Violation::new(&file.path, index + 1, message));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            let last = file.text.lines().count();
            let message = "no newline at the end of the file";
            found.push(Violation::new(&file.path, last, message));
        }
    }
    found
}

fn is_handwritten(file: &File) -> bool {
    let recorded = file.path.split('/').any(|part| part == "tests") && !file.has_extension("rs");
    let written = EXTENSIONS.iter().any(|known| file.has_extension(known))
        || NAMES.contains(&file.path.as_str());
    written && !recorded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let found = check(&Tree::of(&[(path, text)]));
        found.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn every_line_that_ends_in_white_space_is_named() {
        for (text, expected) in [
            ("a\n\nb\n", vec![]),
            ("", vec![]),
            ("a \nb\n", vec![1]),
            ("a\n\t\nb\r\n", vec![2, 3]),
            ("a\nb", vec![2]),
            ("a\n ", vec![2, 2]),
        ] {
            assert_eq!(lines("docs/a.md", text), expected, "{text:?}");
        }
    }

    #[test]
    fn recorded_bytes_are_left_alone() {
        for (path, checked) in [
            (".ci/run", true),
            ("routing/src/lib.rs", true),
            ("routing/tests/properties.rs", true),
            ("discovery/tests/engines/vllm.md", false),
            ("discovery/src/page.txt", false),
            ("docs/plot.svg", false),
        ] {
            assert_eq!(!lines(path, "a \n").is_empty(), checked, "{path}");
        }
    }
}
