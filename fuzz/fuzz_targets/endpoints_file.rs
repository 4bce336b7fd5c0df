//! Files of endpoints: whatever an operator or a half-written volume holds, reading it must end,
//! and what is accepted must be endpoints that can be written down and read again.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use warmgate_discovery::UpstreamUrl;
use warmgate_discovery::source::{ENDPOINTS_MAX, parse_endpoints_file};

fuzz_target!(|text: &str| {
    let listed = match parse_endpoints_file(text) {
        Ok(listed) => listed,
        Err(reason) => {
            assert!(!reason.is_empty(), "an operator is told why");
            return;
        }
    };
    assert!(listed.len() <= ENDPOINTS_MAX);
    let mut seen = BTreeSet::new();
    for entry in listed {
        let again: UpstreamUrl = entry
            .url
            .to_string()
            .parse()
            .expect("what we print can be read");
        assert_eq!(again, entry.url);
        assert_ne!(entry.url.port(), 0);
        assert!(seen.insert(entry.url), "listed twice");
    }
});
