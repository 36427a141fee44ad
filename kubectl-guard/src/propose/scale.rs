//! Scale: the number of replicas, through the scale subresource.

use serde_json::json;

use super::restart::held;
use super::{Making, Refusal, Wish};
use crate::facts::{Autoscaling, Facts, TargetFacts};
use crate::plan::{Action, GuardRail, Kind, Need, RailState, Step, Undo};

pub(super) fn step(facts: &Facts, making: &mut Making<'_>) -> Result<Step, Refusal> {
    let wish = making.wish;
    let workload = match &facts.target {
        TargetFacts::Node(node) => return Err(Refusal::OnlyNodeActions(node.target.to_string())),
        TargetFacts::Pod(pod) => {
            return Err(Refusal::NotScalable(pod.target.to_string(), "name the workload that it belongs to"));
        }
        TargetFacts::Workload(workload) if workload.target.kind == Kind::DaemonSet => {
            return Err(Refusal::NotScalable(workload.target.to_string(), "a DaemonSet has one pod a node"));
        }
        TargetFacts::Workload(workload) => workload,
    };
    let (target, now) = (workload.target.clone(), workload.replicas);
    making.rails.push(autoscaler(&target.to_string(), &facts.autoscaling)?);
    let replicas = wish.replicas.unwrap_or_else(|| now.saturating_add(1));
    making.rails.push(zero(&target.to_string(), replicas, wish)?);
    if replicas == now {
        return Err(Refusal::AsItIs { target: target.to_string(), replicas });
    }
    Ok(Step {
        action: Action::Scale { replicas },
        patch: json!({
            "metadata": { "uid": target.uid, "resourceVersion": target.resource_version },
            "spec": { "replicas": replicas },
        }),
        preconditions: held(&target),
        before: json!({ "spec": { "replicas": now } }),
        after: json!({ "spec": { "replicas": replicas } }),
        need: Need {
            verb: "patch".into(),
            group: target.kind.group().into(),
            resource: target.kind.resource().into(),
            subresource: "scale".into(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
        },
        undo: Undo::Inverse { action: Action::Scale { replicas: now } },
        target,
    })
}

fn autoscaler(target: &str, autoscaling: &Autoscaling) -> Result<GuardRail, Refusal> {
    match autoscaling {
        Autoscaling::Nobody | Autoscaling::Vertical { .. } => Ok(GuardRail {
            name: "autoscaler".into(),
            state: RailState::Held,
            detail: "no HorizontalPodAutoscaler owns the replicas".into(),
        }),
        Autoscaling::Owned { name, min, max } => {
            Err(Refusal::Autoscaled { target: target.into(), name: name.clone(), min: *min, max: *max })
        }
        Autoscaling::Unknown { why } => Err(Refusal::AutoscalerUnknown { target: target.into(), why: why.clone() }),
    }
}

fn zero(target: &str, replicas: i32, wish: &Wish) -> Result<GuardRail, Refusal> {
    let name = "scale to zero".to_owned();
    match replicas {
        ..0 => Err(Refusal::Negative(replicas)),
        // Only a typed 0 can get here: without --replicas the number only grows.
        0 if wish.replicas == Some(0) => {
            Ok(GuardRail { name, state: RailState::Overridden, detail: "--replicas 0 was typed".into() })
        }
        0 => Err(Refusal::ToZero(target.into())),
        1.. => Ok(GuardRail { name, state: RailState::Held, detail: format!("{replicas} replicas are left") }),
    }
}
