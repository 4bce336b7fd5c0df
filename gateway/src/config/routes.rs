//! Where each model's requests go: from the rules as typed to a lookup without ambiguity.

use std::collections::BTreeMap;

use super::error::{At, Problems};
use super::raw::{RawConfig, RawRoute};
use super::{ANY_MODEL, limit};

/// Where each model's requests go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    exact: BTreeMap<String, Target>,
    any: Option<Target>,
}

/// A pool, and the model's name there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Name of a pool that exists.
    pub pool: String,
    /// Share of conversations, relative to other targets; meaningless while there is one.
    pub weight: u32,
    /// Model name to send there; none: the client's.
    pub model: Option<String>,
}

impl Routes {
    /// Where requests for `model` go: its own route, else that of `*`, else nowhere.
    #[must_use]
    pub fn target(&self, model: &str) -> Option<&Target> {
        self.exact.get(model).or(self.any.as_ref())
    }

    /// The routes that name a model, sorted by it.
    pub fn exact(&self) -> impl Iterator<Item = (&str, &Target)> {
        self.exact
            .iter()
            .map(|(model, target)| (model.as_str(), target))
    }

    /// The route of every other model.
    #[must_use]
    pub fn any(&self) -> Option<&Target> {
        self.any.as_ref()
    }

    fn catch_all(pool: &str) -> Routes {
        Routes {
            exact: BTreeMap::new(),
            any: Some(Target {
                pool: pool.to_owned(),
                weight: super::raw::default_weight(),
                model: None,
            }),
        }
    }
}

/// What the rules mean; none where a problem was noted.
pub(super) fn meaning(raw: &RawConfig, problems: &mut Problems<'_>) -> Option<Routes> {
    let at = At::root().at("routes");
    let pools: Vec<&str> = raw.pools.iter().map(|pool| pool.name.as_str()).collect();
    if raw.routes.is_empty() {
        return match pools.as_slice() {
            // That there are none has been said already.
            [] => None,
            [only] => Some(Routes::catch_all(only)),
            several => problems.note(
                &at,
                format!(
                    "there are {} pools and no routes: write \
                     `routes: [{{model: \"*\", targets: [{{pool: {}}}]}}]`",
                    several.len(),
                    several[0]
                ),
            ),
        };
    }
    let mut seen = BTreeMap::new();
    let mut routes = Routes::default();
    let mut is_whole = true;
    for (place, rule) in raw.routes.iter().enumerate() {
        let at = at.at(place);
        if let Some(first) = seen.insert(rule.model.as_str(), place) {
            let model = &rule.model;
            problems.note::<()>(
                &at.at("model"),
                format!("`{model}` already has routes[{first}]: give each model one route"),
            );
            is_whole = false;
        }
        let named = model_name(&rule.model, &at.at("model"), problems);
        let target = target(rule, &at.at("targets"), &pools, problems);
        match (named, target) {
            (Some(()), Some(target)) if rule.model == ANY_MODEL => routes.any = Some(target),
            (Some(()), Some(target)) => {
                routes.exact.insert(rule.model.clone(), target);
            }
            _ => is_whole = false,
        }
    }
    is_whole.then_some(routes)
}

fn model_name(model: &str, at: &At, problems: &mut Problems<'_>) -> Option<()> {
    let most = limit::MODEL_NAME_BYTES_MAX;
    if model.is_empty() || model.len() > most {
        let problem = format!("a model name has 1 to {most} bytes: write a name, or `*` for any");
        return problems.note(at, problem);
    }
    if model != ANY_MODEL && model.contains('*') {
        let problem = format!("`{model}`: write a whole model name, or `*` alone for any");
        return problems.note(at, problem);
    }
    Some(())
}

fn target(rule: &RawRoute, at: &At, pools: &[&str], problems: &mut Problems<'_>) -> Option<Target> {
    let raw = match rule.targets.as_slice() {
        [only] => only,
        [] => return problems.note(at, "is empty: write `targets: [{pool: NAME}]`"),
        _ => {
            return problems.note(
                at,
                "splitting a model over several targets is not supported yet: keep one",
            );
        }
    };
    let at = at.at(0_usize);
    if !pools.contains(&raw.pool.as_str()) {
        let problem = format!("no pool is called `{}`: there is {}", raw.pool, list(pools));
        return problems.note(&at.at("pool"), problem);
    }
    if let Some(model) = &raw.model {
        let at = at.at("model");
        model_name(model, &at, problems)?;
        if model == ANY_MODEL {
            let problem =
                "`*` is no name to send: write one, or leave the key out for the client's";
            return problems.note(&at, problem);
        }
    }
    Some(Target {
        pool: raw.pool.clone(),
        weight: raw.weight,
        model: raw.model.clone(),
    })
}

fn list(pools: &[&str]) -> String {
    if pools.is_empty() {
        return "no pool".to_owned();
    }
    let quoted: Vec<String> = pools.iter().map(|pool| format!("`{pool}`")).collect();
    quoted.join(", ")
}
