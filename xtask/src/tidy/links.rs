//! Law: a relative link in Markdown leads to a file or folder that exists.

use pulldown_cmark::{Event, Options, Parser, Tag};

use super::Violation;
use super::tree::Tree;

/// A violation for every link or image that leads to nothing.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for file in tree.with_extension("md") {
        for (line, link) in links(&file.text) {
            let Some(target) = local_part(&link) else {
                continue;
            };
            if !resolve(&file.path, target).is_some_and(|path| tree.contains(&path)) {
                let message = format!("the link to `{link}` leads nowhere");
                found.push(Violation::new(&file.path, line, message));
            }
        }
    }
    found
}

/// Links and images with their line, in Markdown and in the HTML within it.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        let line = |at: usize| text[..at].matches('\n').count() + 1;
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                found.push((line(range.start), dest_url.into_string()));
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                for link in attributes(&html) {
                    found.push((line(range.start), link.to_owned()));
                }
            }
            _ => {}
        }
    }
    found
}

fn attributes(html: &str) -> impl Iterator<Item = &str> {
    ["src=\"", "href=\""].into_iter().flat_map(move |key| {
        html.split(key)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
    })
}

/// The path of a link within this repository, without its anchor.
fn local_part(link: &str) -> Option<&str> {
    let path = link.split(['#', '?']).next().unwrap_or_default();
    let has_scheme = path
        .split_once(':')
        .is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphabetic()));
    (!path.is_empty() && !has_scheme && !path.starts_with("//")).then_some(path)
}

/// The path from the root; nothing where it climbs above it.
fn resolve(from: &str, target: &str) -> Option<String> {
    let (folder, target) = match target.strip_prefix('/') {
        Some(from_root) => ("", from_root),
        None => (
            from.rsplit_once('/').map_or("", |(folder, _)| folder),
            target,
        ),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_link_must_lead_somewhere() {
        for (text, broken_at) in [
            ("[a](lexicon.md)", None),
            ("[a](./lexicon.md#words)", None),
            ("[a](../README.md) [b](..) [c](decisions/)", None),
            ("[a](/docs/lexicon.md)", None),
            (
                "[a](#below) [b](https://example.com/x) [c](mailto:a@b.c)",
                None,
            ),
            ("`[a](absent.md)`", None),
            ("```\n[a](absent.md)\n```", None),
            ("text\n\n[a](absent.md)", Some(3)),
            ("![a](absent.svg)", Some(1)),
            ("[a][b]\n\n[b]: absent.md", Some(1)),
            ("| a |\n|---|\n| [b](absent.md) |", Some(3)),
            ("<img src=\"absent.svg\">", Some(1)),
            ("see <a href=\"lexicon.md\">words</a>", None),
            ("[a](lexicon)", Some(1)),
            ("[a](../../outside.md)", Some(1)),
        ] {
            let tree = Tree::of(&[
                ("README.md", ""),
                ("docs/page.md", text),
                ("docs/lexicon.md", ""),
                ("docs/decisions/0001-a.md", ""),
            ]);
            let found = check(&tree);
            let line = found.first().map(|violation| violation.line);
            assert_eq!(line, broken_at, "{text}: {found:?}");
        }
    }
}
