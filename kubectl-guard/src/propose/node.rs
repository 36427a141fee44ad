//! Cordon and uncordon: whether the scheduler may put new pods onto a node.

use serde_json::{Value, json};

use super::rails;
use super::{Making, Refusal};
use crate::facts::{NodeTarget, TargetFacts};
use crate::plan::{Action, ActionKind, CORDONED, Need, Step, Target, Undo};

/// The node that the facts are of.
pub(super) fn node(target: &TargetFacts, action: ActionKind) -> Result<&NodeTarget, Refusal> {
    match target {
        TargetFacts::Node(node) => Ok(node),
        other => Err(Refusal::NotANode { target: other.target().to_string(), action: action.name() }),
    }
}

pub(super) fn cordon(node: &NodeTarget, making: &mut Making<'_>) -> Result<Step, Refusal> {
    if node.unschedulable {
        return Err(Refusal::Cordoned(node.target.to_string()));
    }
    making.rails.push(rails::control_plane(node, making.wish)?);
    making.rails.push(rails::schedulable(node, making.wish)?);
    Ok(cordoning(node, making))
}

pub(super) fn uncordon(node: &NodeTarget, making: &mut Making<'_>) -> Result<Step, Refusal> {
    if !node.unschedulable {
        return Err(Refusal::NotCordoned(node.target.to_string()));
    }
    making.rails.push(rails::own_cordon(node, making.wish)?);
    let spec = json!({ "unschedulable": false });
    Ok(Step {
        action: Action::Uncordon,
        patch: patch(&node.target, &Value::Null, &Value::Null),
        preconditions: held(),
        before: json!({ "metadata": { "annotations": own(node) }, "spec": { "unschedulable": true } }),
        after: json!({ "spec": spec }),
        need: Need::patch(&node.target, ""),
        undo: Undo::Inverse { action: Action::Cordon },
        target: node.target.clone(),
    })
}

/// The write that takes a node out of scheduling and says on the node who did it.
pub(super) fn cordoning(node: &NodeTarget, making: &Making<'_>) -> Step {
    let signature = json!({ "plan": making.id, "by": making.identity, "at": making.now }).to_string();
    Step {
        action: Action::Cordon,
        patch: patch(&node.target, &json!(signature), &json!(true)),
        preconditions: held(),
        before: json!({ "spec": { "unschedulable": false } }),
        after: json!({ "metadata": { "annotations": { CORDONED: signature } }, "spec": { "unschedulable": true } }),
        need: Need::patch(&node.target, ""),
        undo: Undo::Inverse { action: Action::Uncordon },
        target: node.target.clone(),
    }
}

fn patch(target: &Target, signature: &Value, unschedulable: &Value) -> Value {
    json!({
        "metadata": {
            "uid": target.uid,
            "resourceVersion": target.resource_version,
            "annotations": { CORDONED: signature },
        },
        "spec": { "unschedulable": unschedulable },
    })
}

fn own(node: &NodeTarget) -> Value {
    node.cordoned.as_ref().map_or(Value::Null, |signature| json!({ CORDONED: signature }))
}

/// A node's version moves with its heartbeats, so it is read again right before the write, and held then.
fn held() -> Vec<String> {
    vec!["it is the same node (uid)".into(), "nothing of it changes between the last look and the write".into()]
}
