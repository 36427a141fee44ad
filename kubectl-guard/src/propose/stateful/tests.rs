use guard_model::cause::Cause;
use guard_model::report::State;

use super::*;
use crate::facts::StatefulFacts;
use crate::plan::examples::{evidence, facts, now, plan_of, pod_target, revisions, setting, workload};
use crate::plan::{Action, RailState, Undo};
use crate::propose::{Proposal, propose};
use crate::wish::ResourceWish;

fn rolling() -> Rollout {
    Rollout::Rolling { max_unavailable: 1, max_surge: 0, partition: 0 }
}

/// StatefulSet `web` of pods `web-0`, which is ready, and `web-1`, which is not.
fn set(change: impl FnOnce(&mut WorkloadFacts)) -> Facts {
    let mut workload = WorkloadFacts { rollout: rolling(), ..workload(Kind::StatefulSet) };
    change(&mut workload);
    let mut facts = facts(TargetFacts::Workload(workload));
    for (ordinal, pod) in facts.pods.iter_mut().enumerate() {
        pod.name = format!("web-{ordinal}");
        pod.ready = ordinal == 0;
    }
    facts
}

fn parallel(workload: &mut WorkloadFacts) {
    workload.stateful = Some(StatefulFacts { ordered: false, first: 0, deletes_volumes: false });
}

/// The pod that is not ready is over its line, for this cause.
fn sick(cause: Cause, facts: &Facts) -> Evidence {
    let mut evidence = evidence(cause);
    for (seen, pod) in evidence.pods.iter_mut().zip(facts.pods.iter().rev()) {
        (seen.name, seen.uid) = (pod.name.clone(), pod.uid.clone());
    }
    evidence
}

fn wish(action: ActionKind) -> Wish {
    Wish { action: Some(action), allow_downtime: true, ..Wish::default() }
}

#[test]
fn a_restart_that_would_not_get_past_a_pod_is_refused_and_names_it() {
    let restart = |facts: &Facts| propose(&wish(ActionKind::Restart), None, facts, setting());
    assert_eq!(
        restart(&set(|_| ())).unwrap_err().to_string(),
        "statefulset/web would not replace its pods: pod/web-1 is not ready, and podManagementPolicy OrderedReady waits for \
         it; restart that one: kubectl guard fix pod/web-1 -n shop --action restart"
    );
    assert!(restart(&set(parallel)).is_ok(), "Parallel waits for nobody");
    let mut leaving = set(|_| ());
    leaving.pods[1].deleting = true;
    assert!(restart(&leaving).is_ok(), "it comes back by itself");
}

#[test]
fn of_several_pods_the_first_by_number_is_waited_for() {
    let mut facts = set(|_| ());
    facts.pods[0].name = "web-10".into();
    facts.pods[1].name = "web-9".into();
    facts.pods[0].ready = false;
    let TargetFacts::Workload(workload) = &facts.target else { panic!() };
    assert_eq!(held_up(workload, &facts.pods).unwrap().name, "web-9");
}

#[test]
fn a_new_template_says_that_the_pod_is_to_be_evicted_afterwards() {
    let advice = |wish: &Wish, facts: Facts| {
        let plan = plan_of(wish, &Facts { revisions: revisions(), ..facts });
        plan.advice.into_iter().find(|line| line.contains("OrderedReady"))
    };
    let limits = crate::plan::amounts("memory=128Mi").ok();
    let resources =
        Wish { resources: ResourceWish { limits, ..ResourceWish::default() }, ..wish(ActionKind::Resources) };
    let undo = wish(ActionKind::RolloutUndo);
    for wish in [undo, resources] {
        assert!(advice(&wish, set(|_| ())).unwrap().contains("kubectl guard fix pod/web-1 -n shop --action restart"));
        assert_eq!(advice(&wish, set(parallel)), None);
    }
}

