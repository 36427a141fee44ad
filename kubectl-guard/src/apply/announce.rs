//! A Kubernetes Event on what was written, so that `kubectl describe` and `kubectl get events` tell it to those who know
//! nothing of guard. It repeats what the journal holds already: without the right to make one, or without an answer, the
//! fix is as good as with it.

use std::time::Duration;

use http::{Method, Request, header};
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use super::exchange;
use crate::approve::ApprovedPlan;
use crate::outcome::StepOutcome;
use crate::plan::{Action, FIELD_MANAGER, Plan, Step};
use crate::sanitise;
use crate::write_point::WritePoint;

/// An Event is worth no longer wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// What the API server takes as note, in bytes.
const LONGEST_NOTE: usize = 1024;
/// So much of a target's name begins an Event's name; the rest of 253 is for the plan and the step.
const LONGEST_NAME: usize = 200;

/// Makes an Event of a step that was written, or may have been. One that was not leaves nothing to tell.
///
/// # Errors
/// The API server did not take it, in a few words. Nothing depends on it.
pub async fn announce(
    client: &Client,
    approved: &ApprovedPlan,
    step: usize,
    outcome: &StepOutcome,
    at: Timestamp,
) -> Result<(), String> {
    let Some(event) = event(approved, step, outcome, at) else { return Ok(()) };
    let sent = tokio::time::timeout(PATIENCE, exchange(client, request(&event)));
    let answer = WritePoint::Event.send(sent).await;
    let answer = answer.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))??;
    match answer.code.as_u16() {
        200..=299 => Ok(()),
        403 => {
            let namespace = event["metadata"]["namespace"].as_str().unwrap_or_default();
            Err(format!("you may not create events.events.k8s.io in namespace {namespace}"))
        }
        code => {
            let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let message = status["message"].as_str().map(sanitise::line);
            Err(message.unwrap_or_else(|| format!("HTTP {code}")))
        }
    }
}

fn request(event: &Value) -> Request<Vec<u8>> {
    let namespace = event["metadata"]["namespace"].as_str().unwrap_or_default();
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events?fieldManager={FIELD_MANAGER}");
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .body(event.to_string().into_bytes())
        .expect("a namespace of DNS-1123 makes a valid path")
}

/// The Event of a step; `None` for one that was not written.
fn event(approved: &ApprovedPlan, step: usize, outcome: &StepOutcome, at: Timestamp) -> Option<Value> {
    let plan = approved.plan();
    let number = step;
    let step = plan.steps.get(step)?;
    let (kind, came_to) = match outcome {
        StepOutcome::Done { .. } => ("Normal", "done"),
        StepOutcome::Unknown { .. } => ("Warning", "outcome unknown"),
        StepOutcome::NotDone { .. } => return None,
    };
    let target = &step.target;
    let (action, reason) = words(&step.action);
    Some(json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        // The same step makes the same name: sent twice, it is taken once.
        "metadata": { "name": name(plan, step, number), "namespace": namespace(step) },
        "eventTime": at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
        "reportingController": FIELD_MANAGER,
        "reportingInstance": format!("plan-{}", plan.id),
        "action": action,
        "reason": reason,
        "type": kind,
        "regarding": {
            "apiVersion": target.kind.api().trim_start_matches("/apis/").trim_start_matches("/api/"),
            "kind": target.kind.name(),
            "namespace": target.namespace,
            "name": target.name,
            "uid": target.uid,
        },
        "note": note(approved, step, came_to),
    }))
}

/// Events of objects without a namespace, such as nodes, lie in `default`: the API server takes them nowhere else.
fn namespace(step: &Step) -> &str {
    if step.target.namespace.is_empty() { "default" } else { &step.target.namespace }
}

fn name(plan: &Plan, step: &Step, number: usize) -> String {
    let name = step.target.name.get(..LONGEST_NAME).unwrap_or(&step.target.name).trim_end_matches(['.', '-']);
    format!("{name}.guard-{}-{number}", plan.id)
}

