use guard_model::cause::Cause;
use proptest::prelude::*;

use super::*;
use crate::facts::{Growth, Rollout};
use crate::plan::examples::{container, evidence, facts, pod_target, setting, workload};
use crate::plan::{ActionKind, Plan, RailState, amounts, render};
use crate::propose::{Proposal, propose};
use crate::wish::ResourceWish;
use crate::wish::Wish;

fn wish(change: impl FnOnce(&mut ResourceWish)) -> Wish {
    let mut wish = Wish { action: Some(ActionKind::Resources), ..Wish::default() };
    change(&mut wish.resources);
    wish
}

fn limits(text: &str) -> Wish {
    wish(|wish| wish.limits = Some(amounts(text).unwrap()))
}

/// A pod uses 150m and 60Mi; an hour was recorded, with a peak of 190m and 90Mi.
fn seen(change: impl FnOnce(&mut WorkloadFacts)) -> Facts {
    let given =
        |cpu, memory| [(Resource::Cpu, Quantity::thousandths(cpu)), (Resource::Memory, Quantity::bytes(memory))];
    let mut workload = workload(Kind::Deployment);
    change(&mut workload);
    let mut facts = facts(TargetFacts::Workload(workload));
    facts.usage = Usage {
        now: given(150, 60 << 20).into(),
        peak: given(190, 90 << 20).into(),
        recorded: RECORD,
        container: None,
    };
    facts.can_resize = true;
    facts
}

fn run(wish: &Wish, facts: &Facts) -> Result<Plan, Refusal> {
    match propose(wish, Some(evidence(Cause::MemoryNearLimit)), facts, setting())? {
        Proposal::Plan(plan) => Ok(*plan),
        other => panic!("no plan: {other:?}"),
    }
}

fn refused(wish: &Wish, facts: &Facts) -> String {
    run(wish, facts).unwrap_err().to_string()
}

#[test]
fn limits_change_in_the_template_with_a_diff_and_can_be_undone() {
    let wish = wish(|wish| {
        wish.limits = amounts("memory=1.5Gi,cpu=0").ok();
        wish.requests = amounts("memory=64Mi").ok();
    });
    insta::assert_snapshot!(render(&run(&wish, &seen(|_| ())).unwrap(), &[]));
}

/// The last pod of a StatefulSet is ended first, and its successor would wait for ever.
#[test]
fn what_no_node_could_ever_hold_is_refused_unless_that_is_accepted() {
    let why = || "of 3 nodes 3 without room for its requests".to_owned();
    let room_for = |unplaced| {
        let mut facts = seen(|_| ());
        facts.growth = Growth::Known { quotas: Vec::new(), unplaced, why: why() };
        facts
    };
    let wish = limits("memory=64Gi");
    let told = refused(&wish, &room_for(1));
    assert!(told.contains("fit on no node, however empty (of 3 nodes") && told.contains("--allow-pending"), "{told}");
    let mut accepted = wish.clone();
    accepted.drain.allow_pending = true;
    let rail = |plan: Plan| plan.guard_rails.into_iter().find(|rail| rail.name == "room").map(|rail| rail.state);
    assert_eq!(rail(run(&accepted, &room_for(1)).unwrap()), Some(RailState::Overridden));
    assert_eq!(rail(run(&wish, &room_for(0)).unwrap()), Some(RailState::Held));
    let mut unknown = seen(|_| ());
    unknown.growth = Growth::Unknown { why: "you may not list nodes".into() };
    assert!(run(&wish, &unknown).unwrap().advice.iter().any(|line| line.contains("you may not list nodes")));
}

#[test]
fn in_place_the_pods_come_first_and_the_template_last() {
    let mut facts = seen(|_| ());
    facts.pods.reverse();
    let wish = wish(|wish| {
        wish.limits = amounts("memory=128Mi").ok();
        wish.in_place = true;
    });
    let plan = run(&wish, &facts).unwrap();
    insta::assert_snapshot!(render(&plan, &[]));
    assert_eq!(plan.target().unwrap().to_string(), "deployment/web", "the plan is about the workload");

    facts.can_resize = false;
    let plan = run(&wish, &facts).unwrap();
    assert_eq!(plan.steps.len(), 1, "only the template");
    assert!(plan.guard_rails.iter().any(|rail| rail.name == "in place" && rail.detail.contains("cannot resize")));
}

