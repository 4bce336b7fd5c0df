//! What this gateway says of an object in its status: its own entry under `status.parents`, its own
//! conditions, and nothing of what other controllers wrote.
//!
//! `parents` is one atomic list, so that it is read, changed and written as a whole; who writes
//! names the version that was read. Several replicas come to the same content, and the second of
//! them finds nothing to write.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The controller's name in statuses, as the Gateway API asks for: `DOMAIN/PATH`.
pub const CONTROLLER_NAME: &str = "warmgate.io/gateway";
/// Most entries of `status.parents`, by the CRDs' schema.
pub const PARENTS_MAX: usize = 32;
/// Longest message of a condition in bytes, by the CRDs' schema.
const MESSAGE_BYTES_MAX: usize = 32_768;

/// The group that a reference to a parent means where it names none.
const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// The object that stands for this gateway in a cluster: what HTTPRoutes name as their parent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parent {
    /// What it is.
    pub kind: ParentKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What may stand for a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParentKind {
    /// A Gateway of the Gateway API.
    Gateway,
    /// A Service: the gateway's own.
    Service,
}

impl ParentKind {
    /// As references write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ParentKind::Gateway => "Gateway",
            ParentKind::Service => "Service",
        }
    }

    const fn group(self) -> &'static str {
        match self {
            ParentKind::Gateway => GATEWAY_GROUP,
            ParentKind::Service => "",
        }
    }
}

/// A reference to a parent, in a route's spec and in everybody's status.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ParentRef {
    #[serde(default = "gateway_group")]
    pub(crate) group: String,
    #[serde(default = "gateway_kind")]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) section_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
}

fn gateway_group() -> String {
    GATEWAY_GROUP.to_owned()
}

fn gateway_kind() -> String {
    ParentKind::Gateway.name().to_owned()
}

impl Parent {
    /// A reference to it from anywhere.
    pub(crate) fn reference(&self) -> ParentRef {
        ParentRef {
            group: self.kind.group().to_owned(),
            kind: self.kind.name().to_owned(),
            namespace: Some(self.namespace.clone()),
            name: self.name.clone(),
            section_name: None,
            port: None,
        }
    }

    /// Whether an object in `namespace` means this one by `reference`.
    pub(crate) fn is_meant_by(&self, reference: &ParentRef, namespace: &str) -> bool {
        reference.group == self.kind.group()
            && reference.kind == self.kind.name()
            && reference.name == self.name
            && reference.namespace.as_deref().unwrap_or(namespace) == self.namespace
    }
}

/// Whether a condition holds, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) condition: &'static str,
    pub(crate) holds: bool,
    /// One word in CamelCase.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
}

impl Verdict {
    pub(crate) fn holds(condition: &'static str, reason: &'static str) -> Verdict {
        Verdict {
            condition,
            holds: true,
            reason,
            message: String::new(),
        }
    }

    pub(crate) fn fails(
        condition: &'static str,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Verdict {
        Verdict {
            condition,
            holds: false,
            reason,
            message: message.into(),
        }
    }
}

/// When and of which version of an object it is spoken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// `metadata.generation` of the object that was judged.
    pub(crate) generation: Option<i64>,
    pub(crate) now: Timestamp,
}

/// All entries are taken by others: nothing can be said of the object in its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its status already has {PARENTS_MAX} parents, which is all that it can hold")]
pub(crate) struct NoRoom;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    parent_ref: ParentRef,
    #[serde(default)]
    controller_name: String,
    #[serde(default)]
    conditions: Vec<Condition>,
}

/// `parents` of an object in `namespace`, with one entry of ours for each of `references`; none
/// where that is so already. An entry is ours that has our name and means `parent`: another
/// gateway under the same controller's name keeps its own.
///
/// # Errors
/// [`NoRoom`] where others fill the list.
pub(crate) fn with_ours(
    parents: &[Value],
    namespace: &str,
    parent: &Parent,
    references: &[ParentRef],
    verdicts: &[Verdict],
    seen: Seen,
) -> Result<Option<Vec<Value>>, NoRoom> {
    let ours = |value: &Value| {
        let entry = Entry::deserialize(value).ok()?;
        let is_ours = entry.controller_name == CONTROLLER_NAME
            && parent.is_meant_by(&entry.parent_ref, namespace);
        is_ours.then_some(entry)
    };
    let before: Vec<Entry> = parents.iter().filter_map(ours).collect();
    let others = || parents.iter().filter(|value| ours(value).is_none());
    let entries: Vec<Value> = references
        .iter()
        .map(|reference| {
            let old = before.iter().find(|entry| entry.parent_ref == *reference);
            let old = old.map_or(&[][..], |entry| &entry.conditions);
            let conditions = conditions(old, verdicts, seen);
            serde_json::json!({
                "parentRef": reference,
                "controllerName": CONTROLLER_NAME,
                "conditions": conditions,
            })
        })
        .collect();
    let is_said = before.len() == references.len()
        && references.iter().all(|reference| {
            let old = before.iter().find(|entry| entry.parent_ref == *reference);
            old.is_some_and(|old| is_said(&old.conditions, verdicts, seen.generation))
        });
    if is_said {
        return Ok(None);
    }
    if others().count() + entries.len() > PARENTS_MAX {
        return Err(NoRoom);
    }
    Ok(Some(others().cloned().chain(entries).collect()))
}

