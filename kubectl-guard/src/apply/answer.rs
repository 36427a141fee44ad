//! What an answer of the API server to a write means, pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde_json::Value;

use super::{Answer, ApplyError};
use crate::outcome::StepOutcome;
use crate::plan::{Action, Step, Target, merged, without_nulls};
use crate::request::is_of_admission;
use crate::sanitise;

/// Reads the answer to a write or to its dry run.
///
/// `Err(ApplyError::Unknown)` is for answers after which the write may have happened.
pub(super) fn read(step: &Step, answer: &Answer) -> Result<StepOutcome, ApplyError> {
    let Answer { code, retry_after, body } = answer;
    if code.is_success() {
        let value: Value = serde_json::from_slice(body).unwrap_or_default();
        // Only a patch of the object itself answers with its generation; a Scale has none.
        return Ok(StepOutcome::Done { generation: value.pointer("/metadata/generation").and_then(Value::as_i64) });
    }
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let message = status.message.as_deref().map_or_else(|| format!("HTTP {}", code.as_u16()), sanitise::line);
    let target = step.target.to_string();
    Err(match code.as_u16() {
        403 if step.action.ends_pod() && has_cause(&status, "NamespaceTerminating") => {
            ApplyError::NamespaceEnds { target, message }
        }
        403 if !is_of_admission(&message) => ApplyError::Forbidden { need: Box::new(step.need.clone()), message },
        404 | 409 => ApplyError::Stale { target, message },
        // A pod is not compared by UID before it is validated: another of the same name answers so.
        422 if matches!(step.action, Action::ResizePod { .. }) && message.contains("metadata.uid:") => {
            ApplyError::Stale { target, message }
        }
        // A spent disruption budget says so in its cause; a 429 of an overloaded server doesn't.
        429 if has_cause(&status, "DisruptionBudget") => ApplyError::Budget { target, message },
        // The eviction API answers so, before it writes, when several budgets cover a pod: no retry can help.
        500 if step.action == Action::EvictPod && message.contains("more than one PodDisruptionBudget") => {
            ApplyError::ManyBudgets { target, message }
        }
        429 => ApplyError::Overloaded { target, message, retry_after: *retry_after },
        500.. => ApplyError::Unknown { target, why: message },
        code => ApplyError::Refused { target, code, message },
    })
}

/// One of the causes behind a refusal is this one.
fn has_cause(status: &Status, reason: &str) -> bool {
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref());
    causes.is_some_and(|causes| causes.iter().any(|cause| cause.reason.as_deref() == Some(reason)))
}

/// What the object itself says after a write without an answer: `None` is an object that is gone.
pub(super) fn reconcile(step: &Step, object: Option<&Value>) -> StepOutcome {
    let Some(object) = object else {
        return match step.action {
            Action::EvictPod | Action::DeletePod => StepOutcome::Done { generation: None },
            _ => StepOutcome::NotDone { why: format!("{} is gone", step.target) },
        };
    };
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let same = text("/metadata/uid") == Some(&step.target.uid);
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    if step.action.ends_pod() {
        let stays = same && object.pointer("/metadata/deletionTimestamp").is_none();
        return if stays { unknown(&step.target) } else { StepOutcome::Done { generation: None } };
    }
    if !same {
        return StepOutcome::NotDone { why: format!("{} was deleted and made again", step.target) };
    }
    let done = match step.action {
        Action::RolloutUndo { .. } => has_template(&step.patch, object),
        _ => holds(object, &step.after),
    };
    if done {
        return StepOutcome::Done { generation };
    }
    // Without a version to hold, a write still under way may arrive whatever the object says.
    let version = step.target.resource_version.as_deref();
    if version.is_none() || text("/metadata/resourceVersion") == version {
        return unknown(&step.target);
    }
    // The precondition fails from now on: a write still under way can no longer arrive.
    StepOutcome::NotDone { why: format!("{} was changed by someone else meanwhile", step.target) }
}

/// The object's template is what this patch makes of it, down to what it takes away.
pub(crate) fn has_template(patch: &Value, object: &Value) -> bool {
    let template = without_nulls(&object["spec"]["template"]);
    merged(&template, &patch["spec"]["template"]) == template
}

fn unknown(target: &Target) -> StepOutcome {
    StepOutcome::Unknown { why: format!("{target} shows no trace of it yet; it may still arrive") }
}

