//! What is committed as generated is what the program prints now.

use std::path::Path;

use warmgate::reference::{Document, print};

#[test]
fn the_configuration_reference_and_schema_are_up_to_date() {
    let documents = [
        (Document::ConfigSchema, "docs/config.schema.json"),
        (Document::ConfigDoc, "docs/configuration.md"),
    ];
    for (document, path) in documents {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        let is_same = committed == print(document);
        assert!(is_same, "{path} is out of date: run `cargo xtask generate`");
    }
}
