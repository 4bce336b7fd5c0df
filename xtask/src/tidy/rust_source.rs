//! Rust files as syntax, and which part of them is test code.

use syn::Attribute;
use syn::punctuated::Punctuated;

use super::Violation;
use super::tree::File;

/// The file's syntax tree, or a violation where it is not Rust.
pub fn parse(file: &File) -> Result<syn::File, Violation> {
    syn::parse_file(&file.text).map_err(|error| {
        let line = error.span().start().line;
        Violation::new(&file.path, line, format!("is not Rust: {error}"))
    })
}

/// Whether everything in this file is there for tests, measurements or demonstration.
pub fn is_test_path(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    name == "tests.rs"
        || folders
            .split('/')
            .any(|folder| matches!(folder, "tests" | "benches" | "examples" | "fuzz"))
}

/// Whether a file of the program has tests in it.
pub fn mentions_tests(text: &str) -> bool {
    text.contains("#[cfg(test)]")
}

/// Whether an item with these attributes is compiled only for tests.
pub fn marks_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        if path.is_ident("cfg") {
            return attribute
                .parse_args::<syn::Meta>()
                .is_ok_and(|condition| requires_test(&condition));
        }
        // `#[test]`, `#[tokio::test]`
        path.segments
            .last()
            .is_some_and(|last| last.ident == "test")
    })
}

fn requires_test(condition: &syn::Meta) -> bool {
    match condition {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated)
            .is_ok_and(|parts| parts.iter().any(requires_test)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_items_are_told_from_others() {
        for (item, expected) in [
            ("#[test] fn f() {}", true),
            ("#[tokio::test(start_paused = true)] async fn f() {}", true),
            ("#[cfg(test)] mod tests {}", true),
            ("#[cfg(all(test, unix))] mod tests {}", true),
            ("#[cfg(not(test))] mod real {}", false),
            ("#[cfg(any(test, feature = \"bench\"))] mod both {}", false),
            ("#[cfg(unix)] mod unix {}", false),
            ("#[derive(Debug)] struct S;", false),
        ] {
            let file = syn::parse_file(item).unwrap();
            let attributes = match &file.items[0] {
                syn::Item::Fn(item) => &item.attrs,
                syn::Item::Mod(item) => &item.attrs,
                syn::Item::Struct(item) => &item.attrs,
                _ => panic!("the table has a kind of item without a case: {item}"),
            };
            assert_eq!(marks_test(attributes), expected, "{item}");
        }
    }

    #[test]
    fn test_files_are_told_from_others() {
        for (path, expected) in [
            ("routing/tests/properties.rs", true),
            ("routing/benches/pick.rs", true),
            ("routing/examples/decide.rs", true),
            ("gateway/src/proxy/tests.rs", true),
            ("fuzz/fuzz_targets/sse.rs", true),
            ("gateway/src/proxy/mod.rs", false),
            ("xtask/src/tidy/examples.rs", false),
        ] {
            assert_eq!(is_test_path(path), expected, "{path}");
        }
    }
}
