//! What is different for a StatefulSet, pure: its pods have an order, and by default it waits for each of them.

use jiff::Timestamp;

use super::rails::{downtime, held, overridden};
use super::{Making, Refusal, suggested};
use crate::facts::{Facts, PodFact, Rollout, TargetFacts, WorkloadFacts};
use crate::plan::{ActionKind, Evidence, Kind, TargetName};
use crate::wish::Wish;

/// The pod that no change of the template gets past: by `OrderedReady` the controller replaces none while one is not ready,
/// and that one itself is left as it is until somebody deletes it (kubernetes#67250).
fn held_up<'a>(workload: &WorkloadFacts, pods: &'a [PodFact]) -> Option<&'a PodFact> {
    let ordered = workload.stateful.is_some_and(|stateful| stateful.ordered);
    if !ordered || !matches!(workload.rollout, Rollout::Rolling { .. }) {
        return None;
    }
    pods.iter().filter(|pod| !pod.ready && !pod.deleting).min_by_key(|pod| ordinal(&pod.name))
}

/// The number at the end of its name.
fn ordinal(name: &str) -> Option<i32> {
    name.rsplit_once('-')?.1.parse().ok()
}

/// Nothing keeps a restart of all pods from beginning.
pub(super) fn not_held_up(workload: &WorkloadFacts, pods: &[PodFact]) -> Result<(), Refusal> {
    let Some(pod) = held_up(workload, pods) else { return Ok(()) };
    Err(Refusal::HeldUp {
        target: workload.target.to_string(),
        pod: name(pod).to_string(),
        namespace: workload.target.namespace.clone(),
    })
}

/// What is to be done behind a new template, which by itself would not reach a pod that is not ready. Where it reaches none, an
/// eviction brings it to none.
pub(super) fn evict_afterwards(workload: &WorkloadFacts, pods: &[PodFact]) -> Option<String> {
    let pod = name(held_up(workload, pods).filter(|_| workload.never_rolls().is_none())?);
    Some(format!(
        "{pod} is not ready, and podManagementPolicy OrderedReady waits for it: if it stays so, no pod gets the new template until \
         it is evicted afterwards: kubectl guard fix {pod} -n {} --action restart",
        workload.target.namespace
    ))
}

/// Where a StatefulSet becomes smaller: no volume goes with its pods, and a pod that stays serves, or that was accepted.
pub(super) fn scale(
    workload: &WorkloadFacts,
    pods: &[PodFact],
    replicas: i32,
    making: &mut Making<'_>,
) -> Result<(), Refusal> {
    let Some(stateful) = workload.stateful else { return Ok(()) };
    if let Some(pod) = held_up(workload, pods) {
        making.advice.push(format!("no pod comes or goes while {} is not ready (OrderedReady)", name(pod)));
    }
    if replicas >= workload.replicas {
        return Ok(());
    }
    let target = workload.target.to_string();
    making.rails.push(match lost(workload, replicas) {
        None => held("volumes", "those of the pods that go are kept".into()),
        Some(why) if making.wish.allow_volume_loss => overridden("volumes", why.into()),
        Some(why) => return Err(Refusal::VolumeLoss(target, why)),
    });
    // In order it takes no pod away before those that stay are ready; to 0 is accepted by typing it.
    if !stateful.ordered && replicas > 0 {
        let last = stateful.first.saturating_add(replicas);
        let stays = |pod: &PodFact| ordinal(&pod.name).is_some_and(|number| number < last);
        let (kept, gone): (Vec<&PodFact>, Vec<&PodFact>) =
            pods.iter().filter(|pod| pod.serves()).partition(|pod| stays(pod));
        let danger = (kept.is_empty() && !gone.is_empty()).then(|| "the pods that are ready are those that go".into());
        making.rails.push(downtime(&target, danger, making.wish)?);
    }
    Ok(())
}

/// Why the volumes of the pods that go are deleted, if they are.
pub(super) fn lost(workload: &WorkloadFacts, replicas: i32) -> Option<&'static str> {
    let deletes = workload.stateful.is_some_and(|stateful| stateful.deletes_volumes);
    (deletes && replicas < workload.replicas).then_some("persistentVolumeClaimRetentionPolicy.whenScaled is Delete")
}

/// The one pod to act on in place of its workload, where a restart is what its score suggests and would not reach it.
pub fn instead(wish: &Wish, evidence: Option<&Evidence>, facts: &Facts, now: Timestamp) -> Option<TargetName> {
    let (TargetFacts::Workload(workload), None) = (&facts.target, wish.action) else { return None };
    let evidence = evidence?;
    let pod = held_up(workload, &facts.pods)?;
    let restart = suggested(evidence, facts, now)?.action == Some(ActionKind::Restart);
    (restart && evidence.is_over(&pod.name, &pod.uid)).then(|| name(pod))
}

fn name(pod: &PodFact) -> TargetName {
    TargetName { kind: Kind::Pod, name: pod.name.clone() }
}

#[cfg(test)]
mod tests;
