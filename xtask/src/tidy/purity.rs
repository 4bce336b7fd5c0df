//! Law: `routing` builds and tests without a runtime, a socket or a control plane.

use std::path::Path;

use super::Violation;
use crate::{Failure, process};

/// The law's name.
pub const NAME: &str = "purity";
/// Why it holds.
pub const WHY: &str = "routing is a function of its arguments, testable in seconds";

const ROUTING: &str = "warmgate-routing";
const MANIFEST: &str = "routing/Cargo.toml";

/// Crates that do I/O, and so must not be below `routing`.
const IMPURE: [&str; 7] = [
    "tokio", "mio", "hyper", "kube", "reqwest", "axum", "socket2",
];

/// Every crate of [`IMPURE`], and of Pingora, that `routing` depends on at any depth.
pub fn check(root: &Path) -> Result<Vec<Violation>, Failure> {
    #[rustfmt::skip]
    let arguments = [
        "tree", "--locked", "--package", ROUTING, "--edges", "normal",
        "--all-features", "--target", "all", "--prefix", "none",
    ];
    Ok(judge(&process::cargo(root, &arguments)?))
}

fn judge(listing: &str) -> Vec<Violation> {
    let mut crates: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    crates.sort_unstable();
    crates.dedup();
    if !crates.contains(&ROUTING) {
        let message = format!("`cargo tree` does not list {ROUTING} itself");
        return vec![Violation::new(MANIFEST, 1, message)];
    }
    crates
        .into_iter()
        .filter(|name| IMPURE.contains(name) || name.starts_with("pingora"))
        .map(|name| {
            let message =
                format!("depends on `{name}`: see `cargo tree -p {ROUTING} -e normal -i {name}`");
            Violation::new(MANIFEST, 1, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impure_crates_are_found_at_any_depth() {
        for (below, count) in [
            ("serde v1.0.229\nserde v1.0.229 (*)", 0),
            ("tokio-free v1.0.0", 0),
            ("tokio v1.54.1\nmio v1.0.0\ntokio v1.54.1 (*)", 2),
            ("pingora-core v0.9.1", 1),
            ("kube v5.0.0", 1),
        ] {
            let listing = format!("warmgate-routing v0.1.0 (/home/me/routing)\n{below}\n");
            assert_eq!(judge(&listing).len(), count, "{below}");
        }
    }

    #[test]
    fn an_empty_listing_proves_nothing() {
        assert_eq!(judge("").len(), 1);
    }
}