/// What `fix` without an action comes to: the pod is acted on in place of its workload, and the way ends in its eviction.
#[test]
fn without_an_action_the_pod_that_is_waited_for_is_acted_on() {
    let facts = set(|_| ());
    let evidence = sick(Cause::NotReady, &facts);
    let turned = |wish: &Wish, evidence: &Evidence, facts: &Facts| instead(wish, Some(evidence), facts, now());
    let pod = turned(&Wish::default(), &evidence, &facts);
    assert_eq!(pod.map(|pod| pod.to_string()).as_deref(), Some("pod/web-1"));
    assert_eq!(turned(&wish(ActionKind::Restart), &evidence, &facts), None, "what was named is not turned");
    assert_eq!(turned(&Wish::default(), &evidence, &set(parallel)), None);
    assert_eq!(turned(&Wish::default(), &sick(Cause::CrashLoop, &facts), &facts), None, "a restart would not help");
    let mut tabled = Evidence { source: crate::plan::Source::Csv, ..evidence.clone() };
    tabled.pods.iter_mut().for_each(|pod| pod.uid = format!("shop/{}", pod.name));
    assert!(turned(&Wish::default(), &tabled, &facts).is_some(), "a table knows no UIDs");
    let mut well = evidence.clone();
    well.pods[0].state = State::Ok;
    assert_eq!(turned(&Wish::default(), &well, &facts), None, "it only starts");

    let mut target = pod_target();
    target.ready = false;
    target.controller = Some(("StatefulSet".into(), "web".into()));
    let of_pod = Facts { target: TargetFacts::Pod(target), ..facts };
    let Ok(Proposal::Plan(plan)) = propose(&Wish::default(), Some(evidence), &of_pod, setting()) else { panic!() };
    assert_eq!(plan.steps[0].action, Action::EvictPod);
}

/// A scale of `web`, which has two pods, with these flags.
fn scaled(replicas: i32, facts: &Facts, change: fn(&mut Wish)) -> Result<crate::plan::Plan, Refusal> {
    let mut wish = Wish { action: Some(ActionKind::Scale), replicas: Some(replicas), ..Wish::default() };
    change(&mut wish);
    match propose(&wish, None, facts, setting())? {
        Proposal::Plan(plan) => Ok(*plan),
        other => panic!("no plan: {other:?}"),
    }
}

#[test]
fn volumes_are_deleted_with_their_pods_only_where_that_was_accepted_and_never_come_back() {
    let deletes = set(|workload| {
        workload.stateful = Some(StatefulFacts { ordered: true, first: 0, deletes_volumes: true });
    });
    for smaller in [0, 1] {
        let refused = scaled(smaller, &deletes, |_| ()).unwrap_err();
        assert!(matches!(refused, Refusal::VolumeLoss(..)), "{refused:?}");
        assert!(refused.to_string().contains("--allow-volume-loss"), "{refused}");
        let plan = scaled(smaller, &deletes, |wish| wish.allow_volume_loss = true).unwrap();
        assert!(matches!(&plan.steps[0].undo, Undo::Irreversible { why } if why.contains("whenScaled is Delete")));
        assert!(plan.guard_rails.iter().any(|r| r.name == "volumes" && r.state == RailState::Overridden));
    }
    assert!(scaled(3, &deletes, |_| ()).is_ok(), "a pod more deletes nothing");
    let keeps = scaled(1, &set(|_| ()), |_| ()).unwrap();
    assert_eq!(keeps.steps[0].undo, Undo::Inverse { action: Action::Scale { replicas: 2 } });
}

#[test]
fn the_pods_that_stay_must_serve_if_any_does() {
    let facts = |change: fn(&mut WorkloadFacts), ready: [bool; 2]| {
        let mut facts = set(change);
        facts.pods.iter_mut().zip(ready).for_each(|(pod, ready)| pod.ready = ready);
        facts
    };
    let refused = scaled(1, &facts(parallel, [false, true]), |_| ()).unwrap_err();
    assert!(matches!(refused, Refusal::LastReady { .. }), "{refused:?}");
    assert!(scaled(1, &facts(parallel, [false, true]), |wish| wish.allow_downtime = true).is_ok());
    for (ready, order) in [([true, false], parallel as fn(&mut _)), ([false, false], parallel), ([false, true], |_| ())]
    {
        assert!(scaled(1, &facts(order, ready), |_| ()).is_ok(), "{ready:?}");
    }
    let waits = scaled(1, &facts(|_| (), [false, true]), |_| ()).unwrap();
    assert!(waits.advice.iter().any(|line| line.contains("while pod/web-0 is not ready")), "{:?}", waits.advice);
    let later = |workload: &mut WorkloadFacts| {
        workload.stateful = Some(StatefulFacts { ordered: false, first: 1, deletes_volumes: false });
    };
    assert!(scaled(1, &facts(later, [false, true]), |_| ()).is_ok(), "its first pod is web-1, which stays");
}