/// The conditions of an object that has no parents, with ours among those of others; none where
/// they say so already.
pub(crate) fn with_conditions(
    before: &[Condition],
    verdicts: &[Verdict],
    seen: Seen,
) -> Option<Vec<Condition>> {
    let is_ours = |condition: &&Condition| {
        let judged = verdicts.iter().map(|verdict| verdict.condition);
        judged.into_iter().any(|ours| ours == condition.type_)
    };
    let old: Vec<Condition> = before.iter().filter(is_ours).cloned().collect();
    if is_said(&old, verdicts, seen.generation) {
        return None;
    }
    let others = before.iter().filter(|condition| !is_ours(condition));
    Some(
        others
            .cloned()
            .chain(conditions(&old, verdicts, seen))
            .collect(),
    )
}

/// The time of the last transition stays where the verdict does.
fn conditions(before: &[Condition], verdicts: &[Verdict], seen: Seen) -> Vec<Condition> {
    let condition = |verdict: &Verdict| {
        let status = status(verdict);
        let same = before
            .iter()
            .find(|old| old.type_ == verdict.condition && old.status == status);
        Condition {
            type_: verdict.condition.to_owned(),
            status: status.to_owned(),
            reason: verdict.reason.to_owned(),
            message: message(verdict).to_owned(),
            observed_generation: seen.generation,
            last_transition_time: same
                .map_or(Time(seen.now), |old| old.last_transition_time.clone()),
        }
    };
    verdicts.iter().map(condition).collect()
}

fn is_said(conditions: &[Condition], verdicts: &[Verdict], generation: Option<i64>) -> bool {
    let says = |verdict: &Verdict| {
        conditions.iter().any(|condition| {
            condition.type_ == verdict.condition
                && condition.status == status(verdict)
                && condition.reason == verdict.reason
                && condition.message == message(verdict)
                && condition.observed_generation == generation
        })
    };
    conditions.len() == verdicts.len() && verdicts.iter().all(says)
}

const fn status(verdict: &Verdict) -> &'static str {
    if verdict.holds { "True" } else { "False" }
}

