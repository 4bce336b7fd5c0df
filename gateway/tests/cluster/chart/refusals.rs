//! Values that mean nothing are refused before anything reaches a cluster.

use super::render;

#[test]
fn values_that_do_not_exist_or_do_not_fit_are_refused() {
    for (value, named) in [
        ("replica=2", "replica"),
        ("replicas=-1", "/replicas"),
        ("image={\"repo\": \"x\"}", "repo"),
        ("bindAddress=\"127.0.0.1\"", "/bindAddress"),
        ("pools=[]", "/pools"),
        ("pools=[{\"service\": \"a\"}]", "name"),
        ("pools=[{\"name\": \"a\"}]", "/pools/0"),
        (
            "pools=[{\"name\": \"A\", \"service\": \"a\"}]",
            "/pools/0/name",
        ),
        (
            "pools=[{\"name\": \"a\", \"service\": \"a\", \"inferencePool\": \"b\"}]",
            "/pools/0",
        ),
        (
            "pools=[{\"name\": \"a\", \"inferencePool\": \"b\", \"port\": 80}]",
            "/pools/0/port",
        ),
        (
            "pools=[{\"name\": \"a\", \"service\": \"a\", \"settings\": {\"kubernetes\": {}}}]",
            "/pools/0/settings/kubernetes",
        ),
        (
            "routes=[{\"model\": \"m\", \"targets\": [{\"pool\": \"mian\"}]}]",
            "pool mian",
        ),
        (
            "pools=[{\"name\": \"a\", \"service\": \"a\"}, {\"name\": \"a\", \"service\": \"b\"}]",
            "a is there twice",
        ),
        ("config={\"listen\": \"0.0.0.0:80\"}", "config.listen"),
        ("config={\"pools\": []}", "config.pools"),
        ("drain={\"seconds\": -1}", "/drain/seconds"),
        ("drain={\"marginSeconds\": 1}", "/drain/marginSeconds"),
        ("service={\"type\": \"ExternalName\"}", "/service/type"),
        ("rbac={\"pod\": true}", "pod"),
        ("tls={\"enabled\": true}", "tls.secretName"),
        ("httpRoute={\"enabled\": true}", "httpRoute.parentRefs"),
        (
            "prometheusRule={\"errorShare\": 2}",
            "/prometheusRule/errorShare",
        ),
        (
            "poolAutoscaling=[{\"pool\": \"main\", \"kind\": \"KEDA\", \"minReplicas\": 1, \
             \"maxReplicas\": 2, \"target\": {\"apiVersion\": \"apps/v1\", \"kind\": \
             \"Deployment\", \"name\": \"vllm\"}}]",
            "queuedPrefillTokens",
        ),
        ("engines={\"vllm\": {}}", "engines.vllm.model"),
        (
            "engines={\"vllm\": {\"model\": \"m\", \"replica\": 2}}",
            "replica",
        ),
        (
            "engines={\"vllm\": {\"model\": \"m\", \"role\": \"prefil\"}}",
            "/engines/vllm/role",
        ),
        (
            "engines={\"vllm\": {\"model\": \"m\", \"inferencePool\": {\"targetPorts\": \
             [1, 2, 3, 4, 5, 6, 7, 8, 9]}}}",
            "/engines/vllm/inferencePool/targetPorts",
        ),
        ("tenants={\"team-a\": {}}", "/tenants/team-a"),
    ] {
        let said = render(None, &[value]);
        let said = said.map(|_| value).unwrap_err();
        assert!(said.contains(named), "{value}: {said}");
    }
}

#[test]
fn a_number_at_its_limit_is_accepted() {
    for value in [
        "replicas=0",
        "drain={\"seconds\": 0}",
        "drain={\"marginSeconds\": 2}",
        "prometheusRule={\"enabled\": true, \"errorShare\": 1}",
        "engines={\"vllm\": {\"model\": \"m\", \"inferencePool\": {\"targetPorts\": \
         [1, 2, 3, 4, 5, 6, 7, 8]}}}",
    ] {
        assert!(render(None, &[value]).is_ok(), "{value}");
    }
}
