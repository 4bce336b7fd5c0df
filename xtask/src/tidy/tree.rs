//! The files a law looks at: everything git would track, read once.

use std::path::Path;

use ignore::WalkBuilder;

use crate::Failure;

/// One file of the repository.
pub struct File {
    /// From the root, with `/`.
    pub path: String,
    /// Empty for a file that is not UTF-8.
    pub text: String,
}

impl File {
    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether the name ends in `.` and this.
    pub fn has_extension(&self, extension: &str) -> bool {
        self.name()
            .rsplit_once('.')
            .is_some_and(|(_, found)| found == extension)
    }
}

/// All files, by path.
pub struct Tree {
    files: Vec<File>,
}

impl Tree {
    /// Reads what is below `root`, less what `.gitignore` names.
    pub fn read(root: &Path) -> Result<Self, Failure> {
        let mut files = Vec::new();
        let walk = WalkBuilder::new(root)
            // `.ci` and `.cargo` are ours; `.git` is not.
            .hidden(false)
            .filter_entry(|entry| entry.file_name() != ".git")
            // The same answer in an export without `.git`, and for every user.
            .require_git(false)
            .git_global(false)
            .git_exclude(false)
            .parents(false)
            .build();
        for entry in walk {
            let entry = entry.map_err(|error| format!("{}: {error}", root.display()))?;
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            let path = entry
                .path()
                .strip_prefix(root)
                .expect("invariant: the walk stays below its root");
            let bytes = std::fs::read(entry.path())
                .map_err(|error| format!("{}: {error}", path.display()))?;
            files.push(File {
                path: path.to_string_lossy().replace('\\', "/"),
                text: String::from_utf8(bytes).unwrap_or_default(),
            });
        }
        Ok(Self::sorted(files))
    }

    /// A tree that exists only in a test: pairs of path and text.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        });
        Self::sorted(files.collect())
    }

    fn sorted(mut files: Vec<File>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { files }
    }

    /// All files.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The files whose name ends in `.` and this.
    pub fn with_extension(&self, extension: &str) -> impl Iterator<Item = &File> {
        self.files
            .iter()
            .filter(move |file| file.has_extension(extension))
    }

    /// The file at this path.
    pub fn file(&self, path: &str) -> Option<&File> {
        let found = self
            .files
            .binary_search_by(|file| file.path.as_str().cmp(path));
        found.ok().map(|at| &self.files[at])
    }

    /// Whether a file or a folder is at this path; the root is the empty path.
    pub fn contains(&self, path: &str) -> bool {
        path.is_empty()
            || self.file(path).is_some()
            || self.files.iter().any(|file| {
                file.path
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.starts_with('/'))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_git_would_track() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        write(".gitignore", b"/target\n*.log\n");
        write(".git/config", b"");
        write(".ci/run", b"#!/bin/bash\n");
        write("a/b.rs", b"//! b\n");
        write("a/picture.png", &[0xff, 0xfe]);
        write("a/run.log", b"");
        write("target/debug/c.rs", b"");

        let tree = Tree::read(root.path()).unwrap();
        let paths: Vec<&str> = tree.files().iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".ci/run", ".gitignore", "a/b.rs", "a/picture.png"]);
        assert_eq!(tree.file("a/b.rs").unwrap().text, "//! b\n");
        assert_eq!(tree.file("a/picture.png").unwrap().text, "");
        assert!(Tree::read(&root.path().join("absent")).is_err());
    }

    #[test]
    fn contains_files_and_folders_only() {
        let tree = Tree::of(&[("docs/a.md", ""), ("README.md", "")]);
        for (path, found) in [
            ("", true),
            ("README.md", true),
            ("docs", true),
            ("docs/a.md", true),
            ("doc", false),
            ("docs/a", false),
            ("docs/a.md/b", false),
        ] {
            assert_eq!(tree.contains(path), found, "{path:?}");
        }
    }

    #[test]
    fn an_extension_is_what_follows_the_last_dot_of_the_name() {
        let tree = Tree::of(&[("a.rs/b.md", ""), ("c.tar.gz", ""), ("rs", "")]);
        let with = |extension| tree.with_extension(extension).count();
        assert_eq!((with("md"), with("gz"), with("rs")), (1, 1, 0));
    }
}
