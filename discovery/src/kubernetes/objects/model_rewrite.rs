//! InferenceModelRewrite of llm-d: which model names are sent to a pool, with weights.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, ResourceExt};
use serde::{Deserialize, Serialize};

use super::objective::PoolName;
use super::{ModelRule, PoolRules, WeightedModel};

/// What a rewrite says.
#[derive(CustomResource, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "llm-d.ai",
    version = "v1alpha2",
    kind = "InferenceModelRewrite",
    namespaced,
    schema = "disabled",
    derive = "PartialEq",
    status = "ConditionsStatus"
)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InferenceModelRewriteSpec {
    pub(crate) pool_ref: PoolName,
    #[serde(default)]
    pub(crate) rules: Vec<RewriteRule>,
}

/// The status of objects that have no parents.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct ConditionsStatus {
    pub(crate) conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct RewriteRule {
    pub(crate) matches: Vec<RewriteMatch>,
    pub(crate) targets: Vec<RewriteTarget>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct RewriteMatch {
    pub(crate) model: ModelMatch,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct ModelMatch {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) value: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RewriteTarget {
    pub(crate) weight: Option<u32>,
    pub(crate) model_rewrite: String,
}

/// A rewrite that was understood: the models that it names, none for every other, and what is sent.
pub(super) type Rewrites = Vec<(Option<String>, ModelRule)>;

/// What a rewrite asks for, in its own order.
///
/// # Errors
/// Where it cannot be followed as it is written, and why.
pub(super) fn rewrites(object: &InferenceModelRewrite) -> Result<Rewrites, String> {
    let namespace = object.namespace().unwrap_or_default();
    let origin = format!("{namespace}/{}", object.name_any());
    let mut rewrites = Vec::new();
    for (place, rule) in object.spec.rules.iter().enumerate() {
        let targets = targets(rule).map_err(|why| format!("rules[{place}].targets{why}"))?;
        let rule_of = ModelRule {
            origin: origin.clone(),
            targets,
        };
        if rule.matches.is_empty() {
            rewrites.push((None, rule_of));
            continue;
        }
        for (number, one) in rule.matches.iter().enumerate() {
            let ModelMatch { kind, value } = &one.model;
            if let Some(kind) = kind.as_deref().filter(|kind| *kind != "Exact") {
                return Err(format!(
                    "rules[{place}].matches[{number}].model: {kind} is not supported: write Exact"
                ));
            }
            rewrites.push((Some(value.clone()), rule_of.clone()));
        }
    }
    Ok(rewrites)
}

fn targets(rule: &RewriteRule) -> Result<Vec<WeightedModel>, String> {
    if rule.targets.is_empty() {
        return Err(": is empty: name a model to send".to_owned());
    }
    let weighted = rule.targets.iter().filter(|target| target.weight.is_some());
    if !matches!(weighted.count(), count if count == 0 || count == rule.targets.len()) {
        return Err(": some have a weight and some have not: write all or none".to_owned());
    }
    let target = |(place, target): (usize, &RewriteTarget)| {
        if target.model_rewrite.is_empty() {
            return Err(format!("[{place}].modelRewrite: is empty: name a model"));
        }
        Ok(WeightedModel {
            model: target.model_rewrite.clone(),
            weight: target.weight.unwrap_or(1),
        })
    };
    rule.targets.iter().enumerate().map(target).collect()
}

impl PoolRules {
    /// Takes in what comes next in precedence: what is there already stays.
    pub(super) fn add(&mut self, rewrites: Rewrites) {
        for (model, rule) in rewrites {
            match model {
                Some(model) => {
                    self.models.entry(model).or_insert(rule);
                }
                None => {
                    self.any_model.get_or_insert(rule);
                }
            }
        }
    }
}