/// Of a pod with several containers only a record of the container itself says what it needs.
#[test]
fn the_record_of_a_container_counts_and_that_of_a_whole_pod_does_not() {
    let two = || seen(|workload| workload.containers.push(container("side")));
    let of_web = wish(|wish| wish.container = Some("web".into()));
    assert!(refused(&of_web, &two()).contains("is recorded by pod"));
    let recorded = |container: &str, minutes| {
        let mut facts = two();
        facts.usage.container = Some(container.into());
        facts.usage.recorded = SignedDuration::from_mins(minutes);
        facts
    };
    let plan = run(&of_web, &recorded("web", 60)).unwrap();
    assert!(matches!(&plan.steps[0].action, Action::SetResources { change } if change.container == "web"));
    assert!(refused(&of_web, &recorded("side", 60)).contains("is recorded by pod"));
    assert!(refused(&of_web, &recorded("web", 59)).contains("at least 60 minutes of recorded use"));
    assert_eq!(recorded_of(&of_web.resources, &two()).as_deref(), Some("web"));
    assert_eq!(recorded_of(&wish(|_| ()).resources, &two()), None, "which?");
    assert_eq!(recorded_of(&limits("memory=1Gi").resources, &two()), None, "it was typed");
}

#[test]
fn a_pod_that_has_the_values_already_or_does_not_run_is_not_resized() {
    let mut facts = seen(|_| ());
    facts.pods[0].containers[0].limits.insert(Resource::Memory, Quantity::bytes(128 << 20));
    facts.pods[1].containers.clear();
    let wish = wish(|wish| {
        wish.limits = amounts("memory=128Mi").ok();
        wish.in_place = true;
    });
    assert_eq!(run(&wish, &facts).unwrap().steps.len(), 1);
}

#[test]
fn a_resize_that_would_restart_a_container_is_left_to_the_rollout() {
    let mut facts = seen(|_| ());
    facts.pods[1].containers[0].restarts = [Resource::Memory].into();
    let in_place =
        |text: &str, facts: &Facts| run(&wish(|wish| (wish.limits, wish.in_place) = (amounts(text).ok(), true)), facts);
    let refused = in_place("memory=128Mi", &facts).unwrap_err().to_string();
    assert!(refused.contains("pod/web-b") && refused.contains("leave --in-place out"), "{refused}");
    assert!(run(&limits("memory=128Mi"), &facts).is_ok(), "the rollout waits for each pod");
    assert_eq!(in_place("cpu=300m", &facts).unwrap().steps.len(), 3, "it is not restarted for CPU");
    facts.pods[1].containers[0].limits.insert(Resource::Memory, Quantity::bytes(128 << 20));
    assert_eq!(in_place("memory=128Mi", &facts).unwrap().steps.len(), 2, "that pod has it already");
    facts.pods[0].containers[0].restarts = [Resource::Memory].into();
    facts.can_resize = false;
    assert_eq!(in_place("memory=128Mi", &facts).unwrap().steps.len(), 1, "nothing is resized in place");
}

#[test]
fn without_amounts_limits_are_raised_to_recorded_use_with_headroom() {
    let plan = run(&wish(|_| ()), &seen(|_| ())).unwrap();
    // 190m and 25 % are 237.5m; 90Mi and 25 % are 112.5Mi.
    assert_eq!(plan.steps[0].action.phrase(), "set limits cpu=238m,memory=113Mi of container web");
}

#[test]
fn what_speaks_against_it_is_said_with_the_way_out() {
    let two = |w: &mut WorkloadFacts| w.containers = vec![container("web"), container("log")];
    let with = |change: fn(&mut Facts)| {
        let mut facts = seen(|_| ());
        change(&mut facts);
        facts
    };
    let roomy = |w: &mut WorkloadFacts| {
        w.containers[0].limits = [(Resource::Memory, Quantity::bytes(1 << 30))].into();
    };
    let named = |text: &str, name: &str| Wish {
        resources: ResourceWish { container: Some(name.into()), ..limits(text).resources },
        ..limits(text)
    };
    let cases = [
        refused(&limits("memory=50Mi"), &seen(|_| ())),
        refused(&limits("cpu=100m"), &seen(|_| ())),
        refused(&named("memory=50Mi", "log"), &seen(two)),
        refused(&limits("memory=90Mi"), &with(|facts| facts.usage.now.clear())),
        refused(&wish(|wish| wish.requests = amounts("memory=16Mi").ok()), &seen(|_| ())),
        refused(&wish(|wish| wish.requests = amounts("memory=1Gi").ok()), &seen(|_| ())),
        refused(&limits("memory=96Mi"), &seen(|_| ())),
        refused(&limits("memory=1Gi"), &seen(two)),
        refused(&named("memory=1Gi", "logs"), &seen(two)),
        refused(&wish(|wish| wish.container = Some("web".into())), &seen(two)),
        refused(&wish(|_| ()), &with(|facts| facts.usage.recorded = SignedDuration::from_mins(10))),
        refused(&wish(|_| ()), &seen(roomy)),
        refused(&limits("memory=1Gi"), &seen(|w| w.paused = true)),
        refused(
            &limits("memory=1Gi"),
            &with(|facts| facts.autoscaling = Autoscaling::Vertical { name: "auto".into() }),
        ),
        refused(&limits("memory=1Gi"), &with(|facts| facts.autoscaling = Autoscaling::Unknown { why: "down".into() })),
        refused(&limits("memory=1Gi"), &facts(TargetFacts::Pod(pod_target()))),
        refused(&limits("memory=1Gi"), &seen(|w| w.rollout = Rollout::Recreate)),
        refused(&Wish { action: Some(ActionKind::Restart), ..limits("memory=1Gi") }, &seen(|_| ())),
        refused(
            &wish(|wish| {
                wish.limits = amounts("memory=0").ok();
                wish.in_place = true;
            }),
            &seen(|_| ()),
        ),
    ];
    insta::assert_snapshot!(cases.join("\n"));
}

