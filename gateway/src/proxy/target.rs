//! Which route takes a request, and which of its targets: the one that the client may choose by
//! name, else the one that its split key falls on.

use std::sync::Arc;

use rand::RngCore;
use serde_json::{Value, json};
use warmgate_routing::request::{InferenceRequest, SessionKey};
use warmgate_routing::split::{self, ApiKey, Caller, KeySource};

use crate::config::{Head, Route, Routes, Target};
use crate::error::GatewayError;
use crate::proxy::guards::{Guarded, Guards};
use crate::proxy::headers;

/// A request as far as routes look at it.
pub struct Asked<'a> {
    /// All but its body.
    pub head: Head<'a>,
    /// Its body.
    pub request: &'a InferenceRequest<'a>,
}

/// Where a request goes, and why.
#[derive(Clone, Copy, Debug)]
pub struct TargetChoice<'r> {
    /// The rule that takes it.
    pub route: &'r Route,
    /// The target that it goes to.
    pub target: &'r Target,
    /// Why that one.
    pub reason: TargetReason,
}

/// Why a target was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetReason {
    /// The route has no other.
    Only,
    /// The client asked for it by name.
    Forced,
    /// The split key, which came from there, falls on it.
    Split(KeySource),
    /// The one before it could not take the request.
    Fallback,
    /// It is the route's mirror.
    Mirror,
}

/// A target by its names, for what outlives the configuration that a request began with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetName {
    /// Name of the route.
    pub route: Arc<str>,
    /// Name of the target there.
    pub target: Arc<str>,
}

impl Asked<'_> {
    /// The session that the client names: in a header, else in the body.
    #[must_use]
    pub fn session(&self) -> Option<SessionKey> {
        SessionKey::from_headers(self.named_headers()).or(self.request.session_hint)
    }

    /// The target that takes this request, under the weights of now. `known` are the names that clients can ask for.
    ///
    /// # Errors
    /// Where no route takes it, where it asks for a target that does not exist, or where no target
    /// has a weight.
    pub fn choose<'r>(
        &self,
        (routes, guards): (&'r Routes, &Guards),
        known: impl FnOnce() -> Vec<String>,
        rng: &mut dyn RngCore,
    ) -> Result<TargetChoice<'r>, GatewayError> {
        let Some(route) = self.route(routes) else {
            let model = self.request.model.as_deref().unwrap_or_default();
            return Err(no_route(routes, model, known()));
        };
        let (target, reason) = match self.forced(route)? {
            Some(target) => (target, TargetReason::Forced),
            None => self.split(route, guards, rng)?,
        };
        Ok(TargetChoice {
            route,
            target,
            reason,
        })
    }

    /// The mirror of the route that takes this request, where it has one.
    #[must_use]
    pub fn mirror<'r>(&self, routes: &'r Routes) -> Option<TargetChoice<'r>> {
        let route = self.route(routes)?;
        let mirror = route.mirror.as_ref()?;
        Some(TargetChoice {
            route,
            target: &mirror.target,
            reason: TargetReason::Mirror,
        })
    }

    fn route<'r>(&self, routes: &'r Routes) -> Option<&'r Route> {
        let model = self.request.model.as_deref().unwrap_or_default();
        routes.find(model, &self.head)
    }

    fn forced<'r>(&self, route: &'r Route) -> Result<Option<&'r Target>, GatewayError> {
        let Some(name) = self.head.headers.get(headers::TARGET) else {
            return Ok(None);
        };
        if !route.takes_force {
            return Ok(None);
        }
        let asked = String::from_utf8_lossy(name.as_bytes());
        let target = route.target(&asked);
        target.map(Some).ok_or_else(|| GatewayError::NoSuchTarget {
            target: asked.clone().into_owned(),
            known: route
                .targets
                .iter()
                .map(|target| target.name.to_string())
                .collect(),
        })
    }

    fn split<'r>(
        &self,
        route: &'r Route,
        guards: &Guards,
        rng: &mut dyn RngCore,
    ) -> Result<(&'r Target, TargetReason), GatewayError> {
        if let [only] = route.targets.as_slice() {
            return Ok((only, TargetReason::Only));
        }
        let caller = Caller {
            request: self.request,
            session: self.session(),
            api_key: ApiKey::from_headers(self.named_headers()),
        };
        let (key, source) = caller.split_key(route.stickiness, rng)?;
        let target = match guards.of(&route.name) {
            Some(guarded) => guarded.choose(&route.targets, key),
            None => split::choose(&route.targets, key),
        };
        let target = target.ok_or(GatewayError::NoEndpoint)?;
        Ok((target, TargetReason::Split(source)))
    }

    fn named_headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
    }
}