fn message(verdict: &Verdict) -> &str {
    let end = verdict.message.floor_char_boundary(MESSAGE_BYTES_MAX);
    &verdict.message[..end]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const THEN: i64 = 1_700_000_000;
    const NOW: i64 = 1_800_000_000;

    fn parent() -> Parent {
        Parent {
            kind: ParentKind::Service,
            namespace: "edge".to_owned(),
            name: "warmgate".to_owned(),
        }
    }

    fn seen(second: i64, generation: i64) -> Seen {
        Seen {
            generation: Some(generation),
            now: Timestamp::from_second(second).unwrap(),
        }
    }

    fn accepted() -> [Verdict; 1] {
        [Verdict::holds("Accepted", "Accepted")]
    }

    fn write(parents: &[Value], verdicts: &[Verdict], seen: Seen) -> Option<Vec<Value>> {
        let references = [parent().reference()];
        with_ours(parents, "models", &parent(), &references, verdicts, seen).unwrap()
    }

    fn of_another(n: usize) -> Value {
        let name = format!("gateway-{n}");
        json!({"parentRef": {"name": name}, "controllerName": "example.net/other", "unknown": [1]})
    }

    #[test]
    fn our_entry_joins_those_of_others_which_stay_as_they_are() {
        let others = [of_another(1), of_another(2)];
        let written = write(&others, &accepted(), seen(THEN, 1)).unwrap();
        assert_eq!(written[..2], others);
        insta::assert_json_snapshot!(written[2], @r#"
        {
          "conditions": [
            {
              "lastTransitionTime": "2023-11-14T22:13:20Z",
              "message": "",
              "observedGeneration": 1,
              "reason": "Accepted",
              "status": "True",
              "type": "Accepted"
            }
          ],
          "controllerName": "warmgate.io/gateway",
          "parentRef": {
            "group": "",
            "kind": "Service",
            "name": "warmgate",
            "namespace": "edge"
          }
        }
        "#);
    }

    #[test]
    fn what_is_said_already_is_not_written_again() {
        let written = write(&[of_another(1)], &accepted(), seen(THEN, 1)).unwrap();
        assert_eq!(write(&written, &accepted(), seen(NOW, 1)), None);
    }

    #[test]
    fn a_transition_is_a_change_of_status_and_not_of_the_object() {
        let time = |written: &[Value]| {
            let time = &written[0]["conditions"][0]["lastTransitionTime"];
            time.as_str().unwrap().to_owned()
        };
        let first = write(&[], &accepted(), seen(THEN, 1)).unwrap();
        let edited = write(&first, &accepted(), seen(NOW, 2)).unwrap();
        assert_eq!(time(&edited), time(&first));
        assert_eq!(edited[0]["conditions"][0]["observedGeneration"], 2);
        let refused = [Verdict::fails("Accepted", "UnsupportedValue", "why")];
        let refused = write(&edited, &refused, seen(NOW, 2)).unwrap();
        assert_ne!(time(&refused), time(&first));
        assert_eq!(refused.len(), 1);
    }

    #[test]
    fn another_gateway_of_our_kind_keeps_its_entry() {
        let sibling = Parent {
            name: "warmgate-batch".to_owned(),
            ..parent()
        };
        let references = [sibling.reference()];
        let theirs = with_ours(
            &[],
            "models",
            &sibling,
            &references,
            &accepted(),
            seen(THEN, 1),
        );
        let theirs = theirs.unwrap().unwrap();
        let both = write(&theirs, &accepted(), seen(NOW, 1)).unwrap();
        assert_eq!(both[0], theirs[0]);
        assert_eq!(both.len(), 2);
    }

    #[test]
    fn an_entry_goes_with_the_reference() {
        let written = write(&[of_another(1)], &accepted(), seen(THEN, 1)).unwrap();
        let without = with_ours(&written, "models", &parent(), &[], &[], seen(NOW, 2));
        assert_eq!(without, Ok(Some(vec![of_another(1)])));
        let never = with_ours(
            &[of_another(1)],
            "models",
            &parent(),
            &[],
            &[],
            seen(NOW, 2),
        );
        assert_eq!(never, Ok(None));
    }

    #[test]
    fn a_full_list_is_left_alone() {
        let others = |count| (0..count).map(of_another).collect::<Vec<_>>();
        let write = |others: &[Value]| {
            let references = [parent().reference()];
            with_ours(
                others,
                "models",
                &parent(),
                &references,
                &accepted(),
                seen(NOW, 1),
            )
        };
        let written = write(&others(PARENTS_MAX - 1)).unwrap().unwrap();
        assert_eq!(written.len(), PARENTS_MAX);
        assert_eq!(write(&others(PARENTS_MAX)), Err(NoRoom));
    }

    #[test]
    fn a_reference_means_a_parent_by_all_that_it_says() {
        let reference = |value: Value| serde_json::from_value::<ParentRef>(value).unwrap();
        for (value, namespace, is_meant) in [
            (
                json!({"group": "", "kind": "Service", "name": "warmgate", "namespace": "edge"}),
                "models",
                true,
            ),
            (
                json!({"group": "", "kind": "Service", "name": "warmgate"}),
                "edge",
                true,
            ),
            (
                json!({"group": "", "kind": "Service", "name": "warmgate"}),
                "models",
                false,
            ),
            (
                json!({"group": "", "kind": "Service", "name": "warmgate", "sectionName": "http"}),
                "edge",
                true,
            ),
            (json!({"name": "warmgate"}), "edge", false),
            (
                json!({"group": "", "kind": "Service", "name": "other"}),
                "edge",
                false,
            ),
        ] {
            let meant = parent().is_meant_by(&reference(value.clone()), namespace);
            assert_eq!(meant, is_meant, "{value} in {namespace}");
        }
        let gateway = Parent {
            kind: ParentKind::Gateway,
            ..parent()
        };
        assert!(gateway.is_meant_by(&reference(json!({"name": "warmgate"})), "edge"));
    }

    #[test]
    fn conditions_of_others_stay_and_a_pending_one_is_answered() {
        let pending: Vec<Condition> = serde_json::from_value(json!([
            {"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "Waiting for controller", "lastTransitionTime": "1970-01-01T00:00:00Z"},
            {"type": "Ready", "status": "True", "reason": "Fine", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z"},
        ]))
        .unwrap();
        let written = with_conditions(&pending, &accepted(), seen(NOW, 1)).unwrap();
        assert_eq!(written[0], pending[1]);
        assert_eq!(written[1].status, "True");
        assert_eq!(written[1].last_transition_time, Time(seen(NOW, 1).now));
        assert_eq!(with_conditions(&written, &accepted(), seen(NOW, 1)), None);
    }

    #[test]
    fn a_message_is_cut_at_its_limit_and_then_stays() {
        let of = |bytes| [Verdict::fails("Accepted", "Invalid", "x".repeat(bytes))];
        for bytes in [MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX + 1] {
            let written = with_conditions(&[], &of(bytes), seen(NOW, 1)).unwrap();
            assert_eq!(written[0].message.len(), MESSAGE_BYTES_MAX);
            assert_eq!(with_conditions(&written, &of(bytes), seen(NOW, 1)), None);
        }
    }
}
