//! Law: rooms depend on one another one way, and take versions and lints from the workspace.

use toml::de::{DeTable, DeValue};

use super::Violation;
use super::tree::{File, Tree};

struct Room {
    folder: &'static str,
    package: &'static str,
    /// Folders of the rooms it may use, in tests too.
    may_use: &'static [&'static str],
}

/// `routing <- discovery <- gateway` and `routing <- loadtest <- gateway`, the last for the
/// demo. Nothing is built on the gateway or the toolbox, but fuzzing reaches everywhere.
const ROOMS: &[Room] = &[
    Room {
        folder: "routing",
        package: "warmgate-routing",
        may_use: &[],
    },
    Room {
        folder: "discovery",
        package: "warmgate-discovery",
        may_use: &["routing"],
    },
    Room {
        folder: "loadtest",
        package: "warmgate-loadtest",
        may_use: &["routing"],
    },
    Room {
        folder: "gateway",
        package: "warmgate",
        may_use: &["routing", "discovery", "loadtest"],
    },
    Room {
        folder: "xtask",
        package: "xtask",
        may_use: &[],
    },
    Room {
        folder: FUZZ,
        package: "warmgate-fuzz",
        may_use: &["routing", "discovery", "loadtest", "gateway"],
    },
];

/// A workspace of its own, because it is built with another compiler.
const FUZZ: &str = "fuzz";

/// Crates that may come with another but are not named by us.
const NOT_OURS: [&str; 1] = ["serde_yaml"];

const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// A violation for every dependency that runs the wrong way or has a version of its own.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree
        .files()
        .iter()
        .filter(|file| file.name() == "Cargo.toml")
    {
        let manifest = match DeTable::parse(&file.text) {
            Ok(manifest) => manifest,
            Err(error) => {
                let line = error
                    .span()
                    .map_or(1, |span| line_of(&file.text, span.start));
                let message = format!("is not TOML: {}", error.message());
                found.push(Violation::new(&file.path, line, message));
                continue;
            }
        };
        let uses = uses(&file.text, manifest.get_ref());
        for used in uses.iter().filter(|used| NOT_OURS.contains(&used.package)) {
            let message = format!("`{}` must not be named: see deny.toml", used.package);
            found.push(Violation::new(&file.path, used.line, message));
        }
        if let Some((folder, _)) = file.path.split_once('/') {
            check_room(file, folder, manifest.get_ref(), &uses, &mut found);
        }
    }
    found
}

fn check_room(
    file: &File,
    folder: &str,
    manifest: &DeTable<'_>,
    uses: &[Use<'_>],
    found: &mut Vec<Violation>,
) {
    let Some(room) = ROOMS.iter().find(|room| {
        room.folder == folder && file.path.strip_prefix(folder) == Some("/Cargo.toml")
    }) else {
        let message = "an unknown room: add it to ROOMS in xtask with what it may use";
        found.push(Violation::new(&file.path, 1, message));
        return;
    };
    for used in uses {
        let other = ROOMS.iter().find(|room| room.package == used.package);
        if let Some(other) = other.filter(|other| !room.may_use.contains(&other.folder)) {
            let message = format!("{folder} must not depend on {}", other.folder);
            found.push(Violation::new(&file.path, used.line, message));
        }
        if !used.from_workspace && room.folder != FUZZ {
            let message = format!("`{}` needs `workspace = true`", used.package);
            found.push(Violation::new(&file.path, used.line, message));
        }
    }
    let takes_lints = table(manifest, "lints").is_some_and(is_from_workspace);
    if !takes_lints && room.folder != FUZZ {
        let message = "needs `[lints] workspace = true`";
        found.push(Violation::new(&file.path, 1, message));
    }
}

/// One line of a table of dependencies.
struct Use<'a> {
    package: &'a str,
    line: usize,
    from_workspace: bool,
}

