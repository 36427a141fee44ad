//! What becomes of a node whose drain ended half-way.

use super::*;
use crate::approve::{Way, approve};
use crate::plan::examples::{Typist, drain_plan, node_plan, now};
use crate::plan::{Plan, Verdict};

/// A drain of node n1 of this cluster, which found it cordoned.
fn found_cordoned(connection: &Connection) -> Plan {
    let mut plan = drain_plan(DrainOptions::default());
    plan.place.server.clone_from(&connection.server);
    plan.steps[0].before = json!({ "spec": { "unschedulable": true } });
    plan
}

/// What is said at the end of `--abort` of such a drain, whose node is as this cluster has it.
async fn aborted(cluster: Shared) -> String {
    let (folder, connection) = connected(&cluster).await;
    let (console, output) = capture::console(160);
    let journal = Journal::at(folder.path().join("journal.jsonl"));
    let approved = approve(found_cordoned(&connection), Way::Ask, now(), &Typist("n1")).unwrap();
    let id = approved.plan().id.clone();
    journal.append(now(), &id, Event::intent(&approved, None)).unwrap();
    let done = StepOutcome::Done { generation: None };
    journal.append(now(), &id, Event::Outcome { step: 0, outcome: done }).unwrap();
    let cut = CutOff::find(&journal.read().unwrap(), &id, &connection.server).unwrap();
    let mut session = session(&connection, &console, &journal, Fake::of(SICK));
    let args = FixArgs { abort: Some(id), ..args() };
    Box::pin(session.take_up(&args, cut, false)).await.unwrap();
    output.err.text()
}

/// The drain that was gone on with found the node as the one before had left it: cordoned, by guard.
#[tokio::test]
async fn a_node_that_an_earlier_plan_cordoned_is_offered_to_be_let_go_and_a_foreign_one_is_not() {
    let offer = "to let pods onto it again: kubectl guard fix node/n1 --action uncordon";
    let with = |signed| aborted(cluster(|c| (c.pressure, c.signed) = (Some(true), signed)));
    let told = with(true).await;
    assert!(told.contains(offer), "{told}");
    let told = with(false).await;
    assert!(!told.contains(offer), "somebody else cordoned it: {told}");
    let told = aborted(cluster(|c| (c.pressure, c.signed) = (Some(false), true))).await;
    assert!(!told.contains(offer), "it takes pods again: {told}");
}

/// How `--resume`, or `--abort`, of a drain ends whose evictions were all taken, and what it says.
async fn taken_up(cluster: Shared, change: impl FnOnce(&mut FixArgs, String)) -> (Result<Exit, Error>, String) {
    let (folder, connection) = connected(&cluster).await;
    let (console, output) = capture::console(160);
    let journal = Journal::at(folder.path().join("journal.jsonl"));
    let mut plan = drain_plan(DrainOptions::default());
    plan.place.server.clone_from(&connection.server);
    let approved = approve(plan, Way::Ask, now(), &Typist("n1")).unwrap();
    let id = approved.plan().id.clone();
    journal.append(now(), &id, Event::intent(&approved, None)).unwrap();
    for step in 0..approved.plan().steps.len() {
        if step > 0 {
            journal.append(now(), &id, Event::Next { step, held: None }).unwrap();
        }
        let outcome = StepOutcome::Done { generation: None };
        journal.append(now(), &id, Event::Outcome { step, outcome }).unwrap();
    }
    let cut = CutOff::find(&journal.read().unwrap(), &id, &connection.server).unwrap();
    let mut session = session(&connection, &console, &journal, Fake::of(SICK));
    let mut args = args();
    change(&mut args, id.clone());
    let args = args.of_plan(&cut.lead().unwrap().action, false).unwrap();
    let result = Box::pin(session.take_up(&args, cut, false)).await;
    let told = format!("{}{}", output.err.text(), output.out.text()).replace(id.as_str(), "ID");
    assert_eq!(cluster.lock().unwrap().requests, [""; 0]);
    (result, told)
}

fn resumed(args: &mut FixArgs, id: String) {
    args.resume = Some(id);
}

