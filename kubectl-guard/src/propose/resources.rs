//! Resources: limits and requests of a container, in the workload's pod template, and first in its running pods if asked.
//!
//! Without typed amounts the limits are proposed from recorded use, or not at all.

use guard_model::quantity::Quantity;
use guard_model::words;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::rails::{downtime, held, overridden};
use super::restart::{self, held as preconditions};
use super::{Making, Refusal, stateful};
use crate::facts::{Autoscaling, ContainerFact, Facts, Growth, PodFact, TargetFacts, Usage, WorkloadFacts};
use crate::plan::{Action, Amounts, GuardRail, Kind, Need, Resource, ResourceChange, Step, Target, Undo};
use crate::wish::ResourceWish;

/// Limits are proposed only from a record this long.
pub const RECORD: SignedDuration = SignedDuration::from_hours(1);

/// So much more than the most that was recorded, in percent, is proposed.
const HEADROOM: u32 = 25;

/// The container whose recorded use its new limits are made from; `None` where they were typed, or it is not clear which.
pub fn recorded_of(wish: &ResourceWish, facts: &Facts) -> Option<String> {
    let TargetFacts::Workload(workload) = &facts.target else { return None };
    if wish.limits.is_some() || wish.requests.is_some() {
        return None;
    }
    container(workload, wish.container.as_deref()).ok().map(|container| container.name.clone())
}

pub(super) fn steps(facts: &Facts, making: &mut Making<'_>) -> Result<Vec<Step>, Refusal> {
    let wish = making.wish;
    let workload = match &facts.target {
        TargetFacts::Node(node) => return Err(Refusal::OnlyNodeActions(node.target.to_string())),
        TargetFacts::Pod(pod) => return Err(Refusal::NoTemplate(pod.target.to_string())),
        TargetFacts::Workload(workload) => workload,
    };
    let target = workload.target.to_string();
    if workload.paused {
        return Err(Refusal::paused(&workload.target));
    }
    let unasked = Autoscaling::Unknown { why: "it was not asked for".into() };
    let vertical = match (&facts.vertical, making.wish.action) {
        (Some(vertical), _) => vertical,
        (None, Some(_)) => &facts.autoscaling,
        (None, None) => &unasked,
    };
    making.rails.push(autoscaler(&target, vertical)?);
    let container = container(workload, wish.resources.container.as_deref())?;
    let change = change(workload, container, &facts.usage, &wish.resources)?;
    within_limits(&target, container, &change)?;
    let covered = above_use(workload, container, &change, &facts.usage)?;
    let detail = if covered.is_empty() { "nothing becomes less" } else { "what becomes less covers what is used now" };
    making.rails.push(held("present use", detail.into()));
    // How much that is differs from tick to tick: it is told, and is no part of what is approved.
    making.advice.extend(covered);
    fits(&target, &facts.growth, making)?;
    let mut steps = if wish.resources.in_place { in_place(workload, facts, &change, making)? } else { Vec::new() };
    // Pods that are resized need nobody to replace them.
    if steps.is_empty() || workload.never_rolls().is_none() {
        restart::reaches_later(workload, "the new values", &mut making.advice);
    }
    making.advice.extend(stateful::evict_afterwards(workload, &facts.pods));
    making.rails.push(downtime(&target, restart::rollout_danger(workload, facts.ready()), wish)?);
    steps.push(template(workload, container, change));
    Ok(steps)
}

fn autoscaler(target: &str, autoscaling: &Autoscaling) -> Result<GuardRail, Refusal> {
    match autoscaling {
        Autoscaling::Vertical { name } => Err(Refusal::VerticallyScaled { target: target.into(), name: name.clone() }),
        Autoscaling::Unknown { why } => Err(Refusal::AutoscalerUnknown { target: target.into(), why: why.clone() }),
        _ => Ok(held("autoscaler", "no VerticalPodAutoscaler sets its requests".into())),
    }
}

fn container<'a>(workload: &'a WorkloadFacts, name: Option<&str>) -> Result<&'a ContainerFact, Refusal> {
    let names = || workload.containers.iter().map(|container| container.name.as_str()).collect::<Vec<_>>().join(", ");
    match (workload.containers.as_slice(), name) {
        ([one], None) => Ok(one),
        (several, Some(name)) => several
            .iter()
            .find(|container| container.name == name)
            .ok_or_else(|| Refusal::NoSuchContainer { target: workload.target.to_string(), names: names() }),
        (_, None) => Err(Refusal::WhichContainer { target: workload.target.to_string(), names: names() }),
    }
}