/// What was done, for programs, and the reason, by which people filter.
fn words(action: &Action) -> (&'static str, &'static str) {
    match action {
        Action::RolloutRestart => ("RolloutRestart", "GuardRestarted"),
        Action::RolloutUndo { .. } => ("RolloutUndo", "GuardRolledBack"),
        Action::EvictPod => ("EvictPod", "GuardEvicted"),
        Action::Scale { .. } => ("Scale", "GuardScaled"),
        Action::SetResources { .. } => ("SetResources", "GuardSetResources"),
        Action::ResizePod { .. } => ("ResizePod", "GuardResized"),
        Action::Cordon => ("Cordon", "GuardCordoned"),
        // Its first step cordons; each pod has a step of its own.
        Action::Drain { .. } => ("Drain", "GuardCordoned"),
        Action::Uncordon => ("Uncordon", "GuardUncordoned"),
        Action::DeletePod => ("DeletePod", "GuardDeleted"),
    }
}

fn note(approved: &ApprovedPlan, step: &Step, came_to: &str) -> String {
    let plan = approved.plan();
    let what = step.action.on(&step.target);
    let mut note = format!("{what}: {came_to}; by {}, plan {}, {}", plan.identity, plan.id, approved.digest());
    let end = (0..=LONGEST_NOTE.min(note.len())).rev().find(|end| note.is_char_boundary(*end)).unwrap_or(0);
    note.truncate(end);
    note
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approve::{Way, approve};
    use crate::plan::ActionKind;
    use crate::plan::examples::{Typist, node_plan, now, plan};

    const DONE: StepOutcome = StepOutcome::Done { generation: None };

    fn approved(plan: Plan, name: &'static str) -> ApprovedPlan {
        approve(plan, Way::Ask, now(), &Typist(name)).unwrap()
    }

    #[test]
    fn an_event_says_what_was_done_by_whom_and_by_which_plan() {
        let approved = approved(plan(ActionKind::Scale), "web");
        let event = event(&approved, 0, &DONE, now()).unwrap();
        insta::assert_snapshot!(format!("{event:#}"));
        assert_eq!(request(&event).uri(), "/apis/events.k8s.io/v1/namespaces/shop/events?fieldManager=kubectl-guard");
    }

    #[test]
    fn an_event_of_a_node_lies_in_default_and_names_no_namespace_of_it() {
        let event = event(&approved(node_plan(ActionKind::Cordon), "n1"), 0, &DONE, now()).unwrap();
        assert_eq!(event["metadata"]["namespace"], "default");
        assert_eq!(event["regarding"]["namespace"], "");
        assert_eq!((&event["regarding"]["apiVersion"], &event["regarding"]["kind"]), (&json!("v1"), &json!("Node")));
    }

    #[test]
    fn what_was_not_written_makes_none_and_what_is_not_known_a_warning() {
        let approved = approved(plan(ActionKind::Restart), "web");
        let made = |outcome: StepOutcome| event(&approved, 0, &outcome, now());
        assert_eq!(made(StepOutcome::NotDone { why: "conflict".into() }), None);
        assert_eq!(made(StepOutcome::Unknown { why: "no answer".into() }).unwrap()["type"], "Warning");
        assert_eq!(event(&approved, 7, &DONE, now()), None);
    }

    #[test]
    fn the_longest_names_stay_within_what_the_api_server_takes() {
        let mut long = plan(ActionKind::Scale);
        long.steps[0].target.name = format!("{}.{}", "a".repeat(199), "b".repeat(53));
        long.identity = "ö".repeat(2000);
        let name: &'static str = Box::leak(long.steps[0].target.name.clone().into_boxed_str());
        let event = event(&approved(long, name), 0, &DONE, now()).unwrap();
        let name = event["metadata"]["name"].as_str().unwrap();
        assert!(name.len() <= 253 && crate::plan::is_name(name), "{name}");
        assert!(event["note"].as_str().unwrap().len() <= LONGEST_NOTE);
    }
}
