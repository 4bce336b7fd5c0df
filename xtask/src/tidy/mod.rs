//! The laws of the house that neither rustc nor clippy can check, each in its own file.
//!
//! A law is a function from the [`Tree`] of files to its violations, so that its test is a
//! table of small inputs that break it or do not. Three need cargo as well: what `routing`
//! depends on, and whether the generated documents are what the program prints.
//!
//! To add one: a file here, and a line in [`LAWS`].

mod decisions;
mod examples;
mod first_line;
mod lengths;
mod links;
mod lockfile;
mod manifests;
mod names;
mod promises;
mod purity;
mod rust_source;
mod tree;
mod whitespace;

use std::path::Path;

use crate::{Failure, generate};
use tree::Tree;

/// Options of `cargo xtask tidy`.
#[derive(clap::Args)]
pub struct Args {
    /// Leave out the check of generated documents, which builds the gateway
    #[arg(long)]
    quick: bool,
    /// Print the laws and why they hold, check nothing
    #[arg(long)]
    list: bool,
}

struct Law {
    name: &'static str,
    why: &'static str,
    check: fn(&Tree) -> Vec<Violation>,
}

/// One place that breaks a law.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    /// From the root, with `/`.
    path: String,
    /// From 1.
    line: usize,
    /// What is wrong and what to do, as in an error.
    message: String,
}

impl Violation {
    fn new(path: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line,
            message: message.into(),
        }
    }
}

const LAWS: &[Law] = &[
    Law {
        name: "file-length",
        why: "a file is one sitting: about 150 lines, 500 is a wall",
        check: lengths::files,
    },
    Law {
        name: "function-length",
        why: "a function is one screen: 70 lines",
        check: lengths::functions,
    },
    Law {
        name: "names",
        why: "a file is named after the noun it holds",
        check: names::check,
    },
    Law {
        name: "first-line",
        why: "the first line of a file says why it exists",
        check: first_line::check,
    },
    Law {
        name: "expect",
        why: "an expect outside tests states the invariant that makes it safe",
        check: promises::expects,
    },
    Law {
        name: "ignored-test",
        why: "a test that does not run promises what nobody checks",
        check: promises::ignored,
    },
    Law {
        name: "rooms",
        why: "dependencies run one way, and their versions live in one place",
        check: manifests::check,
    },
    Law {
        name: "forbidden-crate",
        why: "one TLS stack, no system libraries, no generator to install",
        check: lockfile::check,
    },
    Law {
        name: "links",
        why: "a link in the documentation leads somewhere",
        check: links::check,
    },
    Law {
        name: "decisions",
        why: "a decision can be cited by its number and says whether it holds",
        check: decisions::check,
    },
    Law {
        name: "examples",
        why: "what is shown is tested",
        check: examples::check,
    },
    Law {
        name: "whitespace",
        why: "a diff shows what changed",
        check: whitespace::check,
    },
];

const GENERATED: &str = "generated";
const GENERATED_WHY: &str = "a generated document says what the program does";

/// Checks every law, prints each violation as `path:line: message`, fails if there is one.
pub fn run(root: &Path, args: &Args) -> Result<(), Failure> {
    if args.list {
        for law in LAWS {
            println!("{:<16} {}", law.name, law.why);
        }
        println!("{:<16} {}", purity::NAME, purity::WHY);
        println!("{GENERATED:<16} {GENERATED_WHY}");
        return Ok(());
    }
    let tree = Tree::read(root)?;
    let mut broken = 0;
    for law in LAWS {
        broken += show(law.name, law.why, (law.check)(&tree));
    }
    broken += show(purity::NAME, purity::WHY, purity::check(root)?);
    if !args.quick {
        let stale = generate::check(root)?
            .into_iter()
            .map(|stale| Violation::new(stale.path, stale.line, stale.message))
            .collect();
        broken += show(GENERATED, GENERATED_WHY, stale);
    }
    match broken {
        0 => {
            println!("tidy: {} files, all laws hold", tree.files().len());
            Ok(())
        }
        count => Err(format!("tidy: {count} violations")),
    }
}

fn show(name: &str, why: &str, mut violations: Vec<Violation>) -> usize {
    violations.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    for Violation {
        path,
        line,
        message,
    } in &violations
    {
        println!("{path}:{line}: {message} ({name}: {why})");
    }
    violations.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(tree: &Tree) -> Vec<&'static str> {
        LAWS.iter()
            .filter(|law| !(law.check)(tree).is_empty())
            .map(|law| law.name)
            .collect()
    }

    #[test]
    fn every_law_can_fail() {
        let long = format!("fn f() {{\n{}}}\n", "\n".repeat(500));
        let tree = Tree::of(&[
            ("routing/src/long.rs", &long),
            (
                "routing/src/utils.rs",
                "//! a\nfn f() { a().expect(\"a\"); } \n",
            ),
            (
                "routing/tests/a.rs",
                "//! a\n#[test]\n#[ignore]\nfn f() {}\n",
            ),
            (
                "routing/Cargo.toml",
                "[dependencies]\nwarmgate.workspace = true\n",
            ),
            ("Cargo.lock", "name = \"reqwest\"\n"),
            ("README.md", "[a](absent.md)\n"),
            ("docs/decisions/1.md", ""),
            ("deploy/examples/a.yaml", ""),
        ]);
        let all: Vec<&str> = LAWS.iter().map(|law| law.name).collect();
        assert_eq!(broken(&tree), all);
    }

    #[test]
    fn every_law_can_hold() {
        let tree = Tree::of(&[
            (
                "routing/src/lib.rs",
                "//! a\nfn f() { a().expect(\"invariant: a\"); }\n",
            ),
            (
                "routing/tests/a.rs",
                "//! a\n#[test]\nfn f() { \"a.yaml\"; }\n",
            ),
            ("routing/Cargo.toml", "[lints]\nworkspace = true\n"),
            ("Cargo.lock", "name = \"ring\"\n"),
            ("README.md", "[a](docs/decisions/0001-a.md)\n"),
            ("docs/decisions/0001-a.md", "# A\nStatus: accepted\n"),
            ("deploy/examples/a.yaml", ""),
        ]);
        assert_eq!(broken(&tree), [""; 0]);
    }

    #[test]
    fn violations_are_counted() {
        let two = vec![Violation::new("b", 1, "x"), Violation::new("a", 2, "y")];
        assert_eq!(show("law", "why", two), 2);
        assert_eq!(show("law", "why", Vec::new()), 0);
    }
}
