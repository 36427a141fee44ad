//! A plan that is looked at on a screen and approved there: the same requests as those of the command line, or none.

use super::*;
use crate::approve::Approval;
use crate::desk::Look;
use crate::plan::Kind;

/// Looks, lets something happen, and approves what was shown by typing this.
async fn approved(cluster: Shared, scores: Fake, typed: &str, between: impl FnOnce(&mut Cluster)) -> Run {
    let (folder, connection) = connected(&cluster).await;
    let (console, output) = capture::console(160);
    let journal = Journal::at(folder.path().join("journal.jsonl"));
    let mut session = session(&connection, &console, &journal, scores);
    let web = TargetName { kind: Kind::Deployment, name: "web".into() };
    let Look::Plan(shown) = Box::pin(session.look("shop", &web, None)).await.unwrap() else { panic!("no plan") };
    assert!(cluster.lock().unwrap().requests.is_empty(), "a look only reads");
    assert!(!journal.path().exists());
    between(&mut cluster.lock().unwrap());
    let result = Box::pin(session.carry_out_shown(&shown, typed, Screen::Dashboard)).await;
    drop(session);
    Run { result, cluster, journal, output, _folder: folder }
}

#[tokio::test]
async fn what_is_approved_on_a_screen_is_checked_recorded_written_once_and_verified() {
    // Seen three times over the line (the look, the plan made anew, the look after the approval), then well.
    let sick = (State::Anomalous, 0.93);
    for source in [plan::Source::Exporter, plan::Source::Prometheus] {
        let scores = Fake { source, ..Fake::of(&[sick, sick, sick, (State::Ok, 0.1)]) };
        let run = approved(cluster(|_| ()), scores, "web", |_| ()).await;
        assert_eq!(run.exit(), Exit::Done, "{:?} {}", run.result, run.output.err.text());
        let cluster = run.cluster.lock().unwrap();
        let [dry, real, event] = cluster.requests.as_slice() else { panic!("{:#?}", cluster.requests) };
        assert_eq!(dry.replacen("&dryRun=All", "", 1).replace("4716", "4719"), *real, "the version of the last look");
        assert!(event.starts_with(&format!("POST {EVENTS}?")), "{event}");
        assert!(cluster.agents[1].contains(" plan/"), "{:?}", cluster.agents);
        let lines = run.journal.read().unwrap();
        let Event::Intent { approval, plan, .. } = &lines[0].event else { panic!("{lines:?}") };
        let typed = Approval::Typed { name: "web".into(), on: Some(Screen::Dashboard) };
        assert_eq!((approval, plan.identity.as_str()), (&typed, "alice"));
        assert_eq!(lines[2].event, Event::Verified { outcome: Outcome::Recovered });
    }
}

/// What is in the way, in which cluster, what happens after the look, with which scores, what is typed, how it ends.
type Refused = (&'static str, fn(&mut Cluster), &'static [(State, f64)], &'static str, Exit);

#[tokio::test]
async fn every_refusal_on_a_screen_writes_nothing() {
    const SICK_ONCE: &[(State, f64)] = &[(State::Anomalous, 0.93), (State::Ok, 0.1)];
    const SICK_TWICE: &[(State, f64)] = &[(State::Anomalous, 0.93), (State::Anomalous, 0.93), (State::Ok, 0.1)];
    let cases: [Refused; 11] = [
        ("another name", |_| (), SICK, "cart", Exit::Declined),
        ("a word", |_| (), SICK, "yes", Exit::Declined),
        ("no right", |c| c.denied = true, SICK, "web", Exit::NotPermitted),
        ("paused meanwhile", |c| c.paused = true, SICK, "web", Exit::Refused),
        ("changed since it was shown", |c| c.generation += 1, SICK, "web", Exit::Stale),
        ("changed before the dry run", |c| c.changes_at_read = Some(c.reads + 2), SICK, "web", Exit::Stale),
        ("changed after the approval", |c| c.changes_at_read = Some(c.reads + 3), SICK, "web", Exit::Stale),
        ("changed right before the write", |c| c.changes_at_read = Some(c.reads + 4), SICK, "web", Exit::Stale),
        ("the score fell since it was shown", |_| (), SICK_ONCE, "web", Exit::Stale),
        ("the score fell after the approval", |_| (), SICK_TWICE, "web", Exit::Stale),
        ("a webhook", |c| c.refuses_dry_run = true, SICK, "web", Exit::Error),
    ];
    for (what, between, states, typed, exit) in cases {
        let run = approved(cluster(|_| ()), Fake::of(states), typed, between).await;
        assert_eq!(run.exit(), exit, "{what}: {:?}", run.result);
        run.wrote_nothing();
    }
}

#[tokio::test]
async fn scores_of_a_table_approve_nothing_on_a_screen() {
    let scores = Fake { source: plan::Source::Csv, ..Fake::of(SICK) };
    let refused = approved(cluster(|_| ()), scores, "web", |_| ()).await;
    assert_eq!(refused.exit(), Exit::Refused, "{:?}", refused.result);
    assert!(refused.result.as_ref().unwrap_err().to_string().contains("dry runs only"));
    refused.wrote_nothing();
}

#[tokio::test]
async fn whoever_lacks_the_right_is_told_the_missing_rule() {
    let run = approved(cluster(|_| ()), Fake::of(SICK), "web", |cluster| cluster.denied = true).await;
    let shown = run.result.as_ref().unwrap_err();
    assert_eq!(shown.to_string(), "you may not patch deployments.apps in namespace shop");
    assert!(run.cluster.lock().unwrap().requests.is_empty(), "not even a dry run");
}