/// Every field of `part` has the same value in `whole`; one that is false or null may be missing there, and of a list of
/// named objects only those count that `part` names.
pub(super) fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => part.iter().all(|(key, value)| match whole.get(key) {
            Some(other) => holds(other, value),
            None => *value == Value::Bool(false) || value.is_null(),
        }),
        (Value::Array(whole), Value::Array(part)) if part.iter().all(|item| item["name"].is_string()) => {
            part.iter().all(|item| whole.iter().any(|other| other["name"] == item["name"] && holds(other, item)))
        }
        (whole, part) => whole == part,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::ActionKind;
    use crate::plan::examples::{node_plan, plan, pod_plan, resources_plan, revisions};

    fn answer(step: &Step, code: u16, body: &Value) -> Result<StepOutcome, ApplyError> {
        let code = http::StatusCode::from_u16(code).unwrap();
        read(step, &Answer { code, retry_after: Some(1), body: body.to_string().into_bytes() })
    }

    fn restart() -> Step {
        plan(ActionKind::Restart).steps.remove(0)
    }

    fn evict() -> Step {
        pod_plan().steps.remove(0)
    }

    #[test]
    fn a_budget_is_told_from_an_overloaded_server() {
        let budget = json!({ "message": "no", "details": { "causes": [{ "reason": "DisruptionBudget" }] } });
        assert!(matches!(answer(&evict(), 429, &budget), Err(ApplyError::Budget { .. })));
        let overload = json!({ "message": "too many requests" });
        assert!(matches!(answer(&evict(), 429, &overload), Err(ApplyError::Overloaded { retry_after: Some(1), .. })));
        let two = json!({ "message": "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support." });
        assert!(matches!(answer(&evict(), 500, &two), Err(ApplyError::ManyBudgets { .. })));
    }

    #[test]
    fn a_conflict_or_a_missing_object_is_stale() {
        for code in [404, 409] {
            assert!(matches!(answer(&restart(), code, &json!({})), Err(ApplyError::Stale { .. })));
        }
    }

    #[test]
    fn after_a_failing_server_the_outcome_is_unknown() {
        for code in [500, 502, 503, 504] {
            assert!(matches!(answer(&restart(), code, &json!({})), Err(ApplyError::Unknown { .. })), "{code}");
        }
    }

    #[test]
    fn the_object_tells_whether_a_lost_write_arrived() {
        let step = restart();
        let object = |uid: &str, version: &str, after: bool| {
            let mut object = if after { step.after.clone() } else { json!({ "spec": {} }) };
            object["metadata"] = json!({ "uid": uid, "resourceVersion": version, "generation": 3 });
            object
        };
        let told = |object: &Value| reconcile(&step, Some(object));
        assert_eq!(told(&object("uid-web", "4712", true)), StepOutcome::Done { generation: Some(3) });
        assert!(matches!(told(&object("uid-web", "4711", false)), StepOutcome::Unknown { .. }));
        assert!(matches!(told(&object("uid-web", "4712", false)), StepOutcome::NotDone { .. }));
        assert!(matches!(told(&object("other", "4712", true)), StepOutcome::NotDone { .. }));
        assert!(matches!(reconcile(&step, None), StepOutcome::NotDone { .. }));
    }

    #[test]
    fn a_rollback_is_done_only_if_what_it_takes_away_has_gone() {
        let step = plan(ActionKind::RolloutUndo).steps.remove(0);
        let object = |template: Value, version: &str| json!({ "metadata": { "uid": "uid-web", "resourceVersion": version, "generation": 4 }, "spec": { "template": template } });
        let crate::facts::Revisions::Known { current, earlier } = revisions() else { panic!() };
        let done = reconcile(&step, Some(&object(earlier[0].template.clone(), "4712")));
        assert_eq!(done, StepOutcome::Done { generation: Some(4) });
        let open = reconcile(&step, Some(&object(current.template.clone(), "4711")));
        assert!(matches!(open, StepOutcome::Unknown { .. }), "{open:?}");
        let mut more = current.template;
        more["metadata"]["labels"]["more"] = json!("kept by the patch");
        assert!(!has_template(&step.patch, &object(more, "4711")));
    }

    #[test]
    fn a_node_without_the_field_is_uncordoned() {
        let step = node_plan(ActionKind::Uncordon).steps.remove(0);
        let node = |spec: &Value, version: &str| json!({ "metadata": { "uid": "uid-n1", "resourceVersion": version }, "spec": spec });
        assert_eq!(reconcile(&step, Some(&node(&json!({}), "4712"))), StepOutcome::Done { generation: None });
        let still = reconcile(&step, Some(&node(&json!({ "unschedulable": true }), "4711")));
        assert!(matches!(still, StepOutcome::Unknown { .. }));
    }

    #[test]
    fn a_pod_that_is_gone_leaving_or_another_was_evicted() {
        let step = evict();
        let done = StepOutcome::Done { generation: None };
        assert_eq!(reconcile(&step, None), done);
        let leaving = json!({ "metadata": { "uid": "uid-web-a", "deletionTimestamp": "2026-11-22T13:20:06Z" } });
        assert_eq!(reconcile(&step, Some(&leaving)), done);
        assert_eq!(reconcile(&step, Some(&json!({ "metadata": { "uid": "other" } }))), done);
        let alive = json!({ "metadata": { "uid": "uid-web-a" } });
        assert!(matches!(reconcile(&step, Some(&alive)), StepOutcome::Unknown { .. }));
    }

    #[test]
    fn a_resize_without_an_answer_is_done_only_if_the_pod_says_so() {
        let step = resources_plan(true).steps.remove(0);
        let pod = |memory: &str| {
            json!({ "metadata": { "uid": "uid-web-a", "resourceVersion": "9", "generation": 2 }, "spec": { "containers": [
                { "name": "log" },
                { "name": "web", "image": "web:1", "resources": { "limits": { "cpu": "200m", "memory": memory } } }] } })
        };
        assert_eq!(reconcile(&step, Some(&pod("128Mi"))), StepOutcome::Done { generation: Some(2) });
        assert!(matches!(reconcile(&step, Some(&pod("96Mi"))), StepOutcome::Unknown { .. }), "it may still arrive");
        let other = answer(
            &step,
            422,
            &json!({ "message": "Pod is invalid: metadata.uid: Invalid value: field is immutable" }),
        );
        assert!(matches!(other, Err(ApplyError::Stale { .. })), "{other:?}");
    }

    #[test]
    fn what_was_to_be_taken_away_must_be_gone() {
        let whole = json!({ "limits": { "cpu": "1" } });
        assert!(holds(&whole, &json!({ "limits": { "memory": null } })));
        assert!(!holds(&whole, &json!({ "limits": { "cpu": null } })));
        assert!(!holds(&json!([1, 2]), &json!([1])), "a plain list is held as a whole");
    }
}
