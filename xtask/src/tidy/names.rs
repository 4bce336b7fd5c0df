//! Law: no file or folder has a name that would fit any other file.

use super::Violation;
use super::tree::Tree;

/// What such names say: "things that had no home".
const HOMELESS: [&str; 7] = [
    "utils", "util", "common", "helpers", "helper", "misc", "types",
];

/// A violation for every file whose path has such a part.
pub fn check(tree: &Tree) -> Vec<Violation> {
    tree.files()
        .iter()
        .filter_map(|file| {
            let part = file.path.split('/').find(|part| is_homeless(part))?;
            let message = format!("`{part}` says nothing: name it after what it holds");
            Some(Violation::new(&file.path, 1, message))
        })
        .collect()
}

fn is_homeless(part: &str) -> bool {
    let stem = part.split_once('.').map_or(part, |(stem, _)| stem);
    HOMELESS.contains(&stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_fits_anything_is_refused() {
        for (path, refused) in [
            ("routing/src/utils.rs", true),
            ("routing/src/utils/hash.rs", true),
            ("gateway/tests/common/mod.rs", true),
            ("deploy/helpers.sh", true),
            ("misc/notes.md", true),
            ("discovery/src/types.rs", true),
            ("routing/src/units.rs", false),
            ("deploy/chart/templates/_helpers.tpl", false),
            ("routing/src/common_prefix.rs", false),
            ("docs/uncommon.md", false),
        ] {
            let found = check(&Tree::of(&[(path, "")]));
            assert_eq!(!found.is_empty(), refused, "{path}");
        }
    }
}