fn uses<'a>(text: &str, manifest: &'a DeTable<'a>) -> Vec<Use<'a>> {
    let mut scopes = vec![manifest];
    scopes.extend(table(manifest, "workspace"));
    let platforms = table(manifest, "target")
        .into_iter()
        .flat_map(DeTable::values);
    scopes.extend(platforms.filter_map(|platform| platform.get_ref().as_table()));

    let mut found = Vec::new();
    for scope in scopes {
        for dependencies in DEPENDENCY_TABLES
            .iter()
            .filter_map(|name| table(scope, name))
        {
            for (name, entry) in dependencies {
                let details = entry.get_ref().as_table();
                let renamed = details.and_then(|details| details.get("package"));
                let package = renamed
                    .and_then(|package| package.get_ref().as_str())
                    .unwrap_or(name.get_ref());
                found.push(Use {
                    package,
                    line: line_of(text, name.span().start),
                    from_workspace: details.is_some_and(is_from_workspace),
                });
            }
        }
    }
    found
}

fn is_from_workspace(table: &DeTable<'_>) -> bool {
    matches!(
        table.get("workspace").map(|value| value.get_ref()),
        Some(DeValue::Boolean(true))
    )
}

fn table<'a>(table: &'a DeTable<'a>, name: &str) -> Option<&'a DeTable<'a>> {
    table.get(name)?.get_ref().as_table()
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINTS: &str = "[lints]\nworkspace = true\n";

    fn lines(path: &str, manifest: &str) -> Vec<usize> {
        let found = check(&Tree::of(&[(path, manifest)]));
        found.iter().map(|violation| violation.line).collect()
    }

    #[test]
    fn rooms_depend_one_way() {
        for (folder, package, allowed) in [
            ("routing", "warmgate-discovery", false),
            ("routing", "warmgate-loadtest", false),
            ("discovery", "warmgate-routing", true),
            ("discovery", "warmgate-loadtest", false),
            ("loadtest", "warmgate-routing", true),
            ("loadtest", "warmgate-discovery", false),
            ("loadtest", "warmgate", false),
            ("gateway", "warmgate-loadtest", true),
            ("gateway", "xtask", false),
            ("xtask", "warmgate-routing", false),
            ("xtask", "clap", true),
        ] {
            for kind in [
                "dependencies",
                "dev-dependencies",
                "target.'cfg(unix)'.dependencies",
            ] {
                let manifest = format!("{LINTS}[{kind}]\n{package}.workspace = true\n");
                let found = lines(&format!("{folder}/Cargo.toml"), &manifest);
                assert_eq!(
                    found,
                    if allowed { vec![] } else { vec![4] },
                    "{folder} {package}"
                );
            }
        }
        let fuzz =
            "[dependencies]\nwarmgate = { path = \"../gateway\" }\nlibfuzzer-sys = \"0.4\"\n";
        assert_eq!(lines("fuzz/Cargo.toml", fuzz), [0; 0]);
    }

    #[test]
    fn versions_and_lints_come_from_the_workspace() {
        for (rest, broken) in [
            (
                "[dependencies]\nhttp = { workspace = true, features = [\"a\"] }\n",
                vec![],
            ),
            ("[dependencies]\nhttp = \"1\"\n", vec![4]),
            (
                "[build-dependencies]\nhttp = { version = \"1\" }\n",
                vec![4],
            ),
            ("[dev-dependencies.http]\nversion = \"1\"\n", vec![3]),
        ] {
            let manifest = format!("{LINTS}{rest}");
            assert_eq!(lines("routing/Cargo.toml", &manifest), broken, "{rest}");
        }
        assert_eq!(lines("routing/Cargo.toml", "[package]\n"), [1]);
        assert_eq!(
            lines("routing/Cargo.toml", "[lints]\nworkspace = false\n"),
            [1]
        );
    }

    #[test]
    fn a_crate_that_is_not_ours_is_found_under_any_name() {
        for manifest in [
            "[workspace.dependencies]\nserde_yaml = \"0.9\"\n",
            "[workspace.dependencies]\nyaml = { package = \"serde_yaml\", version = \"0.9\" }\n",
        ] {
            assert_eq!(lines("Cargo.toml", manifest), [2], "{manifest}");
        }
        assert_eq!(
            lines("Cargo.toml", "[workspace.dependencies]\nserde = \"1\"\n"),
            [0; 0]
        );
    }

    #[test]
    fn an_unknown_room_or_broken_file_is_a_violation() {
        assert_eq!(lines("sidecar/Cargo.toml", LINTS), [1]);
        assert_eq!(lines("routing/inner/Cargo.toml", LINTS), [1]);
        assert_eq!(lines("routing/Cargo.toml", "[lints]\nworkspace = \n"), [2]);
    }
}
