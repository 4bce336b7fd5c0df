//! The configuration in a rendered ConfigMap is one that the gateway takes.

use std::path::Path;
use std::process::Command;

use super::{configuration, release, values_files};

/// Where the chart mounts the certificate.
const TLS_FOLDER: &str = "/etc/warmgate-tls/tls.crt";
const TLS_KEY: &str = "/etc/warmgate-tls/tls.key";

#[test]
fn every_rendered_configuration_is_good() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    for values in values_files() {
        let text = configuration(&release(values.as_deref(), &[]))
            .replace(
                TLS_FOLDER,
                &fixtures.join("certificate.pem").display().to_string(),
            )
            .replace(TLS_KEY, &fixtures.join("key.pem").display().to_string());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_warmgate"))
            .arg("check")
            .arg(file.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{values:?}: {said}\n{text}");
    }
}

#[test]
fn a_pool_says_what_its_values_say() {
    let text = configuration(&release(
        None,
        &[
            "pools=[{\"name\": \"a\", \"namespaces\": [\"x\", \"y\"], \"selector\": {\"app\": \"b\"}, \
             \"port\": \"http\", \"settings\": {\"policy\": {\"name\": \"session\"}}}]",
            "config={\"explain\": true}",
        ],
    ));
    let config: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(
        config["pools"],
        serde_json::json!([{
            "name": "a",
            "policy": {"name": "session"},
            "kubernetes": {"namespaces": ["x", "y"], "selector": {"app": "b"}, "port": "http"},
        }])
    );
    assert_eq!(config["explain"], true);
}
