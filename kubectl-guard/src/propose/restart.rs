//! Restart: a workload by kubectl's annotation on its pod template, a single pod by eviction.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::rails::downtime;
use super::{Making, Refusal, stateful};
use crate::facts::{Facts, PodTarget, Rollout, TargetFacts, WorkloadFacts};
use crate::plan::{Action, Kind, Need, RESTARTED_AT, Step, Target, Undo};

pub(super) fn step(facts: &Facts, making: &mut Making<'_>) -> Result<Step, Refusal> {
    match &facts.target {
        TargetFacts::Node(node) => Err(Refusal::OnlyNodeActions(node.target.to_string())),
        TargetFacts::Workload(workload) => {
            let name = workload.target.to_string();
            if workload.paused {
                return Err(Refusal::paused(&workload.target));
            }
            rolls(workload, &mut making.advice)?;
            stateful::not_held_up(workload, &facts.pods)?;
            making.rails.push(downtime(&name, rollout_danger(workload, facts.ready()), making.wish)?);
            roll(workload, making.now)
        }
        TargetFacts::Pod(pod) => {
            let name = pod.target.to_string();
            replaceable(pod, &name)?;
            making.advice.extend(comes_back(pod));
            making.rails.push(downtime(&name, eviction_danger(pod, facts), making.wish)?);
            Ok(evict(&pod.target))
        }
    }
}

/// A template change must reach the pods.
pub(super) fn rolls(workload: &WorkloadFacts, advice: &mut Vec<String>) -> Result<(), Refusal> {
    if let Some(why) = workload.never_rolls() {
        let (target, namespace) = (workload.target.to_string(), workload.target.namespace.clone());
        return Err(Refusal::WouldNotRoll { target, why, namespace });
    }
    if let Rollout::Rolling { partition: partition @ 1.., .. } = workload.rollout {
        advice.push(format!("partition {partition}: only pods from ordinal {partition} on are restarted"));
    }
    Ok(())
}

/// A template that is changed for its own sake is also for the pods to come: what never replaces its pods by itself takes it
/// all the same, as it does from kubectl.
pub(super) fn reaches_later(workload: &WorkloadFacts, gets: &str, advice: &mut Vec<String>) {
    let Err(Refusal::WouldNotRoll { target, why, namespace }) = rolls(workload, advice) else { return };
    let when = match workload.rollout {
        Rollout::OnDelete => format!(
            "those to come get {gets}; to replace one afterwards: kubectl guard fix pod/NAME -n {namespace} --action restart"
        ),
        // Below the partition even a pod that is replaced gets the old template again.
        Rollout::Rolling { .. } | Rollout::Recreate => format!("they get {gets} when its partition is lowered"),
    };
    advice.push(format!("{target} does not replace its pods by itself ({why}): {when}"));
}

/// Why a rollout would leave nothing serving, if it would. Where nothing serves, nothing can be lost, and where nothing rolls
/// neither.
pub(super) fn rollout_danger(workload: &WorkloadFacts, ready: usize) -> Option<String> {
    if ready == 0 || workload.never_rolls().is_some() {
        return None;
    }
    match workload.rollout {
        Rollout::OnDelete => None,
        Rollout::Recreate => Some("strategy Recreate ends all pods before it starts new ones".into()),
        // A Deployment keeps replicas - maxUnavailable available, however many of them are healthy now.
        Rollout::Rolling { max_unavailable, .. } if workload.target.kind == Kind::Deployment => {
            (workload.replicas - max_unavailable < 1)
                .then(|| format!("maxUnavailable is {max_unavailable} of {} replicas", workload.replicas))
        }
        // The others end a pod before they start its successor, unless a DaemonSet surges.
        Rollout::Rolling { max_unavailable, max_surge, .. } => (max_surge == 0
            && i32::try_from(ready).unwrap_or(i32::MAX) <= max_unavailable)
            .then(|| format!("{ready} ready, up to {max_unavailable} restarted at once, none started before")),
    }
}

fn eviction_danger(pod: &PodTarget, facts: &Facts) -> Option<String> {
    let others = facts.pods.iter().filter(|other| other.uid != pod.target.uid && other.serves()).count();
    (pod.ready && others == 0).then(|| "it is the only ready pod of its controller".into())
}

/// With which template it comes back, where that may be another.
fn comes_back(pod: &PodTarget) -> Option<String> {
    match pod.outdated {
        Some(false) => None,
        Some(true) => Some(
            "it comes back with the newer template of its controller, which waits for that (update strategy OnDelete)"
                .into(),
        ),
        None => Some("its controller cannot be read: whether it comes back with a newer template is not known".into()),
    }
}

fn replaceable(pod: &PodTarget, name: &str) -> Result<(), Refusal> {
    if pod.mirror {
        return Err(Refusal::Mirror(name.into()));
    }
    if pod.deleting {
        return Err(Refusal::Deleting(name.into()));
    }
    match pod.controller.as_ref().map(|(kind, _)| kind.as_str()) {
        None => Err(Refusal::Bare(name.into())),
        // A static pod without the mirror annotation still has its node as controller.
        Some("Node") => Err(Refusal::Mirror(name.into())),
        Some("Job") => Err(Refusal::JobPod(name.into())),
        Some(_) if pod.runs_once => Err(Refusal::RunsOnce(name.into())),
        Some(_) => Ok(()),
    }
}

fn roll(workload: &WorkloadFacts, now: Timestamp) -> Result<Step, Refusal> {
    let target = workload.target.clone();
    // Seconds, as kubectl writes it.
    let time = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    if workload.restarted_at.as_ref() == Some(&time) {
        return Err(Refusal::JustRestarted(target.to_string()));
    }
    let template = |time: &str| json!({ "template": { "metadata": { "annotations": { RESTARTED_AT: time } } } });
    let patch = json!({
        "metadata": { "uid": target.uid, "resourceVersion": target.resource_version },
        "spec": template(&time),
    });
    Ok(Step {
        action: Action::RolloutRestart,
        preconditions: held(&target),
        before: workload.restarted_at.as_deref().map_or(Value::Null, |time| json!({ "spec": template(time) })),
        after: json!({ "spec": template(&time) }),
        need: Need::patch(&target, ""),
        patch,
        undo: Undo::Irreversible { why: "pods that have ended cannot be brought back".into() },
        target,
    })
}

/// kube's own `Api::evict` writes `delete_options`, which the API server drops together with its preconditions: the body
/// is made here.
pub(super) fn evict(target: &Target) -> Step {
    Step {
        action: Action::EvictPod,
        patch: json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": target.name, "namespace": target.namespace },
            "deleteOptions": { "preconditions": { "uid": target.uid } },
        }),
        preconditions: vec![format!("uid is {}", target.uid), "its disruption budget allows it".into()],
        before: json!({ "pod": { "name": target.name, "uid": target.uid } }),
        after: json!({ "pod": "evicted; its controller makes another" }),
        need: Need {
            verb: "create".into(),
            group: String::new(),
            resource: "pods".into(),
            subresource: "eviction".into(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
        },
        undo: Undo::Irreversible { why: "a pod that has ended cannot be brought back".into() },
        target: target.clone(),
    }
}

/// The preconditions of a patch that carries UID and resourceVersion. The version of a workload moves with the status of its
/// pods: it is read again right before the write, and held then.
pub(super) fn held(target: &Target) -> Vec<String> {
    let version = match target.generation {
        Some(generation) => Some(format!("generation is {generation}")),
        None => target.resource_version.as_ref().map(|version| format!("resourceVersion is {version}")),
    };
    [format!("uid is {}", target.uid)].into_iter().chain(version).collect()
}
