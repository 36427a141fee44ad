//! The form of what programs are told and may say, and how far it is believed.

use guard_model::cause::{Cause, Reason};
use guard_model::report::{NodeReport, PodReport, State};
use guard_model::workload::Workload;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::approve::{NotApproved, Way, approve};
use crate::plan::examples::{Typist, now, plan};
use crate::plan::{ActionKind, Source};
use crate::rows::tests::{node, report};
use crate::run::state::{Proposer, Waiting};

const SCHEMA: &str = include_str!("../../../agent.schema.json");

/// `GUARD_BLESS=1 cargo test -p kubectl-guard` writes the file anew.
#[test]
fn the_committed_schema_is_that_of_both_sides() {
    let told = schemars::generate::SchemaSettings::default().for_serialize().into_generator();
    let told = told.into_root_schema_for::<Insight>();
    let said = schemars::schema_for!(Word);
    let both = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What kubectl guard run tells a program of agents.programs, and what it may say: one object a line",
        "$defs": { "input": alone(told), "output": alone(said) },
    });
    let made = serde_json::to_string_pretty(&both).unwrap() + "\n";
    if std::env::var_os("GUARD_BLESS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/agent.schema.json"), &made).unwrap();
    }
    assert_eq!(made, SCHEMA, "kubectl-guard/agent.schema.json is out of date");
}

/// A schema that can stand in another: its own parts are a resource of their own.
fn alone(schema: schemars::Schema) -> Value {
    let mut schema = schema.to_value();
    let title = schema["title"].as_str().unwrap_or_default().to_lowercase();
    schema["$id"] = json!(format!("urn:kubectl-guard:agent:{title}"));
    schema
}

/// Pods over their line from this second on, each of a Deployment that is named before the dash.
fn reports(second: i64, pods: &[(&str, i64)]) -> Vec<NodeReport> {
    let at = |second| crate::rows::tests::now() + jiff::SignedDuration::from_secs(second);
    let pod = |(name, since): &(&str, i64)| PodReport {
        namespace: "shop".into(),
        workload: Some(Workload::new("Deployment", name.split('-').next().unwrap())),
        since: Some(at(*since)),
        reasons: vec![Reason { cause: Cause::Memory, score: 0.9, text: "memory \u{1b}[31mgrows".into() }],
        ..report(name, Some(0.9), State::Anomalous)
    };
    vec![NodeReport { at: at(second), ..node("", pods.iter().map(pod).collect()) }]
}

fn told(told: &mut Told, book: &mut Book, reports: &[NodeReport]) -> Vec<Value> {
    book.take(reports, &[]);
    let lines = told.news(book, &proposable(reports, 0.7), "prod\n", now());
    lines.iter().map(|line| serde_json::to_value(line).unwrap()).collect()
}