#[test]
fn what_never_rolls_takes_the_template_for_its_next_pods_and_says_so() {
    let mut facts = seen(|w| w.rollout = Rollout::OnDelete);
    if let TargetFacts::Workload(workload) = &mut facts.target {
        workload.target.kind = Kind::StatefulSet;
    }
    let plan = run(&limits("memory=128Mi"), &facts).unwrap();
    assert!(plan.advice.iter().any(|line| line.contains("OnDelete")), "{:?}", plan.advice);

    let mut in_place = limits("memory=128Mi");
    in_place.resources.in_place = true;
    let plan = run(&in_place, &Facts { can_resize: true, ..facts }).unwrap();
    assert!(plan.steps.len() > 1, "its pods are resized");
    insta::assert_snapshot!(plan.advice.join("\n"), @"
    a restart comes before the kernel's kill; if it climbs again, find the leak or raise the memory limit: --action resources --limits memory=N
    the running pods are resized without a restart where their nodes can do it; the template is changed with them, so that the next rollout does not take it back, and replaces none of them (update strategy OnDelete)
    ");
}

/// What is used differs from tick to tick: it must not make an approved plan another one.
#[test]
fn how_much_is_used_is_told_and_no_part_of_what_is_approved() {
    let with = |memory: u64| {
        let mut facts = seen(|_| ());
        facts.usage.now.insert(Resource::Memory, Quantity::bytes(memory << 20));
        run(&limits("memory=64Mi"), &facts).unwrap()
    };
    let (less, more) = (with(20), with(30));
    assert_ne!(less.advice, more.advice);
    assert_eq!(less.digest(), more.digest());
}

proptest! {
    /// Whatever is typed: nothing becomes less than is used, no request passes its limit, and nothing is left unchanged.
    #[test]
    fn no_plan_starves_a_container(
        limit in proptest::option::of(0..400_u64), request in proptest::option::of(0..400_u64), in_place in any::<bool>(),
        known in any::<bool>(), recorded in 0..120_i64, used in 1..200_u64,
    ) {
        let mib = |amount: u64| Some(Quantity::bytes(amount << 20)).filter(|amount| amount.is_positive());
        let typed = |amount: Option<u64>| amount.map(|amount| [(Resource::Memory, mib(amount))].into());
        let wish = wish(|wish| *wish = ResourceWish { container: None, limits: typed(limit), requests: typed(request), in_place });
        let mut facts = seen(|_| ());
        facts.usage.recorded = SignedDuration::from_mins(recorded);
        facts.usage.now = if known { [(Resource::Memory, Quantity::bytes(used << 20))].into() } else { [].into() };
        if let Ok(plan) = run(&wish, &facts) {
            let Action::SetResources { change } = &plan.lead().unwrap().action else { panic!("{plan:?}") };
            let before = container("web");
            prop_assert!(!before.holds(change));
            let (limit, request) = (change.limits.get(&Resource::Memory), change.requests.get(&Resource::Memory));
            if let Some(Some(limit)) = limit {
                let lower = *limit < before.limits[&Resource::Memory];
                prop_assert!(!lower || known && *limit >= Quantity::bytes(used << 20));
                prop_assert!(wish.resources.limits.is_some() || recorded >= 60);
            }
            let limit = limit.copied().unwrap_or(Some(before.limits[&Resource::Memory]));
            let request = request.copied().unwrap_or(Some(before.requests[&Resource::Memory]));
            prop_assert!(limit.zip(request).is_none_or(|(limit, request)| request <= limit));
            prop_assert!(plan.steps.iter().all(|step| !in_place || !change.takes_away() || step.target.kind != Kind::Pod));
        }
    }
}
