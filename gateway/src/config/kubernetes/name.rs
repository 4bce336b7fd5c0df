//! Names as Kubernetes allows them, so that a slip is found before the API server is asked
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>).

use warmgate_discovery::PortRef;

/// Longest DNS label (RFC 1123), in bytes.
const LABEL_BYTES_MAX: usize = 63;
/// Longest DNS name, in bytes.
const SUBDOMAIN_BYTES_MAX: usize = 253;

/// A name of Services, namespaces and their ports: a DNS label.
pub(super) fn dns_label(name: &str) -> Result<(), String> {
    if is_dns_label(name) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name in Kubernetes: use a-z, 0-9 and inner hyphens, at most \
         {LABEL_BYTES_MAX} of them"
    ))
}

/// A name of most other objects: DNS labels with dots between.
pub(super) fn dns_subdomain(name: &str) -> Result<(), String> {
    if is_dns_subdomain(name) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is no name in Kubernetes: use a-z, 0-9, inner hyphens and dots, at most \
         {SUBDOMAIN_BYTES_MAX} of them"
    ))
}

/// The key of a label: `name`, or `prefix/name` where the prefix is a DNS name.
pub(super) fn label_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_none_or(is_dns_subdomain) && is_label_text(name) {
        return Ok(());
    }
    Err(format!(
        "`{key}` is no key of a label: write `name` or `prefix/name`, the name of letters, digits \
         and inner `-`, `_`, `.`, at most {LABEL_BYTES_MAX} of them, the prefix a DNS name"
    ))
}

/// The value of a label, which may be empty.
pub(super) fn label_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_label_text(value) {
        return Ok(());
    }
    Err(format!(
        "`{value}` is no value of a label: use letters, digits and inner `-`, `_`, `.`, at most \
         {LABEL_BYTES_MAX} of them"
    ))
}

/// A port: digits are a number, all else is a name.
pub(super) fn port(text: &str) -> Result<PortRef, String> {
    let wrong =
        || format!("`{text}` is no port: write a number from 1 to 65535, or the name of a port");
    if text.starts_with('-') || text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse().ok().filter(|number| *number > 0);
        return number.map(PortRef::Number).ok_or_else(wrong);
    }
    if is_dns_label(text) {
        return Ok(PortRef::Name(text.to_owned()));
    }
    Err(wrong())
}

fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LABEL_BYTES_MAX).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn is_dns_subdomain(name: &str) -> bool {
    name.len() <= SUBDOMAIN_BYTES_MAX && name.split('.').all(is_dns_label)
}

fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= LABEL_BYTES_MAX
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        let (label, name) = ("a".repeat(LABEL_BYTES_MAX), "a.".repeat(126) + "a");
        assert_eq!(name.len(), SUBDOMAIN_BYTES_MAX);
        for (text, is_label, is_name, is_key, is_value) in [
            ("vllm", true, true, true, true),
            ("8-a", true, true, true, true),
            ("", false, false, false, true),
            ("-a", false, false, false, false),
            ("a-", false, false, false, false),
            ("A_b.C", false, false, true, true),
            ("a.b", false, true, true, true),
            ("a..b", false, false, true, true),
            ("llm-d.ai/role", false, false, true, false),
            ("A/role", false, false, false, false),
            ("a/b/c", false, false, false, false),
            ("a b", false, false, false, false),
            (&label, true, true, true, true),
            (&format!("{label}a"), false, false, false, false),
            (&name, false, true, false, false),
            (&format!("{name}a"), false, false, false, false),
        ] {
            assert_eq!(dns_label(text).is_ok(), is_label, "{text}");
            assert_eq!(dns_subdomain(text).is_ok(), is_name, "{text}");
            assert_eq!(label_key(text).is_ok(), is_key, "{text}");
            assert_eq!(label_value(text).is_ok(), is_value, "{text}");
        }
    }

    #[test]
    fn digits_are_a_port_number_and_letters_a_name() {
        let name = |name: &str| Some(PortRef::Name(name.to_owned()));
        for (text, expected) in [
            ("1", Some(PortRef::Number(1))),
            ("65535", Some(PortRef::Number(65535))),
            ("http", name("http")),
            ("8000-tcp", name("8000-tcp")),
            ("0", None),
            ("65536", None),
            ("-1", None),
            ("", None),
            ("HTTP", None),
            ("80.5", None),
        ] {
            assert_eq!(port(text).ok(), expected, "{text}");
        }
    }
}
