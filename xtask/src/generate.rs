//! Documents that are printed by the program itself, so that they cannot drift from it.
//!
//! `warmgate reference WHAT` prints each from the tables the gateway runs on. They are
//! committed, to be read without a build, and `--check` fails where one is out of date.

use std::path::Path;

use crate::{Failure, process};

/// Options of `cargo xtask generate`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing, fail where a document differs from what would be written
    #[arg(long)]
    pub check: bool,
}

struct Document {
    /// The argument of `warmgate reference`.
    what: &'static str,
    /// Where its output lives, from the root.
    path: &'static str,
}

const DOCUMENTS: &[Document] = &[
    Document {
        what: "config-schema",
        path: "docs/config.schema.json",
    },
    Document {
        what: "config-doc",
        path: "docs/configuration.md",
    },
    Document {
        what: "metrics-doc",
        path: "docs/metrics.md",
    },
    Document {
        what: "admin-doc",
        path: "docs/admin.md",
    },
];

/// A document that is not what the program prints.
pub struct Stale {
    /// From the root.
    pub path: &'static str,
    /// The first line that differs, from 1.
    pub line: usize,
    /// How it differs and what to do.
    pub message: String,
}

/// Writes every document, or with `--check` compares it.
pub fn run(root: &Path, args: &Args) -> Result<(), Failure> {
    if args.check {
        let stale = check(root)?;
        return if stale.is_empty() {
            Ok(())
        } else {
            Err(stale
                .iter()
                .map(|stale| format!("{}:{}: {}", stale.path, stale.line, stale.message))
                .collect::<Vec<_>>()
                .join("\n"))
        };
    }
    for document in DOCUMENTS {
        let path = root.join(document.path);
        std::fs::write(&path, print(root, document)?)
            .map_err(|error| format!("{} cannot be written: {error}", document.path))?;
        println!("{}", document.path);
    }
    Ok(())
}

/// Every document that differs from what the program prints now.
///
/// Errs when the gateway does not build or does not print one of them.
pub fn check(root: &Path) -> Result<Vec<Stale>, Failure> {
    let mut stale = Vec::new();
    for document in DOCUMENTS {
        let printed = print(root, document)?;
        let committed = std::fs::read_to_string(root.join(document.path)).ok();
        if let Some((line, message)) = difference(committed.as_deref(), &printed) {
            stale.push(Stale {
                path: document.path,
                line,
                message,
            });
        }
    }
    Ok(stale)
}

fn print(root: &Path, document: &Document) -> Result<String, Failure> {
    let run = ["run", "--quiet", "--locked", "--package", "warmgate", "--"];
    let printed = process::cargo(root, &[&run[..], &["reference", document.what]].concat())?;
    if printed.trim().is_empty() {
        return Err(format!(
            "`warmgate reference {}` printed nothing",
            document.what
        ));
    }
    Ok(printed)
}

fn difference(committed: Option<&str>, printed: &str) -> Option<(usize, String)> {
    const DO: &str = "run `cargo xtask generate` and commit the result";
    let Some(committed) = committed else {
        return Some((1, format!("is missing: {DO}")));
    };
    if committed == printed {
        return None;
    }
    let same = committed
        .split('\n')
        .zip(printed.split('\n'))
        .take_while(|(committed, printed)| committed == printed)
        .count();
    Some((same + 1, format!("is out of date: {DO}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_its_first_line() {
        let cases = [
            (None, "a\n", Some(1)),
            (Some("a\nb\n"), "a\nb\n", None),
            (Some("a\nb\n"), "a\nc\n", Some(2)),
            (Some("a\n"), "a\nb\n", Some(2)),
            (Some("a\nb\n"), "a\n", Some(2)),
            (Some("a"), "a\n", Some(2)),
            (Some(""), "a\n", Some(1)),
        ];
        for (committed, printed, line) in cases {
            let found = difference(committed, printed).map(|(line, _)| line);
            assert_eq!(found, line, "{committed:?} against {printed:?}");
        }
    }

    #[test]
    fn no_two_documents_share_a_name_or_a_path() {
        for (i, a) in DOCUMENTS.iter().enumerate() {
            for b in &DOCUMENTS[i + 1..] {
                assert_ne!(a.what, b.what);
                assert_ne!(a.path, b.path);
            }
        }
    }
}
