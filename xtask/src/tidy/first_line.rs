//! Law: a Rust file opens by saying why it exists.

use super::Violation;
use super::tree::Tree;

/// A violation for every Rust file whose first line is not a `//!` with words.
pub fn check(tree: &Tree) -> Vec<Violation> {
    tree.with_extension("rs")
        .filter(|file| !explains(&file.text))
        .map(|file| {
            let message = "the first line must be `//! ` and why this file exists";
            Violation::new(&file.path, 1, message)
        })
        .collect()
}

fn explains(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first
        .strip_prefix("//! ")
        .is_some_and(|why| !why.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_must_have_words() {
        for (text, refused) in [
            ("//! Blocks, chained.\n", false),
            ("//! Blocks", false),
            ("", true),
            ("//!\n//! Blocks\n", true),
            ("//! \n", true),
            ("// Blocks\n", true),
            ("/// Blocks\n", true),
            ("\n//! Blocks\n", true),
            ("use std::fmt;\n//! Blocks\n", true),
        ] {
            let found = check(&Tree::of(&[("gateway/build.rs", text)]));
            assert_eq!(!found.is_empty(), refused, "{text:?}");
        }
        assert!(check(&Tree::of(&[("run.py", "import os\n")])).is_empty());
    }
}
