use jiff::ToSpan;

use super::examples::{evidence, node_plan, now, plan};
use super::*;
use guard_model::cause::Cause;

#[test]
fn a_restart_is_shown_with_place_reason_and_diff() {
    insta::assert_snapshot!(render(&plan(ActionKind::Restart), &[Verdict::Allowed]));
}

#[test]
fn a_scale_that_the_user_may_not_do_says_so() {
    let denied = Verdict::Denied("no RBAC policy matched".into());
    insta::assert_snapshot!(render(&plan(ActionKind::Scale), &[denied]));
}

#[test]
fn a_cordon_and_its_undoing_are_shown_with_the_signature_on_the_node() {
    insta::assert_snapshot!(render(&node_plan(ActionKind::Cordon), &[Verdict::Allowed]));
    insta::assert_snapshot!(render(&node_plan(ActionKind::Uncordon), &[Verdict::Allowed]));
}

#[test]
fn a_drain_is_shown_with_one_line_a_pod() {
    insta::assert_snapshot!(render(&node_plan(ActionKind::Drain), &[Verdict::Allowed, Verdict::Allowed]));
}

#[test]
fn the_heartbeats_of_a_node_leave_the_digest_as_it_is_and_another_node_does_not() {
    let original = node_plan(ActionKind::Cordon);
    let mut later = original.clone();
    later.steps[0].target.resource_version = Some("4712".into());
    later.steps[0].patch["metadata"]["resourceVersion"] = "4712".into();
    later.steps[0].patch["metadata"]["annotations"][CORDONED] = "another id and time".into();
    later.steps[0].after["metadata"]["annotations"][CORDONED] = "another id and time".into();
    assert_eq!(later.digest(), original.digest());
    later.steps[0].target.uid.push('x');
    assert_ne!(later.digest(), original.digest());
    assert_ne!(node_plan(ActionKind::Uncordon).digest(), original.digest());
}

#[test]
fn the_same_plan_made_later_answers_to_an_approval_of_ten_minutes_at_most() {
    let approved = plan(ActionKind::Restart).digest();
    let remade = |minutes: i64| {
        let made = plan(ActionKind::Restart);
        Plan::new(
            now() + minutes.minutes(),
            made.place,
            made.identity,
            made.evidence,
            made.steps,
            made.guard_rails,
            made.advice,
        )
    };
    assert!(remade(0).answers_to(&approved));
    assert!(remade(9).answers_to(&approved));
    assert!(!remade(10).answers_to(&approved));
    assert!(!remade(-1).answers_to(&approved), "an approval from the future");
}

/// What would be done otherwise, and how.
type Change = (&'static str, fn(&mut Plan));

#[test]
fn whatever_would_be_written_elsewhere_or_otherwise_has_another_digest() {
    let original = plan(ActionKind::Restart);
    let digest = original.digest();
    let changes: [Change; 8] = [
        ("context", |p| p.place.context.push('x')),
        ("server", |p| p.place.server.push('x')),
        ("identity", |p| p.identity.push('x')),
        ("uid", |p| p.steps[0].target.uid.push('x')),
        ("generation", |p| p.steps[0].target.generation = Some(3)),
        ("patch", |p| p.steps[0].patch["spec"]["replicas"] = 9.into()),
        ("a second step", |p| p.steps.push(p.steps[0].clone())),
        ("a guard rail", |p| p.guard_rails[0].state = RailState::Overridden),
    ];
    for (what, change) in changes {
        let mut other = original.clone();
        change(&mut other);
        assert_ne!(other.digest(), digest, "{what}");
    }
}

#[test]
fn a_score_that_moved_and_the_seconds_of_a_restart_leave_the_digest_as_it_is() {
    let original = plan(ActionKind::Restart);
    let mut moved = original.clone();
    moved.evidence = Some(evidence(Cause::Memory));
    let step = &mut moved.steps[0];
    for part in [&mut step.patch, &mut step.after] {
        part["spec"]["template"]["metadata"]["annotations"][RESTARTED_AT] = "2026-11-22T13:20:59Z".into();
    }
    assert_eq!(moved.digest(), original.digest());
}

#[test]
fn reads_back_the_json_it_writes() {
    let original = plan(ActionKind::Scale);
    let json = serde_json::to_string(&original).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), original);
}
