//! Did the nodes take an in-place resize? The API server takes one that no node can give: only the pod's conditions tell.
//! See `kubectl-guard/docs/in-place-resize.md` for what was seen of them.

use std::time::Duration;

use guard_model::quantity::Quantity;
use http::Request;
use kube::Client;
use serde_json::Value;

use crate::outcome::Resize;
use crate::plan::{Action, Amounts, Step};
use crate::sanitise;

/// How long a node is given to resize a pod: those tried took two seconds, or had refused by then.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the pod is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks at the pod of a resize that was written until its node has said what becomes of it.
pub async fn resized(client: &Client, step: &Step) -> Resize {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let standing = match Request::get(step.target.path()).body(Vec::new()) {
            Ok(get) => match client.request::<Value>(get).await {
                Ok(pod) => standing(&pod, step),
                Err(error) => Resize::Unknown(crate::request::innermost(&error)),
            },
            Err(error) => Resize::Unknown(error.to_string()),
        };
        let next = tokio::time::Instant::now() + INTERVAL;
        if standing != Resize::Waiting || next >= end {
            return standing;
        }
        tokio::time::sleep_until(next).await;
    }
}

fn standing(pod: &Value, step: &Step) -> Resize {
    if pod["metadata"]["uid"].as_str() != Some(&step.target.uid) {
        return Resize::Unknown("another pod has its name now".into());
    }
    let number = |pointer: &str| pod.pointer(pointer).and_then(Value::as_i64);
    let generation = number("/metadata/generation").unwrap_or(0);
    // Kubernetes 1.33 does not tell which generation its kubelet has seen: there the resources alone do.
    if number("/status/observedGeneration").is_some_and(|observed| observed < generation) {
        return Resize::Waiting;
    }
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let find = |kind: &str| conditions.iter().find(|c| c["type"] == kind && c["status"] == "True");
    let message = |condition: &Value| sanitise::line(condition["message"].as_str().unwrap_or("no reason given"));
    if let Some(pending) = find("PodResizePending") {
        return match pending["reason"].as_str() {
            Some("Infeasible") => Resize::Infeasible(message(pending)),
            Some("Deferred") => Resize::Deferred(message(pending)),
            _ => Resize::Waiting,
        };
    }
    match find("PodResizeInProgress") {
        Some(condition) if condition["reason"] == "Error" => Resize::Failed(message(condition)),
        None if has_what_was_asked(pod, &step.action) => Resize::Done,
        Some(_) | None => Resize::Waiting,
    }
}

/// The container that was resized has, by its own status, all that was asked for.
fn has_what_was_asked(pod: &Value, action: &Action) -> bool {
    let Action::ResizePod { change } = action else { return false };
    let containers = pod["status"]["containerStatuses"].as_array();
    let Some(container) = containers.into_iter().flatten().find(|status| status["name"] == *change.container) else {
        return false;
    };
    let has = |named: &Amounts, what: &str| {
        named.iter().all(|(resource, amount)| {
            let have = container["resources"][what][resource.name()].as_str();
            have.and_then(|have| have.parse::<Quantity>().ok()) == *amount
        })
    };
    has(&change.limits, "limits") && has(&change.requests, "requests")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::examples::resources_plan;

    /// The limit of memory of container web of pod web-a becomes 128Mi.
    fn told(pod: &Value) -> Resize {
        standing(pod, &resources_plan(true).steps[0])
    }

    fn pod(observed: i64, conditions: &Value) -> Value {
        json!({ "metadata": { "uid": "uid-web-a", "generation": 3 },
            "status": { "observedGeneration": observed, "conditions": conditions, "containerStatuses": [
                { "name": "log", "resources": { "limits": { "memory": "8Mi" } } },
                { "name": "web", "resources": { "limits": { "cpu": "200m", "memory": "131072Ki" } } }] } })
    }

    fn condition(kind: &str, reason: Option<&str>, message: &str) -> Value {
        json!([{ "type": "Ready", "status": "True" },
            { "type": kind, "status": "True", "reason": reason, "message": message }])
    }

    #[test]
    fn each_answer_of_a_node_is_told_apart() {
        let pending = |reason| condition("PodResizePending", reason, "requested: 2000, used: 500, capacity: 2000");
        let cases = [
            pod(3, &json!([{ "type": "Ready", "status": "True" }])),
            pod(2, &json!([])),
            pod(3, &pending(Some("Deferred"))),
            pod(3, &pending(Some("Infeasible"))),
            pod(3, &condition("PodResizeInProgress", None, "")),
            pod(3, &condition("PodResizeInProgress", Some("Error"), "below current usage")),
            json!({ "metadata": { "uid": "u2" } }),
        ];
        let answers: Vec<String> = cases.iter().map(|pod| told(pod).to_string()).collect();
        insta::assert_snapshot!(answers.join("\n"));
    }

    #[test]
    fn a_condition_of_the_past_counts_for_nothing() {
        let mut over = condition("PodResizePending", Some("Infeasible"), "");
        over[1]["status"] = json!("False");
        assert_eq!(told(&pod(3, &over)), Resize::Done);
    }

    /// Kubernetes 1.33 tells of no generation that its kubelets have seen, and no version tells of it what is not so yet.
    #[test]
    fn what_the_container_has_decides() {
        let with = |memory: &str, observed: Option<i64>| {
            let mut pod = pod(3, &json!([]));
            pod["status"]["containerStatuses"][1]["resources"]["limits"]["memory"] = json!(memory);
            pod["status"]["observedGeneration"] = json!(observed);
            told(&pod)
        };
        for observed in [None, Some(3)] {
            assert_eq!(with("128Mi", observed), Resize::Done, "{observed:?}");
            assert_eq!(with("96Mi", observed), Resize::Waiting, "{observed:?}");
        }
        assert_eq!(with("128Mi", Some(2)), Resize::Waiting);
        let untold = json!({ "metadata": { "uid": "uid-web-a" }, "status": {} });
        assert_eq!(told(&untold), Resize::Waiting);
    }

    #[test]
    fn a_hostile_message_is_harmless() {
        let told = told(&pod(3, &condition("PodResizePending", Some("Deferred"), "a\u{1b}[2J\nb"))).to_string();
        assert!(!told.contains(['\u{1b}', '\n']), "{told:?}");
    }
}
