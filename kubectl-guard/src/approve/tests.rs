use std::cell::RefCell;

use guard_model::cause::Cause;
use jiff::ToSpan;

use super::*;
use crate::plan::examples::{evidence, node_plan, now, plan};
use crate::plan::{ActionKind, GuardRail};

/// What makes a plan stale, and how.
type Change = (&'static str, fn(&mut Plan));

/// A person who types this answer; `None` is nobody at all.
struct Typist(Option<&'static str>, RefCell<Vec<String>>);

impl Person for Typist {
    fn is_there(&self) -> bool {
        self.0.is_some()
    }

    fn ask(&self, question: &str) -> Option<String> {
        self.1.borrow_mut().push(question.into());
        self.0.map(str::to_owned)
    }
}

fn typist(answer: &'static str) -> Typist {
    Typist(Some(answer), RefCell::default())
}

fn nobody() -> Typist {
    Typist(None, RefCell::default())
}

fn restart() -> Plan {
    plan(ActionKind::Restart)
}

const YES: Way<'_> = Way::Automatic { threshold: Some(0.9) };

#[test]
fn only_the_targets_own_name_approves() {
    for answer in ["y", "yes", "", "WEB", "web ", "deployment/web", "web-a"] {
        assert_eq!(approve(restart(), Way::Ask, now(), &typist(answer)), Err(NotApproved::Declined), "{answer:?}");
    }
    let person = typist("web");
    let approved = approve(restart(), Way::Ask, now(), &person).unwrap();
    assert_eq!(approved.approval(), &Approval::Typed { name: "web".into(), on: None });
    insta::assert_snapshot!(person.1.borrow()[0], @r"
    restart deployment/web in namespace shop of context prod (https://10.0.0.1:6443) as alice?
    Type its name (web) to approve, anything else to leave it:
    ");
}

#[test]
fn a_name_typed_on_a_screen_approves_what_was_shown_there_and_nothing_else() {
    let digest = restart().digest();
    let on_screen =
        |digest: &str, name: &str| approve(restart(), Way::Shown { digest, name, on: Screen::Tui }, now(), &nobody());
    let approved = on_screen(&digest, "web").unwrap();
    assert_eq!(approved.approval(), &Approval::Typed { name: "web".into(), on: Some(Screen::Tui) });
    assert_eq!(approved.digest(), digest);
    for name in ["y", "", "WEB", "web ", "deployment/web"] {
        assert_eq!(on_screen(&digest, name), Err(NotApproved::Declined), "{name:?}");
    }
    let other = on_screen(&plan(ActionKind::Scale).digest(), "web");
    assert!(matches!(other, Err(NotApproved::OtherDigest { .. })), "{other:?}");
    let older = r#"{"by":"typed","name":"web"}"#;
    let terminal = Approval::Typed { name: "web".into(), on: None };
    assert_eq!(serde_json::from_str::<Approval>(older).unwrap(), terminal);
    assert_eq!(serde_json::to_string(&terminal).unwrap(), older);
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let nobody = nobody();
    assert_eq!(approve(restart(), Way::Ask, now(), &nobody), Err(NotApproved::NobodyThere));
    assert!(nobody.1.borrow().is_empty());
}

#[test]
fn a_digest_must_be_the_plans_own() {
    let digest = restart().digest();
    assert_eq!(approve(restart(), Way::Digest(&digest), now(), &nobody()).unwrap().approval(), &Approval::Digest);
    for other in ["", "sha256:", &plan(ActionKind::Scale).digest()] {
        let refused = approve(restart(), Way::Digest(other), now(), &nobody());
        assert!(matches!(refused, Err(NotApproved::OtherDigest { .. })), "{other:?}");
    }
}

#[test]
fn yes_acts_on_fresh_evidence_of_the_exporter_over_its_threshold() {
    let approved = approve(restart(), YES, now(), &nobody()).unwrap();
    assert_eq!(approved.approval(), &Approval::Automatic { threshold: 0.9, score: 0.93 });
}

/// Each bound of `--yes`, broken alone.
#[test]
fn yes_is_refused_when_any_bound_is_broken() {
    let with = |change: fn(&mut Evidence)| {
        let mut plan = restart();
        change(plan.evidence.as_mut().unwrap());
        plan
    };
    let mut without = restart();
    without.evidence = None;
    let mut overridden = restart();
    overridden.guard_rails[0].state = RailState::Overridden;
    let cases = [
        ("no evidence", without, YES),
        ("an override", overridden, YES),
        ("no threshold", restart(), Way::Automatic { threshold: None }),
        ("a higher threshold", restart(), Way::Automatic { threshold: Some(0.94) }),
        ("a threshold that is no number", restart(), Way::Automatic { threshold: Some(f64::NAN) }),
        ("a score that is no number", with(|e| e.pods[0].score = Some(f64::NAN)), YES),
        ("no score", with(|e| e.pods[0].score = None), YES),
        ("under the line", with(|e| e.pods[0].state = State::Ok), YES),
        ("old evidence", with(|e| e.at = "2026-11-22T13:19:34Z".parse().unwrap()), YES),
        ("evidence from the future", with(|e| e.at = "2026-11-22T13:21:00Z".parse().unwrap()), YES),
        ("prometheus", with(|e| e.source = Source::Prometheus), YES),
        ("a recording", with(|e| e.source = Source::Recording), YES),
    ];
    for (what, plan, way) in cases {
        assert!(approve(plan, way, now(), &typist("web")).is_err(), "{what}");
    }
}

#[test]
fn scores_from_files_approve_nothing_however_it_is_tried() {
    for source in [Source::Csv, Source::Recording] {
        let mut plan = restart();
        plan.evidence.as_mut().unwrap().source = source;
        let digest = plan.digest();
        for way in [Way::Ask, Way::Digest(&digest), YES] {
            let refused = approve(plan.clone(), way, now(), &typist("web"));
            assert_eq!(refused, Err(NotApproved::DryRunOnly(source.name())));
        }
    }
}

#[test]
fn a_refusing_rail_a_second_step_and_an_expiry_end_every_way() {
    let mut paused = restart();
    paused.guard_rails.push(GuardRail { name: "pause".into(), state: RailState::Refused, detail: "freeze".into() });
    let mut two = restart();
    two.steps.push(two.steps[0].clone());
    for (plan, at) in [(paused, now()), (two, now()), (restart(), now() + 10.minutes())] {
        let digest = plan.digest();
        for way in [Way::Ask, Way::Digest(&digest), YES] {
            assert!(approve(plan.clone(), way, at, &typist("web")).is_err(), "{way:?}");
        }
    }
}

#[test]
fn whatever_changed_after_the_approval_makes_it_stale() {
    let approved = approve(restart(), Way::Ask, now(), &typist("web")).unwrap();
    assert_eq!(confirm(approved.clone(), &restart(), now()), Ok(approved.clone()));
    let changes: [Change; 6] = [
        ("deleted and made again", |p| p.steps[0].target.uid = "other".into()),
        ("has changed", |p| p.steps[0].target.generation = Some(3)),
        ("no longer over its line", |p| p.evidence.as_mut().unwrap().over = 0),
        ("now you are", |p| p.identity = "bob".into()),
        ("context now leads", |p| p.place.server = "https://elsewhere".into()),
        ("no longer what was approved", |p| p.steps[0].patch["spec"]["replicas"] = 0.into()),
    ];
    for (why, change) in changes {
        let mut again = restart();
        change(&mut again);
        let stale = confirm(approved.clone(), &again, now()).unwrap_err().to_string();
        assert!(stale.contains(why), "{stale}");
    }
    assert!(matches!(confirm(approved, &restart(), now() + 11.minutes()), Err(NotApproved::Expired(_))));
}

#[test]
fn a_change_of_the_leading_reason_is_not_stale() {
    let approved = approve(restart(), Way::Ask, now(), &typist("web")).unwrap();
    let mut again = restart();
    again.evidence = Some(evidence(Cause::Memory));
    assert!(confirm(approved, &again, now()).is_ok());
}

/// A node's heartbeats, and pods that turn ready and unready, don't make a plan stale; the write still holds a version: the
/// latest.
#[test]
fn an_object_is_written_at_the_version_of_the_last_look() {
    for (plan, name) in [(node_plan(ActionKind::Cordon), "n1"), (restart(), "web")] {
        let approved = approve(plan.clone(), Way::Ask, now(), &typist(name)).unwrap();
        let mut again = plan;
        again.steps[0].target.resource_version = Some("4712".into());
        again.steps[0].patch["metadata"]["resourceVersion"] = "4712".into();
        let confirmed = confirm(approved.clone(), &again, now()).unwrap();
        assert_eq!(confirmed.plan().steps[0].patch["metadata"]["resourceVersion"], "4712");
        assert_eq!(confirmed.digest(), approved.digest());
        again.steps[0].target.uid = "other".into();
        assert!(matches!(confirm(approved, &again, now()), Err(NotApproved::Stale(_))));
    }
}

#[test]
fn what_its_own_pods_have_moved_is_held_anew_and_what_somebody_else_changed_is_not() {
    let approved = approve(restart(), Way::Ask, now(), &typist("web")).unwrap();
    let mut latest = Latest { target: approved.plan().steps[0].target.clone(), untouched: true };
    latest.target.resource_version = Some("4712".into());
    let renewed = renew(approved.clone(), &latest).unwrap();
    assert_eq!(renewed.plan().steps[0].patch["metadata"]["resourceVersion"], "4712");
    assert_eq!(at_latest(approved.plan().clone(), &latest).as_ref(), Ok(renewed.plan()), "a dry run holds the same");
    let touched = Latest { untouched: false, ..latest.clone() };
    assert!(matches!(renew(approved.clone(), &touched), Err(NotApproved::Stale(_))));
    latest.target.generation = Some(3);
    assert!(matches!(renew(approved, &latest), Err(NotApproved::Stale(_))));
}

/// `--yes` rests on scores, and no exporter scores a node.
#[test]
fn yes_never_acts_on_a_node() {
    assert_eq!(approve(node_plan(ActionKind::Drain), YES, now(), &typist("n1")), Err(NotApproved::NeverAutomatic));
    for action in [ActionKind::Cordon, ActionKind::Uncordon] {
        assert!(matches!(approve(node_plan(action), YES, now(), &typist("n1")), Err(NotApproved::NoEvidence(_))));
    }
}

#[test]
fn a_drain_is_approved_by_the_nodes_name_and_covers_nothing_but_pods() {
    let drain = || node_plan(ActionKind::Drain);
    assert!(drain().steps.len() > 1);
    assert!(approve(drain(), Way::Ask, now(), &typist("n1")).is_ok());
    assert_eq!(approve(drain(), Way::Ask, now(), &typist("yes")), Err(NotApproved::Declined));
    let mut more = drain();
    more.steps.push(restart().steps.remove(0));
    assert!(matches!(approve(more, Way::Ask, now(), &typist("n1")), Err(NotApproved::TooMuch(_))));
}

#[test]
fn the_record_holds_the_digest_that_was_given() {
    let shown = plan(ActionKind::Scale);
    let given = shown.digest();
    let mut again = shown.clone();
    again.created += jiff::SignedDuration::from_mins(3);
    let approved = approve(again, Way::Digest(&given), now(), &nobody()).unwrap();
    assert_eq!(approved.digest(), given);
    assert_ne!(approved.plan().digest(), given);
}
