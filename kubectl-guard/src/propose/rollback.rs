//! Rollout undo: a workload gets the pod template of an earlier revision back, field by field as it was kept.

use guard_model::cause::Cause;
use guard_model::report::State;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::rails::downtime;
use super::restart::{held, rollout_danger, rolls};
use super::{Making, Refusal, stateful};
use crate::facts::{Facts, Revision, Revisions, TargetFacts};
use crate::plan::{Action, ActionKind, Evidence, Need, Step, Undo, difference, without_nulls};
use crate::suggest::Suggestion;

/// A rollout that is older has proven itself: what goes wrong now has another cause.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// The rollout itself is the cause: it is fresh, there is an earlier revision, every pod over its line is of the new one,
/// and they don't even start.
pub(super) fn suggestion(evidence: &Evidence, facts: &Facts, now: Timestamp) -> Option<Suggestion> {
    let Revisions::Known { current, earlier } = &facts.revisions else { return None };
    earlier.first()?;
    let starts = !matches!(
        evidence.reasons.first()?.cause,
        Cause::CrashLoop | Cause::ImagePull | Cause::StartFailed | Cause::NotReady | Cause::Failed
    );
    let age = now.duration_since(current.created?);
    let of_current = |name: &str| name.strip_prefix(&current.replica_set).is_some_and(|rest| rest.starts_with('-'));
    let mut sick = evidence.pods.iter().filter(|pod| pod.state == State::Anomalous).peekable();
    if starts || age > FRESH || sick.peek().is_none() || !sick.all(|pod| of_current(&pod.name)) {
        return None;
    }
    Some(Suggestion::act(
        ActionKind::RolloutUndo,
        "roll back",
        "its last rollout is less than an hour old, and only pods of that rollout are over their line",
    ))
}

pub(super) fn step(facts: &Facts, making: &mut Making<'_>) -> Result<Step, Refusal> {
    let name = facts.target.target().to_string();
    let TargetFacts::Workload(workload) = &facts.target else { return Err(Refusal::NoRevisions(name)) };
    let (current, earlier) = match &facts.revisions {
        Revisions::Known { current, earlier } => (current, earlier),
        Revisions::NotAsked => return Err(Refusal::NoRevisions(name)),
        Revisions::Unknown { why } => return Err(Refusal::RevisionsUnknown { target: name, why: why.clone() }),
    };
    let revision = chosen(&name, current, earlier, making.wish.to_revision)?;
    if workload.paused {
        return Err(Refusal::Paused(name));
    }
    rolls(workload, &mut making.advice)?;
    making.advice.extend(stateful::evict_afterwards(workload, &facts.pods));
    making.rails.push(downtime(&name, rollout_danger(workload, facts.ready()), making.wish)?);
    making
        .advice
        .push("ConfigMaps, Secrets and the number of replicas stay as they are: a revision is a pod template".into());
    let target = workload.target.clone();
    let template = |change: Value| json!({ "spec": { "template": change } });
    let change = difference(&current.template, &revision.template);
    let mut patch = template(change.clone());
    patch["metadata"] = json!({ "uid": target.uid, "resourceVersion": target.resource_version });
    Ok(Step {
        action: Action::RolloutUndo { revision: revision.number },
        preconditions: held(&target),
        before: template(without_nulls(&difference(&revision.template, &current.template))),
        after: template(without_nulls(&change)),
        need: Need::patch(&target, ""),
        patch,
        undo: Undo::Inverse { action: Action::RolloutUndo { revision: current.number } },
        target,
    })
}

/// The revision that was asked for, else the one before.
fn chosen<'a>(
    name: &str,
    current: &Revision,
    earlier: &'a [Revision],
    wanted: Option<i64>,
) -> Result<&'a Revision, Refusal> {
    let target = name.to_owned();
    match wanted {
        None => earlier.first().ok_or(Refusal::NoEarlierRevision(target)),
        Some(number) if number == current.number => Err(Refusal::IsAtRevision { target, number }),
        Some(number) => earlier.iter().find(|revision| revision.number == number).ok_or_else(|| {
            let kept: Vec<String> = earlier.iter().map(|revision| revision.number.to_string()).collect();
            Refusal::NoSuchRevision { target, number, kept: kept.join(", ") }
        }),
    }
}

#[cfg(test)]
mod tests {
    use guard_model::report::State;

    use super::*;
    use crate::facts::Rollout;
    use crate::plan::Kind;
    use crate::plan::examples::{evidence, facts, now, plan_of, revisions, setting, workload};
    use crate::propose::{Proposal, propose};
    use crate::wish::Wish;

    fn deployment() -> Facts {
        Facts { revisions: revisions(), ..facts(TargetFacts::Workload(workload(Kind::Deployment))) }
    }

