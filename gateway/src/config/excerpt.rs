//! Shows what is wrong with a file: place, key path, reason, and the line it is about.

use std::fmt::Write as _;

use serde_saphyr::path_map::{PathKey, PathKind};
use serde_saphyr::{Error, Location, MessageFormatter, UserMessageFormatter};

use super::schema;

/// Longest piece of a line that is shown, in characters.
const SHOWN_CHARS_MAX: usize = 160;

/// One mistake in the text of a file.
pub(super) struct Mistake {
    /// Key path; empty where it is about the whole file.
    pub path: String,
    /// What is wrong, and what to write instead.
    pub problem: String,
    /// Where, if anywhere.
    pub location: Option<Location>,
}

/// The mistakes that validation found, each with its key path and place.
pub(super) fn mistakes(error: &Error) -> Vec<Mistake> {
    match error {
        Error::WithSnippet { error, .. } => mistakes(error),
        Error::ValidationErrors { errors, .. } => errors.iter().flat_map(mistakes).collect(),
        Error::ValidationError {
            issues, locations, ..
        } => {
            let mistake = |issue: &serde_saphyr::ValidationIssue| {
                let path = key_path(&issue.path);
                Mistake {
                    problem: bounded(&path, issue.message.as_deref().unwrap_or(&issue.code)),
                    location: locations
                        .locations_for(&issue.path)
                        .and_then(serde_saphyr::Locations::primary_location),
                    path,
                }
            };
            issues.iter().map(mistake).collect()
        }
        _ => Vec::new(),
    }
}

/// The mistake that kept the text from being read, at the key of that path if one is known.
pub(super) fn misread(error: &Error, path: Option<String>) -> Mistake {
    let inner = match error {
        Error::WithSnippet { error, .. } => error,
        error => error,
    };
    let path = path.unwrap_or_default();
    let (path, problem) = match inner {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("a key");
            (String::new(), format!("`{key}` is written twice: keep one"))
        }
        Error::InvalidBooleanStrict { .. } => (path, "write `true` or `false`".to_owned()),
        Error::NullIntoString { .. } => {
            let problem = "is empty: write a value, or leave the key out";
            (path, problem.to_owned())
        }
        other => {
            let said = UserMessageFormatter.format_message(other);
            let problem = match schema::expected(&path) {
                Some(expected) if !said.contains("expected one of") => {
                    format!("{said}: write {expected}")
                }
                _ => said.into_owned(),
            };
            (path, problem)
        }
    };
    Mistake {
        path,
        problem,
        location: error.location(),
    }
}

/// All mistakes, one block of lines each: `line:column: key.path: problem`, then the line.
pub(super) fn show(text: &str, mistakes: &[Mistake]) -> String {
    let mut out = String::new();
    for mistake in mistakes {
        let _ = write!(out, "\n  ");
        if let Some(place) = &mistake.location {
            let _ = write!(out, "line {}, column {}: ", place.line(), place.column());
        }
        if !mistake.path.is_empty() {
            let _ = write!(out, "{}: ", mistake.path);
        }
        let _ = write!(out, "{}", mistake.problem);
        let line = mistake.location.as_ref().and_then(|place| {
            let line = usize::try_from(place.line()).ok()?.checked_sub(1)?;
            text.lines().nth(line)
        });
        if let Some(line) = line {
            let shown: String = line.chars().take(SHOWN_CHARS_MAX).collect();
            let _ = write!(out, "\n    | {}", shown.trim_end());
        }
    }
    out
}

fn key_path(path: &PathKey) -> String {
    let mut out = String::new();
    for (kind, name) in path.segments() {
        let _ = match kind {
            PathKind::Index => write!(out, "[{name}]"),
            PathKind::Key if out.is_empty() => write!(out, "{name}"),
            PathKind::Key => write!(out, ".{name}"),
        };
    }
    out
}

/// A range's own message names the bound that was passed only; this names both.
fn bounded(path: &str, message: &str) -> String {
    let is_of_range = ["lower than ", "greater than ", "length is "]
        .iter()
        .any(|start| message.starts_with(start));
    match schema::expected(path) {
        Some(expected) if is_of_range => format!("{message}: write {expected}"),
        _ => message.to_owned(),
    }
}
