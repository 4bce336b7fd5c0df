//! All objects of a cluster together: routes, and a verdict on each object.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::{Resource, ResourceExt};

use super::http_rules::{self, Backends};
use super::precedence::{age, specificity};
use super::{
    HttpRoute, InferenceModelRewrite, InferenceObjective, OBJECT_RULES_MAX, ObjectRoutes, PoolRef,
    PoolRules, model_rewrite,
};
use crate::kubernetes::parents::{Parent, Verdict};

const ACCEPTED: &str = "Accepted";
const TOO_MANY: &str = "TooMany";

/// What was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    pub(crate) http_routes: Vec<Arc<HttpRoute>>,
    pub(crate) rewrites: Vec<Arc<InferenceModelRewrite>>,
    pub(crate) objectives: Vec<Arc<InferenceObjective>>,
    pub(crate) backends: Backends,
    /// Pools of this gateway whether or not a route names them.
    pub(crate) pools: BTreeSet<PoolRef>,
}

/// What is said of one object; nothing of one that is not for us.
#[derive(Clone, Debug)]
pub(crate) struct Judged<K> {
    pub(crate) object: Arc<K>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// What all objects together mean.
#[derive(Debug)]
pub(crate) struct Translation {
    pub(crate) routes: ObjectRoutes,
    pub(crate) http_routes: Vec<Judged<HttpRoute>>,
    pub(crate) rewrites: Vec<Judged<InferenceModelRewrite>>,
    pub(crate) objectives: Vec<Judged<InferenceObjective>>,
}

impl Translation {
    /// What is not followed as it is written, and why.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        let routes = self.http_routes.iter().flat_map(Judged::problems);
        let rewrites = self.rewrites.iter().flat_map(Judged::problems);
        let objectives = self.objectives.iter().flat_map(Judged::problems);
        routes.chain(rewrites).chain(objectives)
    }
}

impl<K: Resource<DynamicType = ()>> Judged<K> {
    fn problems(&self) -> impl Iterator<Item = String> {
        let kind = K::kind(&());
        let namespace = self.object.namespace().unwrap_or_default();
        let name = self.object.name_any();
        // Of what is as it should be nothing more is said.
        let odd = self.verdicts.iter().filter(|one| !one.message.is_empty());
        odd.map(move |one| {
            format!(
                "{kind} {namespace}/{name} is not followed as it is written: {}",
                one.message
            )
        })
    }
}

/// What `objects` mean for the gateway that `parent` stands for: HTTPRoutes that name it, and of
/// the rest what is about pools of theirs. The oldest object comes first, and where a limit is
/// reached it is the youngest that is refused.
pub(crate) fn translate(objects: &Objects, parent: &Parent) -> Translation {
    let mut routes = ObjectRoutes::default();
    let ours = objects.pools.iter().cloned();
    routes
        .pools
        .extend(ours.map(|pool| (pool, PoolRules::default())));
    let http_routes = by_age(&objects.http_routes, |route| {
        add_route(&mut routes, route, parent, &objects.backends)
    });
    routes.rules.sort_by_cached_key(specificity);
    let mut count = 0;
    let rewrites = by_age(&objects.rewrites, |object| {
        let namespace = object.namespace().unwrap_or_default();
        let pool = object.spec.pool_ref.pool(&namespace);
        let Some(rules) = pool.and_then(|pool| routes.pools.get_mut(&pool)) else {
            return Vec::new();
        };
        let rewrites = match model_rewrite::rewrites(object) {
            Ok(rewrites) => rewrites,
            Err(why) => return vec![Verdict::fails(ACCEPTED, "Invalid", why)],
        };
        if count + rewrites.len() > OBJECT_RULES_MAX {
            return vec![too_many("matches of InferenceModelRewrites")];
        }
        count += rewrites.len();
        rules.add(rewrites);
        vec![Verdict::holds(ACCEPTED, ACCEPTED)]
    });
    let mut count = 0;
    let objectives = by_age(&objects.objectives, |object| {
        let namespace = object.namespace().unwrap_or_default();
        let pool = object.spec.pool_ref.pool(&namespace);
        let Some(rules) = pool.and_then(|pool| routes.pools.get_mut(&pool)) else {
            return Vec::new();
        };
        if count == OBJECT_RULES_MAX {
            return vec![too_many("InferenceObjectives")];
        }
        count += 1;
        let priority = object.spec.priority.unwrap_or_default();
        rules.priorities.insert(object.name_any(), priority);
        vec![Verdict::holds(ACCEPTED, ACCEPTED)]
    });
    Translation {
        routes,
        http_routes,
        rewrites,
        objectives,
    }
}

fn add_route(
    routes: &mut ObjectRoutes,
    route: &HttpRoute,
    parent: &Parent,
    backends: &Backends,
) -> Vec<Verdict> {
    let namespace = route.namespace().unwrap_or_default();
    let mut references = route.spec.parent_refs.iter();
    if !references.any(|reference| parent.is_meant_by(reference, &namespace)) {
        return Vec::new();
    }
    let ruled = http_rules::rules(route, backends);
    if routes.rules.len() + ruled.rules.len() > OBJECT_RULES_MAX {
        return vec![too_many(
            "rules of HTTPRoutes, one for each host name and match,",
        )];
    }
    let targets = ruled.rules.iter().flat_map(|rule| &rule.targets);
    for pool in targets.filter_map(|target| target.pool.clone()) {
        routes.pools.entry(pool).or_default();
    }
    routes.rules.extend(ruled.rules);
    ruled.verdicts
}

fn too_many(what: &str) -> Verdict {
    let message = format!("only {OBJECT_RULES_MAX} {what} are taken, those of older objects first");
    Verdict::fails(ACCEPTED, TOO_MANY, message)
}

fn by_age<K: Resource<DynamicType = ()>>(
    objects: &[Arc<K>],
    mut judge: impl FnMut(&K) -> Vec<Verdict>,
) -> Vec<Judged<K>> {
    let mut sorted = objects.to_vec();
    sorted.sort_by_cached_key(|object| age(object.as_ref()));
    let judged = |object: Arc<K>| Judged {
        verdicts: judge(&object),
        object,
    };
    sorted.into_iter().map(judged).collect()
}