/// What was typed, or what the record suggests; without what is so already.
fn change(
    workload: &WorkloadFacts,
    container: &ContainerFact,
    usage: &Usage,
    wish: &ResourceWish,
) -> Result<ResourceChange, Refusal> {
    let typed = wish.limits.is_some() || wish.requests.is_some();
    let mut change = if typed {
        ResourceChange {
            container: container.name.clone(),
            limits: wish.limits.clone().unwrap_or_default(),
            requests: wish.requests.clone().unwrap_or_default(),
        }
    } else {
        recommended(workload, container, usage)?
    };
    change.limits.retain(|resource, amount| container.limits.get(resource) != amount.as_ref());
    change.requests.retain(|resource, amount| container.requests.get(resource) != amount.as_ref());
    if change.is_empty() {
        return Err(Refusal::SameResources { target: workload.target.to_string(), container: container.name.clone() });
    }
    Ok(change)
}

/// Limits with headroom over the most that was recorded; only ever higher than they are.
fn recommended(workload: &WorkloadFacts, container: &ContainerFact, usage: &Usage) -> Result<ResourceChange, Refusal> {
    let target = workload.target.to_string();
    if workload.containers.len() > 1 && usage.container.as_ref() != Some(&container.name) {
        return Err(Refusal::RecordedByPod(target));
    }
    if usage.recorded < RECORD {
        return Err(Refusal::TooLittleRecorded { target, minutes: usage.recorded.as_mins() });
    }
    let mut change = ResourceChange { container: container.name.clone(), ..ResourceChange::default() };
    for (resource, limit) in &container.limits {
        let wanted = usage.peak.get(resource).and_then(|peak| {
            peak.like(*limit).plus_percent(HEADROOM).and_then(|wanted| wanted.rounded_up(resource.finest()))
        });
        if let Some(wanted) = wanted.filter(|wanted| wanted > limit) {
            change.limits.insert(*resource, Some(wanted));
        }
    }
    if change.is_empty() { Err(Refusal::NothingToRaise { target, headroom: HEADROOM }) } else { Ok(change) }
}

/// No request is more than its limit: the API server would refuse the pods, not the template.
fn within_limits(target: &str, container: &ContainerFact, change: &ResourceChange) -> Result<(), Refusal> {
    for resource in Resource::ALL {
        let after = |named: &Amounts, have: Option<&Quantity>| named.get(&resource).copied().unwrap_or(have.copied());
        let limit = after(&change.limits, container.limits.get(&resource));
        let request = after(&change.requests, container.requests.get(&resource));
        if let (Some(limit), Some(request)) = (limit, request)
            && request > limit
        {
            return Err(Refusal::RequestOverLimit {
                target: target.into(),
                resource: resource.name(),
                request: request.to_string(),
                limit: limit.to_string(),
            });
        }
    }
    Ok(())
}

/// What becomes less stays at or above what is used now: each in words. A pod is measured as a whole, so that this errs to
/// the safe side where it has several containers.
fn above_use(
    workload: &WorkloadFacts,
    container: &ContainerFact,
    change: &ResourceChange,
    usage: &Usage,
) -> Result<Vec<String>, Refusal> {
    let target = workload.target.to_string();
    let limits = change.limits.iter().map(|named| ("limit", named, container.limits.get(named.0)));
    let requests = change.requests.iter().map(|named| ("request", named, container.requests.get(named.0)));
    let mut lowered = Vec::new();
    for (what, (resource, amount), before) in limits.chain(requests) {
        let Some(amount) = amount else { continue };
        // A limit where there was none is less; a request where there was none is more.
        if !before.map_or(what == "limit", |before| amount < before) {
            continue;
        }
        let resource_name = resource.name();
        let Some(used) = usage.now.get(resource) else {
            return Err(Refusal::UseUnknown { target, resource: resource_name });
        };
        let used_words = match resource {
            Resource::Cpu => words::cores(used.in_thousandths() as f64 / 1000.0),
            Resource::Memory => words::bytes(used.in_ones() as f64),
        };
        if amount < used {
            let whole = if workload.containers.len() > 1 { " in all its containers" } else { "" };
            let used = format!("{used_words}{whole}");
            return Err(Refusal::BelowUse { target, what, resource: resource_name, amount: amount.to_string(), used });
        }
        lowered.push(format!("{resource_name} {what} {amount} covers the {used_words} in use"));
    }
    Ok(lowered)
}

