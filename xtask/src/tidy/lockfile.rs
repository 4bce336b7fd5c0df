//! Law: what must never be in the dependency tree is not in `Cargo.lock` either.
//!
//! `deny.toml` gives each crate's reason and is the fuller check; this one needs no tool to
//! be installed, so that the surprise comes before the push.

use super::Violation;
use super::tree::Tree;

/// Crates that must not be locked for any platform.
const FORBIDDEN: [&str; 8] = [
    "openssl-sys",
    "native-tls",
    "aws-lc-sys",
    "aws-lc-rs",
    "reqwest",
    "onig_sys",
    "prost-build",
    "bindgen",
];

const PATH: &str = "Cargo.lock";

/// A violation for every forbidden crate, and for a missing lock file.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let Some(lock) = tree.file(PATH) else {
        return vec![Violation::new(PATH, 1, "is missing: commit it")];
    };
    let mut found = Vec::new();
    for (index, line) in lock.text.lines().enumerate() {
        let Some(name) = package_name(line).filter(|name| FORBIDDEN.contains(name)) else {
            continue;
        };
        let message = format!("`{name}` came in: find who asked by `cargo tree -i {name}`");
        found.push(Violation::new(PATH, index + 1, message));
    }
    found
}

fn package_name(line: &str) -> Option<&str> {
    line.strip_prefix("name = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_crate_is_found_where_it_is_locked() {
        for (lock, line) in [
            ("[[package]]\nname = \"aws-lc-sys\"\n", Some(2)),
            (
                "[[package]]\nname = \"ring\"\n\n[[package]]\nname = \"bindgen\"\n",
                Some(5),
            ),
            ("[[package]]\nname = \"wasm-bindgen\"\n", None),
            (
                "[[package]]\nname = \"ring\"\ndependencies = [\n \"bindgen\",\n]\n",
                None,
            ),
        ] {
            let found = check(&Tree::of(&[("Cargo.lock", lock)]));
            assert_eq!(found.first().map(|first| first.line), line, "{lock}");
        }
    }

    #[test]
    fn a_missing_lock_file_is_no_clean_one() {
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }
}
