//! Rollout undo: a workload gets the pod template of an earlier revision back, field by field as it was kept.

use guard_model::cause::Cause;
use guard_model::report::State;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::rails::downtime;
use super::restart::{held, reaches_later, rollout_danger};
use super::{Making, Refusal, stateful};
use crate::facts::{Facts, Revision, Revisions, TargetFacts};
use crate::plan::{Action, ActionKind, Evidence, Need, RESTARTED_AT, Step, Undo, difference, without_nulls};
use crate::suggest::Suggestion;

/// A rollout that is older has proven itself: what goes wrong now has another cause.
const FRESH: SignedDuration = SignedDuration::from_hours(1);

/// The rollout itself is the cause: it is fresh, there is an earlier revision, every pod over its line is of the new one,
/// and they don't even start.
pub(super) fn suggestion(evidence: &Evidence, facts: &Facts, now: Timestamp) -> Option<Suggestion> {
    let Revisions::Known { current, earlier } = &facts.revisions else { return None };
    before(current, earlier)?;
    let starts = !matches!(
        evidence.reasons.first()?.cause,
        Cause::CrashLoop | Cause::ImagePull | Cause::StartFailed | Cause::NotReady | Cause::Failed
    );
    // A restart makes a revision of its own, and no rollout of anything new.
    let same = || std::iter::once(current).chain(earlier.iter().take_while(|one| is_restart(current, one)));
    let age = now.duration_since(same().last()?.created?);
    let of = |set: &str, name: &str| name.strip_prefix(set).is_some_and(|rest| rest.starts_with('-'));
    let of_current = |name: &str| same().any(|revision| of(&revision.replica_set, name));
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
        return Err(Refusal::paused(&workload.target));
    }
    reaches_later(workload, "the earlier template", &mut making.advice);
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

/// The revision before, of those that are not the current template over again.
fn before<'a>(current: &Revision, earlier: &'a [Revision]) -> Option<&'a Revision> {
    earlier.iter().find(|one| !is_restart(current, one))
}

/// Their templates differ by the time of a restart at most, which `kubectl rollout restart` writes into it: whoever rolled
/// back to such a revision would get the same again.
fn is_restart(current: &Revision, other: &Revision) -> bool {
    without_restart(&current.template) == without_restart(&other.template)
}

fn without_restart(template: &Value) -> Value {
    let mut template = template.clone();
    let metadata = template.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata
        && let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut)
    {
        annotations.remove(RESTARTED_AT);
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    template
}

/// The revision that was asked for, else the one before.
fn chosen<'a>(
    name: &str,
    current: &Revision,
    earlier: &'a [Revision],
    wanted: Option<i64>,
) -> Result<&'a Revision, Refusal> {
    let target = name.to_owned();
    let kept = || earlier.iter().map(|revision| revision.number.to_string()).collect::<Vec<_>>().join(", ");
    match wanted {
        None if earlier.is_empty() => Err(Refusal::NoEarlierRevision(target)),
        None => before(current, earlier).ok_or_else(|| Refusal::OnlyRestarts { target, kept: kept() }),
        Some(number) if number == current.number => Err(Refusal::IsAtRevision { target, number }),
        Some(number) => earlier
            .iter()
            .find(|revision| revision.number == number)
            .ok_or_else(|| Refusal::NoSuchRevision { target, number, kept: kept() }),
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
        let lines = [
            refused(&wish(None), &alone),
            refused(&wish(None), &unknown),
            refused(&wish(None), &Facts { revisions: Revisions::NotAsked, ..set.clone() }),
            refused(&wish(Some(3)), &deployment()),
            refused(&wish(Some(7)), &deployment()),
        ];
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn what_never_rolls_gets_its_template_back_for_the_pods_to_come() {
        let covered = Rollout::Rolling { max_unavailable: 1, max_surge: 0, partition: 2 };
        for (rollout, told) in [
            (
                Rollout::OnDelete,
                "those to come get the earlier template; to replace one afterwards: kubectl guard fix pod/NAME -n shop",
            ),
            (covered, "(partition 2 of 2 replicas): they get the earlier template when its partition is lowered"),
        ] {
            let mut set = Facts { revisions: revisions(), ..facts_of(Kind::StatefulSet) };
            let TargetFacts::Workload(workload) = &mut set.target else { panic!() };
            workload.rollout = rollout;
            // The last one that serves, and none is replaced.
            set.pods[1].ready = false;
            let plan = plan_of(&wish(None), &set);
            assert_eq!(plan.steps[0].action, Action::RolloutUndo { revision: 2 });
            assert!(plan.advice.iter().any(|advice| advice.contains(told)), "{:?}", plan.advice);
            let evicted = plan.advice.iter().any(|advice| advice.contains("until it is evicted afterwards"));
            assert!(!evicted, "an eviction would bring the old template again: {:?}", plan.advice);
            let rail = plan.guard_rails.iter().find(|rail| rail.name == "last ready replica").unwrap();
            assert_eq!(rail.state, crate::plan::RailState::Held);
        }
    }

    /// Revision 4, which is revision 3 and the time of a restart.
    fn restarted() -> Revisions {
        let Revisions::Known { current, mut earlier } = revisions() else { panic!() };
        let mut again = Revision { number: 4, replica_set: "web-6e5".into(), ..current.clone() };
        again.template["metadata"]["annotations"] = json!({ RESTARTED_AT: "2026-11-22T13:18:00Z" });
        again.created = Some(now() - SignedDuration::from_mins(1));
        earlier.insert(0, current);
        Revisions::Known { current: again, earlier }
    }

    #[test]
    fn a_restart_is_no_rollout_to_go_back_before() {
        let facts = Facts { revisions: restarted(), ..deployment() };
        assert_eq!(plan_of(&wish(None), &facts).steps[0].action, Action::RolloutUndo { revision: 2 });
        let suggested = |pod: &str, age: i64| {
            let mut facts = facts.clone();
            let Revisions::Known { earlier, .. } = &mut facts.revisions else { panic!() };
            earlier[0].created = Some(now() - SignedDuration::from_mins(age));
            let mut evidence = evidence(Cause::CrashLoop);
            for one in &mut evidence.pods {
                (one.name, one.state) = (pod.to_owned(), State::Anomalous);
            }
            suggestion(&evidence, &facts, now()).is_some()
        };
        assert!(suggested("web-6e5-x", 20) && suggested("web-5d4-x", 20));
        assert!(!suggested("web-4c3-x", 20), "a pod of the template before");
        assert!(!suggested("web-6e5-x", 90), "the template has run well for longer than that, the restart is younger");
    }

    #[test]
    fn where_only_restarts_lie_between_it_says_so_and_rolls_back_if_asked() {
        let Revisions::Known { current, mut earlier } = restarted() else { panic!() };
        earlier.truncate(1);
        let facts = Facts { revisions: Revisions::Known { current, earlier }, ..deployment() };
        insta::assert_snapshot!(refused(&wish(None), &facts), @"the earlier revisions that deployment/web keeps (3) differ from the present one by a restart only, so that there is nothing to go back to; --to-revision rolls back to one of them all the same");
        let step = &plan_of(&wish(Some(3)), &facts).steps[0];
        assert_eq!(step.action, Action::RolloutUndo { revision: 3 });
        assert_eq!(step.patch["spec"]["template"], json!({ "metadata": { "annotations": null } }));
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