    fn wish(to_revision: Option<i64>) -> Wish {
        Wish { action: Some(ActionKind::RolloutUndo), to_revision, ..Wish::default() }
    }

    fn refused(wish: &Wish, facts: &Facts) -> String {
        propose(wish, None, facts, setting()).unwrap_err().to_string()
    }

    #[test]
    fn the_template_before_comes_back_field_by_field() {
        insta::assert_snapshot!(crate::plan::render(&plan_of(&wish(None), &deployment()), &[]));
        let older = plan_of(&wish(Some(1)), &deployment());
        assert_eq!(older.steps[0].action, Action::RolloutUndo { revision: 1 });
        assert_eq!(older.steps[0].undo, Undo::Inverse { action: Action::RolloutUndo { revision: 3 } });
    }

    #[test]
    fn each_refusal_names_what_is_missing() {
        let facts = |revisions| Facts { revisions, ..deployment() };
        let Revisions::Known { current, .. } = revisions() else { panic!() };
        let alone = facts(Revisions::Known { current, earlier: vec![] });
        let unknown = facts(Revisions::Unknown { why: "you may not list replicasets".into() });
        let set = Facts { revisions: revisions(), ..facts_of(Kind::StatefulSet) };
        let strategy = |rollout| {
            let mut set = set.clone();
            let TargetFacts::Workload(workload) = &mut set.target else { panic!() };
            workload.rollout = rollout;
            set
        };
        let held_back = strategy(Rollout::Rolling { max_unavailable: 1, max_surge: 0, partition: 2 });
        let lines = [
            refused(&wish(None), &alone),
            refused(&wish(None), &unknown),
            refused(&wish(None), &strategy(Rollout::OnDelete)),
            refused(&wish(None), &held_back),
            refused(&wish(None), &Facts { revisions: Revisions::NotAsked, ..set.clone() }),
            refused(&wish(Some(3)), &deployment()),
            refused(&wish(Some(7)), &deployment()),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_stateful_set_rolls_back_from_its_partition_on_and_says_so() {
        let mut set = Facts { revisions: revisions(), ..facts_of(Kind::StatefulSet) };
        let TargetFacts::Workload(workload) = &mut set.target else { panic!() };
        workload.rollout = Rollout::Rolling { max_unavailable: 1, max_surge: 0, partition: 1 };
        let plan = plan_of(&wish(None), &set);
        assert_eq!(plan.steps[0].action, Action::RolloutUndo { revision: 2 });
        assert!(plan.advice.iter().any(|advice| advice.contains("only pods from ordinal 1 on")), "{:?}", plan.advice);
        let both = Wish { action: None, ..wish(None) };
        let proposed = propose(&both, Some(evidence(Cause::ImagePull)), &set, setting());
        assert!(matches!(proposed, Ok(Proposal::NothingHelps { .. })), "it is never suggested by itself: {proposed:?}");
    }

    fn facts_of(kind: Kind) -> Facts {
        facts(TargetFacts::Workload(workload(kind)))
    }

    #[test]
    fn a_bad_rollout_is_proposed_to_be_taken_back_and_nothing_else_is() {
        let proposed = |cause, change: &dyn Fn(&mut Evidence, &mut Facts)| {
            let (mut evidence, mut facts) = (evidence(cause), deployment());
            for pod in &mut evidence.pods {
                pod.name = "web-5d4-x".into();
                pod.state = State::Anomalous;
            }
            change(&mut evidence, &mut facts);
            match propose(&Wish::default(), Some(evidence), &facts, setting()) {
                Ok(Proposal::Plan(plan)) => Some(plan.steps[0].action.kind()),
                _ => None,
            }
        };
        let back = Some(ActionKind::RolloutUndo);
        assert_eq!(proposed(Cause::ImagePull, &|_, _| ()), back);
        assert_eq!(proposed(Cause::CrashLoop, &|_, _| ()), back);
        assert_eq!(proposed(Cause::Memory, &|_, _| ()), Some(ActionKind::Restart), "it starts and serves");
        assert_eq!(proposed(Cause::CrashLoop, &|evidence, _| evidence.pods[0].name = "web-old-x".into()), None);
        let old = |_: &mut Evidence, facts: &mut Facts| {
            let Revisions::Known { current, .. } = &mut facts.revisions else { panic!() };
            current.created = Some(now() - SignedDuration::from_hours(2));
        };
        assert_eq!(proposed(Cause::CrashLoop, &old), None, "it has run well for long");
        let first = |_: &mut Evidence, facts: &mut Facts| {
            let Revisions::Known { earlier, .. } = &mut facts.revisions else { panic!() };
            earlier.clear();
        };
        assert_eq!(proposed(Cause::CrashLoop, &first), None, "there is nothing to go back to");
    }
}
