//! Why: a dashboard or an alert that asks for a metric of another name shows nothing, and nobody notices.

use std::collections::BTreeSet;

const DASHBOARD: &str = include_str!("../../deploy/helm/warmgate/dashboards/warmgate.json");
/// Alerts of the chart, and what its autoscalers read.
const ALERTS: &str = include_str!("../../deploy/helm/warmgate/templates/prometheusrule.yaml");
const SIGNALS: &str = include_str!("../../deploy/helm/warmgate/templates/_signals.tpl");
const CANARIES: [&str; 2] = [
    include_str!("../../deploy/examples/gateway-api/argo-rollouts.yaml"),
    include_str!("../../deploy/examples/gateway-api/flagger.yaml"),
];
/// Printed from the one table of metrics, and kept up to date by `cargo xtask tidy`.
const METRICS: &str = include_str!("../../docs/metrics.md");

/// Every name in `text` that could be one of our metrics.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("warmgate_"))
        .map(|word| word.strip_suffix("_bucket").unwrap_or(word))
        .collect()
}

#[test]
fn every_metric_of_the_dashboard_exists() {
    let (asked, existing) = (names(DASHBOARD), names(METRICS));
    assert!(asked.len() > 10, "the names are no longer found: {asked:?}");
    let unknown: Vec<_> = asked.difference(&existing).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_metric_of_alerts_autoscalers_and_canaries_exists() {
    for (text, count) in [
        (ALERTS, 8),
        (SIGNALS, 3),
        (CANARIES[0], 1),
        (CANARIES[1], 2),
    ] {
        let (asked, existing) = (names(text), names(METRICS));
        assert!(
            asked.len() >= count,
            "the names are no longer found: {asked:?}"
        );
        let unknown: Vec<_> = asked.difference(&existing).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

#[test]
fn the_dashboard_is_json_with_a_query_in_each_panel() {
    let dashboard: serde_json::Value = serde_json::from_str(DASHBOARD).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        let targets = panel["targets"].as_array().unwrap();
        let asks = |target: &serde_json::Value| !target["expr"].as_str().unwrap().is_empty();
        assert!(
            !targets.is_empty() && targets.iter().all(asks),
            "{}",
            panel["title"]
        );
    }
}
