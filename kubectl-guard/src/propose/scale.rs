//! Scale: the number of replicas, through the scale subresource.

use serde_json::{Map, json};

use super::rails::{held, overridden};
use super::restart::held as preconditions;
use super::{Making, Refusal, stateful};
use crate::facts::{Autoscaling, Facts, Growth, TargetFacts};
use crate::plan::{Action, GuardRail, Kind, Need, RailState, Step, Target, Undo};
use crate::wish::Wish;

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
    let replicas = wish.replicas.unwrap_or_else(|| now.saturating_add(1));
    if replicas == now {
        return Err(Refusal::AsItIs { target: target.to_string(), replicas });
    }
    let woken = woken(&facts.autoscaling, now, replicas);
    making.rails.push(match &woken {
        Some(name) => held("autoscaler", format!("{name} is disabled while there are no replicas")),
        None => autoscaler(&target, &facts.autoscaling, now, replicas)?,
    });
    making
        .advice
        .extend(woken.iter().map(|name| format!("from then on {name} sets the replicas within its bounds again")));
    making.rails.push(zero(&target.to_string(), replicas, wish)?);
    stateful::scale(workload, &facts.pods, replicas, making)?;
    growth(&target.to_string(), &facts.growth, making)?;
    Ok(Step {
        action: Action::Scale { replicas },
        patch: json!({
            "metadata": { "uid": target.uid, "resourceVersion": target.resource_version },
            "spec": { "replicas": replicas },
        }),
        preconditions: preconditions(&target),
        before: json!({ "spec": { "replicas": now } }),
        after: json!({ "spec": { "replicas": replicas } }),
        need: Need::patch(&target, "scale"),
        undo: match (stateful::lost(workload, replicas), woken) {
            (Some(why), _) => {
                Undo::Irreversible { why: format!("the volumes that went with its pods are lost: {why}") }
            }
            (None, Some(name)) => Undo::Irreversible { why: format!("from then on {name} sets the replicas") },
            (None, None) => Undo::Inverse { action: Action::Scale { replicas: now } },
        },
        target,
    })
}

/// The bounds between which the wanted number is brought about: up by the lower one, down by the upper one.
fn bounds(now: i32, wanted: i32, (min, max): (i32, i32)) -> (i32, i32) {
    if wanted > now { (wanted, max.max(wanted)) } else { (min.min(wanted), wanted) }
}

/// The command that moves the bounds of an autoscaler; none towards 0, which no autoscaler holds.
fn command(target: &Target, kind: &str, name: &str, fields: [&str; 2], old: (i32, i32), new: (i32, i32)) -> String {
    let mut spec = Map::new();
    for (field, old, new) in [(fields[0], old.0, new.0), (fields[1], old.1, new.1)] {
        if old != new {
            spec.insert(field.into(), json!(new));
        }
    }
    let patch = json!({ "spec": spec });
    format!("kubectl -n {} patch {kind} {name} --type=merge -p '{patch}'", target.namespace)
}

/// The autoscaler that was disabled by scaling to 0, and takes what is wanted now as it is: that lies within its bounds. One
/// whose lower bound is 0 is never disabled.
fn woken(autoscaling: &Autoscaling, now: i32, wanted: i32) -> Option<String> {
    match autoscaling {
        Autoscaling::Owned { name, min, max } if now == 0 && *min > 0 && (*min..=*max).contains(&wanted) => {
            Some(format!("HorizontalPodAutoscaler {name}"))
        }
        _ => None,
    }
}

fn autoscaler(target: &Target, autoscaling: &Autoscaling, now: i32, wanted: i32) -> Result<GuardRail, Refusal> {
    let owned = |what: &str, kind: &str, name: &str, fields: [&str; 2], old: (i32, i32)| {
        let instead = match bounds(now, wanted, old) {
            _ if wanted < 1 => format!("to take it out of service, remove or pause the {what} first"),
            new if new == old => format!("its bounds allow {wanted} already, so it decides by its metrics"),
            new => format!("change its bounds instead: {}", command(target, kind, name, fields, old, new)),
        };
        Err(Refusal::Autoscaled {
            target: target.to_string(),
            name: format!("{what} {name}"),
            min: old.0,
            max: old.1,
            instead,
        })
    };
    match autoscaling {
        Autoscaling::Nobody | Autoscaling::Vertical { .. } => Ok(GuardRail {
            name: "autoscaler".into(),
            state: RailState::Held,
            detail: "no HorizontalPodAutoscaler or ScaledObject owns the replicas".into(),
        }),
        Autoscaling::Owned { name, min, max } => {
            let fields = ["minReplicas", "maxReplicas"];
            owned("HorizontalPodAutoscaler", "hpa", name, fields, (*min, *max))
        }
        Autoscaling::Keda { name, min, max } => {
            let fields = ["minReplicaCount", "maxReplicaCount"];
            owned("ScaledObject", "scaledobject", name, fields, (*min, *max))
        }
        Autoscaling::Unknown { why } => {
            Err(Refusal::AutoscalerUnknown { target: target.to_string(), why: why.clone() })
        }
    }
}

/// The new pods are within the quotas, which the API server would hold them to, and fit on nodes.
fn growth(target: &str, growth: &Growth, making: &mut Making<'_>) -> Result<(), Refusal> {
    match growth {
        Growth::None => {}
        Growth::Unknown { why } => {
            making.advice.push(format!("whether there is room for the new pods could not be found out: {why}"));
        }
        Growth::Known { quotas, .. } if !quotas.is_empty() => {
            return Err(Refusal::OverQuota { target: target.into(), quotas: quotas.join("; ") });
        }
        Growth::Known { unplaced: 0, .. } => {
            making.rails.push(held(
                "room",
                "by quotas, and by requests, taints, node selectors and node affinity, they fit".into(),
            ));
        }
        Growth::Known { unplaced, why, .. } => {
            let detail = format!("{unplaced} of the new pods would fit on no node ({why})");
            if !making.wish.drain.allow_pending {
                return Err(Refusal::NoRoomToGrow { target: target.into(), detail });
            }
            making.rails.push(overridden("room", detail));
        }
    }
    Ok(())
}

fn zero(target: &str, replicas: i32, wish: &Wish) -> Result<GuardRail, Refusal> {
    let name = "scale to zero".to_owned();
    match replicas {
        ..0 => Err(Refusal::Negative(replicas)),
        // Only a 0 that was asked for can get here: without --replicas the number only grows.
        0 if wish.replicas == Some(0) => {
            Ok(GuardRail { name, state: RailState::Overridden, detail: "--replicas 0 was asked for".into() })
        }
        0 => Err(Refusal::ToZero(target.into())),
        1.. => Ok(GuardRail { name, state: RailState::Held, detail: format!("{replicas} replicas are left") }),
    }
}

#[cfg(test)]
mod tests;