fn no_route(routes: &Routes, model: &str, known: Vec<String>) -> GatewayError {
    let model = model.to_owned();
    if routes.of(&model).next().is_some() {
        return GatewayError::NoSuchRoute { model };
    }
    match model.as_str() {
        "" => GatewayError::BadRequest {
            reason: format!("name a model; use one of: {}", known.join(", ")),
        },
        _ => GatewayError::NoSuchModel { model, known },
    }
}

impl<'r> TargetChoice<'r> {
    /// The target that takes over from this one, where there is one.
    #[must_use]
    pub fn fallback(&self) -> Option<TargetChoice<'r>> {
        let fallback = self.target.fallback.as_ref()?;
        Some(TargetChoice {
            route: self.route,
            target: self.route.target(&fallback.target)?,
            reason: TargetReason::Fallback,
        })
    }

    /// Its names.
    #[must_use]
    pub fn name(&self) -> TargetName {
        TargetName {
            route: Arc::clone(&self.route.name),
            target: Arc::clone(&self.target.name),
        }
    }

    /// For explanations: the rule, the target, and why.
    #[must_use]
    pub fn shown(&self, asked: &str, guards: &Guards) -> Value {
        json!({
            "route": shown_route(self.route, guards.of(&self.route.name).map(|one| &**one)),
            "target": &*self.target.name,
            "reason": self.reason.as_str(),
            "pool": self.target.pool,
            "model": asked,
            "served_model": self.target.model.as_deref().unwrap_or(asked),
        })
    }
}

impl TargetReason {
    /// The name in explanations: `only_target`, `forced`, or where the split key came from.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TargetReason::Only => "only_target",
            TargetReason::Forced => "forced",
            TargetReason::Split(source) => source.as_str(),
            TargetReason::Fallback => "fallback",
            TargetReason::Mirror => "mirror",
        }
    }
}

