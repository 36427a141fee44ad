use proptest::prelude::*;

use super::*;
use crate::plan::examples::{facts, setting, workload};
use crate::plan::{ActionKind, DrainOptions, Plan};
use crate::propose::{Proposal, propose};

fn scale(replicas: i32) -> Wish {
    Wish { action: Some(ActionKind::Scale), replicas: Some(replicas), ..Wish::default() }
}

/// Deployment `web` of 2 replicas.
fn with(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = facts(TargetFacts::Workload(workload(Kind::Deployment)));
    change(&mut facts);
    facts
}

fn run(wish: &Wish, facts: &Facts) -> Result<Plan, Refusal> {
    match propose(wish, None, facts, setting())? {
        Proposal::Plan(plan) => Ok(*plan),
        other => panic!("no plan: {other:?}"),
    }
}

fn full(unplaced: usize) -> Growth {
    let why = if unplaced == 0 { "" } else { "of 3 nodes 3 without room for its requests" };
    Growth::Known { quotas: Vec::new(), unplaced, why: why.into() }
}

#[test]
fn an_autoscaler_is_named_with_the_bounds_to_change_instead() {
    let hpa = || Autoscaling::Owned { name: "auto".into(), min: 2, max: 4 };
    let keda = || Autoscaling::Keda { name: "queue".into(), min: 0, max: 100 };
    let refused = |replicas, autoscaling| {
        run(&scale(replicas), &with(|facts| facts.autoscaling = autoscaling)).unwrap_err().to_string()
    };
    let table = [
        refused(6, hpa()),
        refused(3, hpa()),
        refused(1, hpa()),
        refused(0, hpa()),
        refused(5, keda()),
        refused(1, keda()),
    ];
    insta::assert_snapshot!(table.join("\n"));
}

/// At 0 replicas an autoscaler is disabled, and nobody but a person can bring its workload back into service.
#[test]
fn a_workload_comes_back_from_zero_within_the_bounds_of_its_autoscaler() {
    let asleep = |autoscaling| {
        let mut seen = workload(Kind::Deployment);
        seen.replicas = 0;
        Facts { autoscaling, ..facts(TargetFacts::Workload(seen)) }
    };
    let hpa = |min| Autoscaling::Owned { name: "auto".into(), min, max: 4 };
    for wanted in [2, 4] {
        let plan = run(&scale(wanted), &asleep(hpa(2))).unwrap();
        assert!(plan.advice.iter().any(|line| line.contains("HorizontalPodAutoscaler auto sets")), "{:?}", plan.advice);
        assert!(matches!(plan.steps[0].undo, Undo::Irreversible { .. }), "it owns the number from then on");
    }
    for refused in [run(&scale(1), &asleep(hpa(2))), run(&scale(5), &asleep(hpa(2))), run(&scale(2), &asleep(hpa(0)))] {
        assert!(matches!(refused, Err(Refusal::Autoscaled { .. })), "{refused:?}");
    }
    let keda = Autoscaling::Keda { name: "queue".into(), min: 1, max: 4 };
    assert!(run(&scale(2), &asleep(keda)).is_err(), "KEDA wakes it by its own triggers");
}

#[test]
fn a_quota_is_refused_and_a_full_cluster_too_unless_pending_is_accepted() {
    let quotas = vec!["ResourceQuota team has 10 pods, 9 are used, and the new pods need 2".to_owned()];
    let over = with(|facts| facts.growth = Growth::Known { quotas, unplaced: 0, why: String::new() });
    let pending = Wish { drain: DrainOptions { allow_pending: true, ..DrainOptions::default() }, ..scale(4) };
    let crowded = with(|facts| facts.growth = full(1));
    let table = [
        run(&scale(4), &over).unwrap_err().to_string(),
        run(&pending, &over).unwrap_err().to_string(),
        run(&scale(4), &crowded).unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(table.join("\n"));
    let rail = |plan: Plan| plan.guard_rails.into_iter().find(|rail| rail.name == "room").map(|rail| rail.state);
    assert_eq!(rail(run(&pending, &crowded).unwrap()), Some(RailState::Overridden));
    assert_eq!(rail(run(&scale(4), &with(|facts| facts.growth = full(0))).unwrap()), Some(RailState::Held));
}

#[test]
fn what_could_not_be_found_out_is_said() {
    let unknown = with(|facts| facts.growth = Growth::Unknown { why: "you may not list nodes".into() });
    let plan = run(&scale(4), &unknown).unwrap();
    assert!(plan.advice.iter().any(|line| line.contains("you may not list nodes")), "{:?}", plan.advice);
}

proptest! {
    /// The bounds that are named hold an autoscaler at the wanted number or beyond it, and move no further than they must.
    #[test]
    fn named_bounds_bring_about_what_was_asked_for(now in 0..50_i32, wanted in 0..50_i32, min in 0..20_i32, more in 0..30_i32) {
        prop_assume!(now != wanted);
        let old = (min, min + more);
        let new = bounds(now, wanted, old);
        prop_assert!(new.0 <= new.1);
        prop_assert!(new.0 <= wanted && wanted <= new.1);
        // An autoscaler can go neither back nor further on than it could before.
        prop_assert_eq!(if wanted > now { new.0 } else { new.1 }, wanted);
        prop_assert!(new.1 == wanted || new.1 == old.1);
        prop_assert!(new.0 == wanted || new.0 == old.0);
    }

    /// Whatever the facts: nothing owned by an autoscaler, beyond a quota or without room becomes a plan unasked.
    #[test]
    fn no_scale_breaks_a_rail(
        wanted in -1..9_i32, owned in 0..4_u8, quota in any::<bool>(), unplaced in 0..3_usize, pending in any::<bool>(),
    ) {
        let facts = with(|facts| {
            facts.autoscaling = match owned {
                0 => Autoscaling::Nobody,
                1 => Autoscaling::Owned { name: "a".into(), min: 1, max: 5 },
                2 => Autoscaling::Keda { name: "a".into(), min: 0, max: 5 },
                _ => Autoscaling::Unknown { why: "down".into() },
            };
            facts.growth = match full(unplaced) {
                Growth::Known { unplaced, why, .. } if quota => Growth::Known { quotas: vec!["q".into()], unplaced, why },
                other => other,
            };
        });
        let wish = Wish { drain: DrainOptions { allow_pending: pending, ..DrainOptions::default() }, ..scale(wanted) };
        let may = owned == 0 && !quota && (unplaced == 0 || pending) && wanted >= 0 && wanted != 2;
        prop_assert_eq!(run(&wish, &facts).is_ok(), may);
    }
}