#[test]
fn an_incident_is_told_when_it_begins_grows_and_ends_and_not_in_between() {
    let (mut all, mut book) = (Told::default(), Book::default());
    let mut tell = |second, pods: &[(&str, i64)]| {
        told(&mut all, &mut book, &reports(second, pods)).iter().map(|line| line["is"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(tell(0, &[("cart-1", 0)]), ["began"]);
    assert_eq!(tell(30, &[("cart-1", 0)]), [""; 0]);
    assert_eq!(tell(60, &[("cart-1", 0), ("cart-2", 60)]), ["changed"]);
    assert_eq!(tell(90, &[("cart-1", 0), ("cart-2", 60)]), [""; 0]);
    assert_eq!(tell(120, &[]), ["ended"]);
    assert_eq!(tell(150, &[]), [""; 0]);
}

#[test]
fn what_is_told_names_the_targets_and_holds_no_escape() {
    let mut lines = told(&mut Told::default(), &mut Book::default(), &reports(0, &[("cart-1", 0)]));
    insta::assert_json_snapshot!(lines.pop().unwrap());
}

fn ask(target: &str, action: ActionKind, replicas: Option<i32>) -> Ask {
    Ask { namespace: "shop".into(), target: target.into(), action, replicas, reason: "r".into() }
}

#[test]
fn a_proposal_is_about_what_is_over_its_line_and_something_that_can_be_done_to_it() {
    let targets = proposable(&reports(0, &[("cart-1", 0)]), 0.7);
    let check = |target: &str, action, replicas| ask(target, action, replicas).check(&targets);
    for (target, action, replicas) in [
        ("deployment/cart", ActionKind::Restart, None),
        ("deploy/cart", ActionKind::Scale, Some(4)),
        ("deployment/cart", ActionKind::Resources, None),
        ("pod/cart-1", ActionKind::Restart, None),
    ] {
        assert!(check(target, action, replicas).is_ok(), "{target} {action:?}");
    }
    let refused: Vec<String> = [
        ("deployment/mail", ActionKind::Restart, None),
        ("pod/cart-2", ActionKind::Restart, None),
        ("pod/cart-1", ActionKind::Scale, None),
        ("node/node1", ActionKind::Drain, None),
        ("deployment/cart", ActionKind::Cordon, None),
        ("deployment/cart", ActionKind::Restart, Some(2)),
        ("deployment/cart", ActionKind::Scale, Some(0)),
        ("secret/x", ActionKind::Restart, None),
        ("deployment/CART\u{1b}[2J", ActionKind::Restart, None),
    ]
    .into_iter()
    .map(|(target, action, replicas)| check(target, action, replicas).unwrap_err())
    .collect();
    insta::assert_snapshot!(refused.join("\n"));
    assert!(proposable(&reports(0, &[("cart-1", 0)]), 0.95).is_empty(), "below remediation.confidence_threshold");
}

/// What waits in the queue of a run rests on a table, which is evidence for nobody, and `--yes` is no word of its command.
#[test]
fn nothing_that_a_program_proposes_can_be_approved_without_a_person() {
    let mut proposed = plan(ActionKind::Restart);
    proposed.evidence.as_mut().unwrap().source = Source::Csv;
    let automatic = Way::Automatic { threshold: Some(0.0) };
    for way in [automatic, Way::Digest(&proposed.digest()), Way::Ask] {
        let answer = approve(proposed.clone(), way, now(), &Typist("web"));
        assert!(matches!(answer, Err(NotApproved::DryRunOnly(_))), "{way:?}: {answer:?}");
    }
    let by: Proposer = serde_json::from_value(json!("agent note")).unwrap();
    assert_eq!(by, Proposer::Agent("note".into()));
    let old: Waiting =
        serde_json::from_value(json!({"namespace": "shop", "target": "deployment/cart", "action": "restart",
        "score": 0.9, "reason": null, "at": "2026-11-22T14:40:00Z", "command": "kubectl guard fix"}))
        .unwrap();
    assert_eq!(old.by, Proposer::Guard, "a history of before there were programs");
}

#[tokio::test]
async fn there_is_room_for_so_many_proposals() {
    let asks = Asks::default();
    for _ in 0..MOST_ASKS {
        assert!(asks.put("a", ask("deployment/cart", ActionKind::Restart, None)));
    }
    assert!(!asks.put("a", ask("deployment/cart", ActionKind::Restart, None)));
    assert_eq!(asks.next().await.0, "a");
    assert!(asks.put("a", ask("deployment/cart", ActionKind::Restart, None)));
}

proptest! {
    #[test]
    fn any_line_is_a_word_or_refused(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(why) = Word::read(&line) {
            prop_assert!(!why.chars().any(crate::sanitise::is_forbidden), "{why:?}");
        }
    }

    #[test]
    fn a_line_that_is_nearly_a_proposal_names_what_there_is(
        kind in "note|proposal|command", target in "(deployment|pod|node)/[a-z./]{0,8}", action in "restart|scale|delete|drain",
        extra in proptest::option::of("[a-z]{1,6}"), text in "\\PC{0,40}",
    ) {
        let mut line = json!({"kind": kind, "namespace": "shop", "target": target, "action": action, "reason": text});
        if let Some(extra) = &extra {
            line[extra] = json!(1);
        }
        let targets = proposable(&reports(0, &[("cart-1", 0)]), 0.7);
        if let Ok(Word::Proposal(ask)) = Word::read(line.to_string().as_bytes()) {
            let checked = ask.check(&targets);
            prop_assert!(checked.is_err() || ["deployment/cart", "pod/cart-1"].contains(&target.as_str()));
            prop_assert!(!ask.reason().chars().any(crate::sanitise::is_forbidden));
        }
    }
}