/// A rule with the weights and shares (0 to 1) of its targets now, and what its guard has seen.
#[must_use]
pub fn shown_route(route: &Route, guarded: Option<&Guarded>) -> Value {
    let weight = |place: usize| match guarded {
        Some(guarded) if !route.targets[place].is_implied => guarded.weight(place),
        _ => route.targets[place].weight,
    };
    let total: f64 = (0..route.targets.len())
        .map(|one| f64::from(weight(one)))
        .sum();
    let share = |weight: u32| {
        if total > 0.0 {
            f64::from(weight) / total
        } else {
            0.0
        }
    };
    let mut seen = guarded.map(Guarded::shown).unwrap_or_default().into_iter();
    let mut target = |(place, target): (usize, &Target)| {
        let mut shown = json!({
            "name": &*target.name,
            "pool": target.pool,
            "served_model": target.model,
            "weight": weight(place),
            "share": share(weight(place)),
            "fallback": target.fallback.as_ref().map(|fallback| &*fallback.target),
            "saturated_tokens": target.fallback.as_ref().and_then(|fallback| fallback.saturated),
        });
        // What people and scripts ask for first stands beside the weight.
        if let Some(seen) = seen.next() {
            shown["tripped"] = seen["tripped"].as_bool().unwrap_or(false).into();
            shown["step"] = seen["step"].clone();
            shown["configured_weight"] = target.weight.into();
            shown["seen"] = seen;
        }
        shown
    };
    let targets: Vec<Value> = route.targets.iter().enumerate().map(&mut target).collect();
    let mut shown = json!({
        "name": &*route.name,
        "model": route.model,
        "match": route.matching,
        "sticky": route.stickiness,
        "force_target": route.takes_force,
        "targets": targets,
        "mirror": route.mirror.as_ref().map(|mirror| json!({
            "pool": mirror.target.pool,
            "served_model": mirror.target.model,
            "percent": mirror.share.percent(),
        })),
    });
    if let Some(rules) = &route.guard {
        shown["guard"] = json!(rules.settings);
        shown["steps"] = json!(rules.steps);
    }
    shown
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;
    use warmgate_routing::request::Api;

    use super::*;
    use crate::config::Source;

    const CONFIG: &str =
        "pools: [{name: a, upstreams: ['http://h:1']}, {name: b, upstreams: ['http://h:2']}]
routes:
  - {model: gold, match: {headers: {x-tier: gold}}, targets: [{pool: a}]}
  - {model: alias, targets: [{pool: b, model: engine-name}]}
  - {model: forced, force_target: true, targets: [{pool: a}, {pool: b, name: dark, weight: 0}]}
  - {model: held, targets: [{pool: a}, {pool: b, name: dark, weight: 0}]}
  - {model: split, targets: [{pool: a}, {pool: b}]}
  - {model: drawn, sticky: false, targets: [{pool: a}, {pool: b}]}
";

    fn routes() -> Routes {
        Source::default().parse(CONFIG.as_bytes()).unwrap().routes
    }

    /// The target and why, or the code of the error.
    fn chosen(model: &str, further: &str, headers: &[(&'static str, &str)], seed: u64) -> String {
        let body = format!(
            r#"{{"model":"{model}"{further},"messages":[{{"role":"user","content":"hi"}}]}}"#
        );
        let request = InferenceRequest::parse(Api::ChatCompletions, body.as_bytes()).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let asked = Asked {
            head: headers::described("/v1/chat/completions", &map),
            request: &request,
        };
        let (routes, mut rng) = (routes(), SmallRng::seed_from_u64(seed));
        match asked.choose(
            (&routes, &Guards::default()),
            || vec!["alias".to_owned()],
            &mut rng,
        ) {
            Ok(choice) => format!("{} {}", choice.target.name, choice.reason.as_str()),
            Err(error) => error.code().to_owned(),
        }
    }

    #[test]
    fn which_and_why() {
        let force = |name| ("x-warmgate-target", name);
        for (model, headers, expected) in [
            ("alias", &[][..], "b only_target"),
            ("gold", &[("x-tier", "gold")], "a only_target"),
            ("gold", &[], "route_not_found"),
            ("gone", &[], "model_not_found"),
            ("", &[], "bad_request"),
            ("forced", &[], "a opening"),
            ("forced", &[force("dark")], "dark forced"),
            ("forced", &[force("a")], "a forced"),
            ("forced", &[force("blue")], "target_not_found"),
            ("held", &[force("dark")], "a opening"),
            ("held", &[force("blue")], "a opening"),
            ("held", &[("x-session-id", "s")], "a session"),
        ] {
            assert_eq!(
                chosen(model, "", headers, 1),
                expected,
                "{model} {headers:?}"
            );
        }
    }

    #[test]
    fn who_is_sticky_is_not_drawn() {
        let targets = |model: &str, further: &str| -> Vec<String> {
            let mut met: Vec<_> = (0..32)
                .map(|seed| chosen(model, further, &[], seed))
                .collect();
            met.sort();
            met.dedup();
            met
        };
        assert_eq!(targets("split", "").len(), 1);
        assert_eq!(targets("split", r#","user":"u""#).len(), 1);
        assert_eq!(targets("drawn", r#","user":"u""#), ["a chance", "b chance"]);
    }

    #[test]
    fn an_explanation_shows_the_rule_with_its_shares() {
        let routes = routes();
        let route = routes.of("forced").next().unwrap();
        let shown = shown_route(route, None);
        assert_eq!(shown["targets"][0]["share"], 1.0);
        assert_eq!(shown["targets"][1]["weight"], 0);
        let gold = routes.of("gold").next().unwrap();
        assert_eq!(
            shown_route(gold, None)["match"],
            json!({"headers": {"x-tier": "gold"}})
        );
    }
}