/// A pod of the new template would find a node, were that empty. A rollout that cannot end takes one pod after the other.
fn fits(target: &str, room: &Growth, making: &mut Making<'_>) -> Result<(), Refusal> {
    // Without an action of its own it is asked whether there is room for one pod more as they are.
    if making.wish.action.is_none() {
        return Ok(());
    }
    match room {
        Growth::None => {}
        Growth::Unknown { why } => {
            making
                .advice
                .push(format!("whether a node is large enough for its pods then could not be found out: {why}"));
        }
        Growth::Known { unplaced: 0, .. } => making.rails.push(held("room", "its pods fit on an empty node".into())),
        Growth::Known { why, .. } => {
            let detail = format!("its pods would fit on no node, however empty ({why})");
            if !making.wish.drain.allow_pending {
                return Err(Refusal::NoRoomToGrow { target: target.into(), detail });
            }
            making.rails.push(overridden("room", detail));
        }
    }
    Ok(())
}

/// The running pods, resized before the template: by name, so that the same facts give the same plan.
fn in_place(
    workload: &WorkloadFacts,
    facts: &Facts,
    change: &ResourceChange,
    making: &mut Making<'_>,
) -> Result<Vec<Step>, Refusal> {
    let target = &workload.target;
    if change.takes_away() {
        return Err(Refusal::NotTakenAwayInPlace(target.to_string()));
    }
    if !facts.can_resize {
        making
            .rails
            .push(overridden("in place", "this API server cannot resize pods: only the template is changed".into()));
        return Ok(Vec::new());
    }
    let mut pods: Vec<&PodFact> = facts.pods.iter().filter(|pod| !pod.deleting).collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    // It would be ended without its successor being waited for, and the status of its workload, which changes with that,
    // would make the template's version an old one.
    if let Some((pod, resource)) = pods.iter().find_map(|pod| Some((pod, pod.named(change)?.restarted_by(change)?))) {
        return Err(Refusal::RestartsInPlace { pod: pod.name.clone(), resource: resource.name() });
    }
    let steps: Vec<Step> = pods.into_iter().filter_map(|pod| resize(&target.namespace, pod, change)).collect();
    let rolls = match workload.never_rolls() {
        None => "rolls them as usual".to_owned(),
        Some(why) => format!("replaces none of them ({why})"),
    };
    making.advice.push(format!(
        "the running pods are resized without a restart where their nodes can do it; the template is changed with them, so \
         that the next rollout does not take it back, and {rolls}"
    ));
    Ok(steps)
}

/// `None` for a pod that does not run, or has the new values already.
fn resize(namespace: &str, pod: &PodFact, change: &ResourceChange) -> Option<Step> {
    let container = pod.named(change)?;
    if container.holds(change) {
        return None;
    }
    let before = container.before(change);
    Some(Step {
        action: Action::ResizePod { change: change.clone() },
        patch: json!({ "metadata": { "uid": pod.uid }, "spec": change.spec() }),
        preconditions: vec![format!("uid is {}", pod.uid)],
        before: json!({ "spec": before.spec() }),
        after: json!({ "spec": change.spec() }),
        // The right is asked for all pods at once.
        need: Need {
            verb: "patch".into(),
            group: String::new(),
            resource: "pods".into(),
            subresource: "resize".into(),
            namespace: namespace.into(),
            name: String::new(),
        },
        undo: Undo::Inverse { action: Action::ResizePod { change: before } },
        target: Target {
            kind: Kind::Pod,
            namespace: namespace.into(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            resource_version: None,
            generation: None,
        },
    })
}

fn template(workload: &WorkloadFacts, container: &ContainerFact, change: ResourceChange) -> Step {
    let target = workload.target.clone();
    let before = container.before(&change);
    let spec = |change: &ResourceChange| -> Value { json!({ "template": { "spec": change.spec() } }) };
    Step {
        patch: json!({
            "metadata": { "uid": target.uid, "resourceVersion": target.resource_version },
            "spec": spec(&change),
        }),
        preconditions: preconditions(&target),
        before: json!({ "spec": spec(&before) }),
        after: json!({ "spec": spec(&change) }),
        need: Need::patch(&target, ""),
        undo: Undo::Inverse { action: Action::SetResources { change: before } },
        action: Action::SetResources { change },
        target,
    }
}

#[cfg(test)]
mod tests;