/// What the API server took is not what became of the pods: they are looked at before the drain is called whole.
#[tokio::test]
async fn a_drain_is_whole_when_its_pods_have_gone_and_none_has_come() {
    let n1 = |change: fn(&mut Cluster)| {
        cluster(|c| {
            (c.pressure, c.signed) = (Some(true), true);
            change(c);
        })
    };
    let (result, told) = taken_up(n1(|_| ()), resumed).await;
    assert_eq!(result.unwrap(), Exit::Done);
    insta::assert_snapshot!(told, @"drain node/n1: was carried out whole (plan ID); there is nothing left to do");

    let (result, told) = taken_up(n1(|c| c.ending = 3), resumed).await;
    assert_eq!(result.unwrap(), Exit::Done);
    insta::assert_snapshot!(told, @"
    waiting until they have gone: shop/web-a
    drain node/n1: was carried out whole (plan ID); there is nothing left to do
    ");

    let late = |args: &mut FixArgs, id| {
        (args.resume, args.timeout, args.drain.allow_pending) = (Some(id), Duration::from_millis(20), true);
    };
    let (result, told) = taken_up(n1(|c| c.ending = usize::MAX), late).await;
    assert_eq!(result.unwrap(), Exit::Partial);
    insta::assert_snapshot!(told, @"
    waiting until they have gone: shop/web-a
    warning: shop/web-a was evicted and is still ending
    to go on: kubectl guard fix --resume ID --allow-pending; to leave it: kubectl guard fix --abort ID
    node/n1 stays cordoned; to let pods onto it again: kubectl guard fix node/n1 --action uncordon
    ");

    let (result, told) = taken_up(n1(|c| c.came = true), |args, id| {
        (args.resume, args.drain.allow_pending, args.dry_run.dry_run) = (Some(id), true, DryRun::Client);
    })
    .await;
    assert_eq!(result.unwrap(), Exit::Done);
    assert!(
        told.contains("came onto the node after the plan was made: shop/web-c") && told.contains("evict pod/web-c"),
        "{told}"
    );
}

#[tokio::test]
async fn a_dry_run_waits_for_no_pod_and_who_leaves_a_drain_neither() {
    let ends = || cluster(|c| (c.pressure, c.signed, c.ending) = (Some(true), true, usize::MAX));
    let (result, told) = taken_up(ends(), |args, id| {
        (args.resume, args.dry_run.dry_run) = (Some(id), DryRun::Client);
    })
    .await;
    assert_eq!(result.unwrap(), Exit::Done);
    insta::assert_snapshot!(told, @"drain node/n1: these pods were evicted, and would be waited for (dry run): shop/web-a");
    let (result, told) = taken_up(ends(), |args, id| args.abort = Some(id)).await;
    assert_eq!(result.unwrap(), Exit::Done);
    assert!(told.contains("aborted: nobody goes on with plan ID"), "{told}");
    assert!(told.contains("to let pods onto it again: kubectl guard fix node/n1 --action uncordon"), "{told}");
}

#[tokio::test]
async fn the_uncordon_behind_a_drain_is_not_held_to_the_file_of_the_drain() {
    let shared = cluster(|c| (c.pressure, c.signed) = (Some(true), true));
    let (folder, connection) = connected(&shared).await;
    let (console, output) = capture::console(160);
    let journal = Journal::at(folder.path().join("journal.jsonl"));
    let mut session = session(&connection, &console, &journal, Fake::of(SICK));
    let file = plan::document(&drain_plan(DrainOptions::default()), &[Verdict::Allowed]).to_string();
    session.expected = Some(("drain.yaml".into(), PlanFile::read(&file, now()).unwrap()));
    session.resumes = Some("0123456789ab".into());
    let node = node_plan(ActionKind::Drain).steps[0].target.clone();
    Box::pin(session.offer_to_uncordon(&node, true)).await.unwrap();
    let told = output.err.text();
    assert!(told.contains("there is no terminal to ask for approval"), "it came as far as the question: {told}");
    assert!(!told.contains("drain.yaml"), "{told}");
    assert!(output.out.text().contains("Step 1: uncordon node/n1"), "{}", output.out.text());
}

/// What a plan consists of comes from it; what overrides a guard rail comes from whoever carries it out, or from nowhere.
#[test]
fn no_plan_says_for_itself_that_budgets_are_not_asked() {
    let all = DrainOptions {
        force: true,
        disable_eviction: true,
        wait_for_budgets: true,
        allow_pending: true,
        ..DrainOptions::default()
    };
    let of_plan = |fix: &FixArgs, options: &DrainOptions| {
        fix.of_plan(&Action::Drain { options: options.clone() }, false).map(|args| args.drain)
    };
    let typed = |drain: DrainOptions| FixArgs { drain, ..args() };
    let refused = of_plan(&args(), &all).unwrap_err();
    assert_eq!(refused.process_exit_code(), Exit::Refused);
    insta::assert_snapshot!(refused, @"the plan deletes pods without asking their disruption budgets; --disable-eviction accepts that, and is never taken from a plan");

    let deletes = DrainOptions { disable_eviction: true, ..DrainOptions::default() };
    let taken = DrainOptions { force: true, ..deletes.clone() };
    assert_eq!(of_plan(&typed(deletes.clone()), &all).unwrap(), taken, "what else would override a rail was not typed");
    let asks = DrainOptions { disable_eviction: false, ..all.clone() };
    assert_eq!(of_plan(&args(), &asks).unwrap(), DrainOptions { force: true, ..DrainOptions::default() });
    assert_eq!(of_plan(&typed(deletes), &asks).unwrap(), taken, "it is shown and approved as what it is");
    assert_eq!(of_plan(&typed(taken), &all).unwrap_err().process_exit_code(), Exit::Usage, "--force is in the plan");
    let abort = FixArgs { abort: Some("0123456789ab".into()), ..args() };
    assert!(of_plan(&abort, &all).is_ok(), "nothing is deleted any more");
}
