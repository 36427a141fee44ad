//! The whole road of `fix` against an API server that writes down what it is asked: which requests, and which never.

use std::sync::Arc;

use guard_model::cause::{Cause, Reason};
use guard_model::report::{KubeletState, ModelInfo, NodeReport, PodReport, State};
use guard_model::workload::Workload;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::audit::{Event, entries};
use crate::console::capture::{self, Captured};
use crate::flags::dry_run::DryRun;
use crate::outcome::Outcome;
use crate::outcome::StepOutcome;

mod drains;
mod fake;
mod in_place;
mod moved;
mod shown;
mod stateful;

use fake::{Cluster, DEPLOYMENT, EVENTS, LATE, Shared, clock, cluster, serve};

/// Exporters that give these scores to web-a, one after the other, the last for ever; each at a tick of its own.
struct Fake {
    states: Vec<(State, f64)>,
    looks: usize,
    source: plan::Source,
}

impl Fake {
    fn of(states: &[(State, f64)]) -> Self {
        Self { states: states.to_vec(), looks: 0, source: plan::Source::Exporter }
    }
}

impl ScoreSource for Fake {
    fn kind(&self) -> plan::Source {
        self.source
    }

    async fn read(&mut self) -> Result<Vec<NodeReport>, Error> {
        let (state, score) = self.states[self.looks.min(self.states.len() - 1)];
        self.looks += 1;
        let mut report = report(state, score);
        report.pods.push(in_place::scored());
        Ok(vec![report])
    }
}

fn report(state: State, score: f64) -> NodeReport {
    let pod = |name: &str, state, score| PodReport {
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        workload: Some(Workload::new("Deployment", "web")),
        score: Some(score),
        state,
        reasons: vec![Reason { cause: Cause::Memory, score, text: "1.2 GiB, expected 200 to 300 MiB".into() }],
        containers_ready: 1,
        containers_total: 1,
        ..PodReport::default()
    };
    NodeReport {
        version: 1,
        node: "n1".into(),
        at: Timestamp::now(),
        interval_seconds: 4.0,
        threshold: 0.7,
        scored_by: "test".into(),
        model: ModelInfo::default(),
        kubelet: KubeletState::default(),
        certificate_ends: None,
        pods: vec![pod("web-a", state, score), pod("web-b", State::Ok, 0.1)],
    }
}

struct Run {
    result: Result<Exit, Error>,
    cluster: Shared,
    journal: Journal,
    output: Captured,
    _folder: tempfile::TempDir,
}

impl Run {
    fn exit(&self) -> Exit {
        self.result.as_ref().map_or_else(Error::process_exit_code, |exit| *exit)
    }

    /// What was stored, but for Events.
    fn writes(&self) -> Vec<String> {
        self.stored().into_iter().filter(|request| !request.contains(EVENTS)).collect()
    }

    fn stored(&self) -> Vec<String> {
        let cluster = self.cluster.lock().unwrap();
        cluster.requests.iter().filter(|request| !request.contains("dryRun=All")).cloned().collect()
    }

    /// Nothing was written to the cluster, and nothing was about to be.
    fn wrote_nothing(&self) {
        assert_eq!(self.stored(), [""; 0]);
        assert!(self.journal.read().unwrap().is_empty());
    }
}

const SICK: &[(State, f64)] = &[(State::Anomalous, 0.93)];

async fn run(cluster: Shared, states: &[(State, f64)], args: FixArgs) -> Run {
    run_with(cluster, Fake::of(states), args, |folder| folder.join("journal.jsonl")).await
}

fn session<'a>(connection: &'a Connection, console: &'a Console, journal: &Journal, scores: Fake) -> Session<'a, Fake> {
    Session { now: clock, ..Session::new(connection, console, Ok(journal.clone()), scores) }
}

/// A folder of its own, and a connection to the cluster.
async fn connected(cluster: &Shared) -> (tempfile::TempDir, Connection) {
    let port = serve(cluster).await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: test, users: [{{name: a, user: {{token: t}}}}],
          clusters: [{{name: local, cluster: {{server: 'http://127.0.0.1:{port}'}}}}],
          contexts: [{{name: test, context: {{cluster: local, user: a, namespace: shop}}}}]}}"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let flags = KubeFlags { kubeconfig: Some(kubeconfig), ..KubeFlags::default() };
    (folder, Connection::open(&flags, &Environment::default()).unwrap())
}

async fn run_with(
    cluster: Shared,
    scores: Fake,
    args: FixArgs,
    journal: impl FnOnce(&std::path::Path) -> std::path::PathBuf,
) -> Run {
    let (folder, connection) = connected(&cluster).await;
    let (console, output) = capture::console(160);
    let journal = Journal::at(journal(folder.path()));
    let mut session = session(&connection, &console, &journal, scores);
    session.shared = args.sink.shared().unwrap().map(super::Shared::from);
    let cut = args.resume.as_ref().or(args.abort.as_ref()).map(|id| {
        let lines = session.journal.as_ref().unwrap().read().unwrap();
        CutOff::find(&lines, id, &connection.server).unwrap()
    });
    let target = args.target().unwrap();
    let result = match cut {
        Some(cut) => {
            let args = args.of_plan(&cut.lead().unwrap().action, cut.is_in_place()).unwrap();
            Box::pin(session.take_up(&args, cut, false)).await
        }
        None => Box::pin(session.run(&args, target, false)).await,
    };
    drop(session);
    Run { result, cluster, journal, output, _folder: folder }
}

fn args() -> FixArgs {
    FixArgs { timeout: Duration::from_secs(20), ..FixArgs::default() }
}

fn yes() -> FixArgs {
    FixArgs { yes: true, confidence_threshold: Some(0.9), ..args() }
}

fn dry(dry_run: DryRun) -> FixArgs {
    FixArgs { dry_run: DryRunFlag { dry_run }, ..args() }
}

#[tokio::test]
async fn an_approved_fix_is_checked_recorded_written_once_and_verified() {
    // Seen twice over the line (the plan, the look after the approval), then well.
    let states = [(State::Anomalous, 0.93), (State::Anomalous, 0.93), (State::Ok, 0.1)];
    let run = run(cluster(|_| ()), &states, yes()).await;
    assert_eq!(run.exit(), Exit::Done, "{:?} {}", run.result, run.output.err.text());
    let cluster = run.cluster.lock().unwrap();
    let [dry, real, event] = cluster.requests.as_slice() else { panic!("{:#?}", cluster.requests) };
    assert_eq!(dry.replacen("&dryRun=All", "", 1).replace("4714", "4717"), *real, "the version of the last look");
    assert!(real.starts_with(&format!("PATCH {DEPLOYMENT}?fieldManager=kubectl-guard {{\"metadata\":")), "{real}");
    assert!(real.contains(r#"{"resourceVersion":"4717","uid":"uid-web"}"#), "{real}");
    let lines = run.journal.read().unwrap();
    let agent = format!(" plan/{}", lines[0].plan_id);
    assert!(cluster.agents.iter().all(|seen| seen.starts_with("kubectl-guard/") && seen.contains(&agent)));
    let told = format!("restart deployment/web: done; by alice, plan {}, sha256:", lines[0].plan_id);
    assert!(event.starts_with(&format!("POST {EVENTS}?")) && event.contains(&told), "{event}");
    let heads = crate::audit::check(&run.journal.bytes().unwrap()).hashes;
    let carried = |seen: &String| heads.iter().position(|head| seen.ends_with(&format!(".{head}")));
    let carried: Vec<Option<usize>> = cluster.agents.iter().map(carried).collect();
    assert_eq!(carried, [None, Some(0), Some(1)], "each write carries the line that was synced before it");
    assert!(matches!(lines[0].event, Event::Intent { .. }));
    assert_eq!(lines[2].event, Event::Verified { outcome: Outcome::Recovered });
    assert_eq!(entries(&lines).len(), 1);
}

#[tokio::test]
async fn an_event_that_is_denied_is_told_and_fails_nothing() {
    let args = FixArgs { timeout: Duration::ZERO, ..yes() };
    let run = run(cluster(|cluster| cluster.no_events = true), SICK, args).await;
    assert_eq!(run.exit(), Exit::Done, "{:?}", run.result);
    assert_eq!((run.writes().len(), run.stored().len()), (1, 2));
    let told = run.output.err.text();
    let why = "you may not create events.events.k8s.io in namespace shop";
    assert!(told.contains(&format!("no Event tells of it in the cluster: {why}; the journal does")), "{told}");
}

#[tokio::test]
async fn a_nodes_own_trouble_comes_before_that_of_its_workloads() {
    let everywhere = || FixArgs { all_namespaces: true, ..dry(DryRun::Client) };
    let shown = |run: &Run| run.output.out.text();
    let pressed = run(cluster(|cluster| cluster.pressure = Some(false)), SICK, everywhere()).await;
    assert!(shown(&pressed).contains("Step 1: cordon node/n1"), "{} {:?}", shown(&pressed), pressed.result);
    assert!(shown(&pressed).contains("Note: node/n1: MemoryPressure"), "{}", shown(&pressed));

    // One namespace is no reason to touch a node, and a cordoned one must not hide the workloads behind it for ever.
    for (cordoned, args) in [(false, dry(DryRun::Client)), (true, everywhere())] {
        let run = run(cluster(|cluster| cluster.pressure = Some(cordoned)), SICK, args).await;
        assert!(shown(&run).contains("Step 1: restart deployment/web"), "{} {:?}", shown(&run), run.result);
    }

    let named = FixArgs { target: vec!["node/n1".into()], ..dry(DryRun::Client) };
    let cordoned = run(cluster(|cluster| cluster.pressure = Some(true)), SICK, named).await;
    assert!(shown(&cordoned).contains("Step 1: drain node/n1"), "{} {:?}", shown(&cordoned), cordoned.result);
    assert!(shown(&cordoned).contains("Step 2: evict pod/web-a"), "the drain knows its pods: {}", shown(&cordoned));
}

#[tokio::test]
async fn a_client_dry_run_only_reads() {
    let run = run(cluster(|_| ()), SICK, dry(DryRun::Client)).await;
    assert_eq!(run.exit(), Exit::Done);
    assert!(run.cluster.lock().unwrap().requests.is_empty());
    let shown = run.output.out.text();
    assert!(shown.contains("Step 1: restart deployment/web in namespace shop"), "{shown}");
    assert!(shown.contains("(you may)"), "{shown}");
}

#[tokio::test]
async fn scores_of_prometheus_are_named_and_approve_nothing_without_a_person() {
    let run = async |args| {
        let scores = Fake { source: plan::Source::Prometheus, ..Fake::of(SICK) };
        run_with(cluster(|_| ()), scores, args, |folder| folder.join("journal.jsonl")).await
    };
    let shown = run(dry(DryRun::Client)).await.output.out.text();
    assert!(shown.contains("read from prometheus at "), "{shown}");
    let digest = shown.lines().find_map(|line| line.strip_prefix("Digest ")).unwrap().to_owned();
    for args in [FixArgs { approve: Some(digest), ..args() }, yes()] {
        let refused = run(args).await;
        assert_eq!(refused.exit(), Exit::Refused, "{:?}", refused.result);
        refused.wrote_nothing();
    }
}

#[tokio::test]
async fn a_server_dry_run_sends_nothing_without_dry_run_all() {
    let run = run(cluster(|_| ()), SICK, dry(DryRun::Server)).await;
    assert_eq!(run.exit(), Exit::Done);
    assert_eq!(run.cluster.lock().unwrap().requests.len(), 1);
    run.wrote_nothing();
}

#[tokio::test]
async fn the_digest_of_a_dry_run_approves_the_same_plan() {
    let shared = cluster(|_| ());
    let shown = run(Arc::clone(&shared), SICK, dry(DryRun::Client)).await.output.out.text();
    let digest = shown.lines().find_map(|line| line.strip_prefix("Digest ")).unwrap().to_owned();
    let args = FixArgs { approve: Some(digest), timeout: Duration::ZERO, ..args() };
    // Another server: the approval of the one says nothing about the other.
    let elsewhere = run(cluster(|_| ()), SICK, args.clone()).await;
    assert_eq!(elsewhere.exit(), Exit::Stale);
    elsewhere.wrote_nothing();
    let here = run(Arc::clone(&shared), SICK, args.clone()).await;
    assert_eq!(here.exit(), Exit::Done, "{:?}", here.result);
    assert_eq!(here.writes().len(), 1);
    // Used up: the write has changed what it was given for.
    let again = run(shared, SICK, args).await;
    assert_eq!(again.exit(), Exit::Stale);
    assert_eq!(again.writes().len(), 1);
}

#[tokio::test]
async fn a_viewer_sees_the_plan_and_may_not_carry_it_out() {
    let viewer = || cluster(|cluster| cluster.denied = true);
    let dry = run(viewer(), SICK, dry(DryRun::Client)).await;
    assert_eq!(dry.exit(), Exit::Done);
    assert!(dry.output.out.text().contains("(you may NOT)"));
    let real = run(viewer(), SICK, yes()).await;
    assert_eq!(real.exit(), Exit::NotPermitted);
    assert_eq!(real.result.as_ref().unwrap_err().to_string(), "you may not patch deployments.apps in namespace shop");
    assert!(real.cluster.lock().unwrap().requests.is_empty());
    real.wrote_nothing();
}

/// What is in the way, in which cluster, with which scores and flags, and how it ends.
type Refused<'a> = (&'static str, Shared, &'a [(State, f64)], FixArgs, Exit);

/// Every refusal ends the way: nothing is written after it, and nothing is recorded as about to be.
#[tokio::test]
async fn every_refusal_writes_nothing() {
    let scale = FixArgs { action: Some(ActionKind::Scale), target: vec!["deploy/web".into()], ..yes() };
    let falls = [(State::Anomalous, 0.93), (State::Ok, 0.1)];
    let cases: [Refused<'_>; 11] = [
        ("paused", cluster(|c| c.paused = true), SICK, yes(), Exit::Refused),
        ("nobody to ask", cluster(|_| ()), SICK, args(), Exit::Refused),
        ("no threshold", cluster(|_| ()), SICK, FixArgs { confidence_threshold: None, ..yes() }, Exit::Usage),
        (
            "not sure enough",
            cluster(|_| ()),
            SICK,
            FixArgs { confidence_threshold: Some(0.95), ..yes() },
            Exit::Refused,
        ),
        ("another digest", cluster(|_| ()), SICK, FixArgs { approve: Some("sha256:00".into()), ..args() }, Exit::Stale),
        ("an autoscaler", cluster(|c| c.autoscaler = true), SICK, scale, Exit::Refused),
        ("changed before the dry run", cluster(|c| c.changes_at_read = Some(2)), SICK, yes(), Exit::Stale),
        ("changed meanwhile", cluster(|c| c.changes_at_read = Some(3)), SICK, yes(), Exit::Stale),
        ("changed right before the write", cluster(|c| c.changes_at_read = Some(4)), SICK, yes(), Exit::Stale),
        ("the score fell", cluster(|_| ()), &falls, yes(), Exit::Stale),
        ("a webhook", cluster(|c| c.refuses_dry_run = true), SICK, yes(), Exit::Error),
    ];
    for (what, cluster, states, args, exit) in cases {
        let run = run(cluster, states, args).await;
        assert_eq!(run.exit(), exit, "{what}: {:?}", run.result);
        run.wrote_nothing();
    }
}

#[tokio::test]
async fn without_a_journal_nothing_is_written() {
    let run = run_with(cluster(|_| ()), Fake::of(SICK), yes(), std::path::Path::to_path_buf).await;
    assert_eq!(run.exit(), Exit::Refused);
    assert!(run.result.as_ref().unwrap_err().to_string().contains("must be a plain file"));
    assert_eq!(run.writes(), [""; 0]);
}

#[tokio::test]
async fn nothing_over_the_line_is_nothing_to_do() {
    let run = run(cluster(|_| ()), &[(State::Ok, 0.2)], yes()).await;
    assert_eq!(run.exit(), Exit::Done);
    run.wrote_nothing();
}

/// The first line of a journal, as a process leaves it that was killed right after it, and the id of its plan.
fn cut_off(journal: &std::path::Path) -> String {
    let text = std::fs::read_to_string(journal).unwrap();
    let first = text.lines().next().unwrap();
    std::fs::write(journal, format!("{first}\n")).unwrap();
    Journal::at(journal).read().unwrap()[0].plan_id.clone()
}

#[tokio::test]
async fn what_was_cut_off_is_looked_up_and_the_rest_approved_anew() {
    let shared = cluster(|_| ());
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let first = FixArgs { timeout: Duration::ZERO, ..yes() };
    run_with(Arc::clone(&shared), Fake::of(SICK), first, |_| journal.clone()).await;
    let id = cut_off(&journal);
    // Somebody has changed the object since, so that the lost write can no longer arrive.
    let resume = FixArgs { resume: Some(id.clone()), ..args() };
    let resumed = run_with(Arc::clone(&shared), Fake::of(SICK), resume, |_| journal.clone()).await;
    assert_eq!(resumed.exit(), Exit::Refused, "there is nobody to approve it: {:?}", resumed.result);
    assert!(resumed.output.err.text().contains("changed by someone else meanwhile"), "{}", resumed.output.err.text());
    assert_eq!(resumed.writes().len(), 1, "only what was written before it was cut off");
    let lines = resumed.journal.read().unwrap();
    assert!(matches!(&lines[1].event, Event::Outcome { step: 0, outcome: StepOutcome::NotDone { .. } }), "{lines:?}");

    let abort = FixArgs { abort: Some(id.clone()), ..args() };
    let aborted = run_with(shared, Fake::of(SICK), abort, |_| journal.clone()).await;
    assert_eq!(aborted.exit(), Exit::Done, "{:?}", aborted.result);
    insta::assert_snapshot!(aborted.output.err.text().replace(&id, "ID"));
    let entry = entries(&aborted.journal.read().unwrap()).remove(0);
    assert_eq!(entry.closed, Some(crate::audit::Closed::Aborted));
}

/// Nothing is done twice and nothing is left unsaid: what was not written is recorded so, and gone on with after a new login.
#[tokio::test]
async fn a_login_that_ends_before_the_write_is_told_and_the_plan_gone_on_with() {
    let shared = cluster(|cluster| cluster.expires = true);
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let again = |args| run_with(Arc::clone(&shared), Fake::of(SICK), args, |_| journal.clone());
    let refused = again(yes()).await;
    assert_eq!(refused.exit(), Exit::NotPermitted);
    let told = refused.result.as_ref().unwrap_err().to_string();
    assert_eq!(told, "cannot write deployment/web: the API server does not accept these credentials");
    let lines = refused.journal.read().unwrap();
    assert!(matches!(&lines[1].event, Event::Outcome { step: 0, outcome: StepOutcome::NotDone { .. } }), "{lines:?}");

    shared.lock().unwrap().expires = false;
    let resume = FixArgs { resume: Some(lines[0].plan_id.clone()), timeout: Duration::ZERO, ..args() };
    let shown = again(FixArgs { dry_run: dry(DryRun::Client).dry_run, ..resume.clone() }).await.output.out.text();
    let digest = shown.lines().find_map(|line| line.strip_prefix("Digest ")).unwrap().to_owned();
    let resumed = again(FixArgs { approve: Some(digest), ..resume }).await;
    assert_eq!(resumed.exit(), Exit::Done, "{:?}", resumed.result);
    assert_eq!(resumed.writes().len(), 2, "the one that was refused, and the one that was taken");
}

#[tokio::test]
async fn a_plan_that_another_process_carries_out_is_left_to_it() {
    let shared = cluster(|_| ());
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let first = FixArgs { timeout: Duration::ZERO, ..yes() };
    run_with(Arc::clone(&shared), Fake::of(SICK), first, |_| journal.clone()).await;
    let id = cut_off(&journal);
    let claim = Journal::at(&journal).claim(&id).unwrap();
    let abort = FixArgs { abort: Some(id), ..args() };
    let refused = run_with(shared, Fake::of(SICK), abort, |_| journal.clone()).await;
    assert_eq!(refused.exit(), Exit::Refused);
    insta::assert_snapshot!(refused.result.unwrap_err().to_string().split_once(' ').unwrap().1);
    assert_eq!(refused.journal.read().unwrap().len(), 1);
    drop(claim);
}

/// The journal tells what was done last, and the same target is left alone for a while.
#[tokio::test]
async fn what_was_just_fixed_is_not_fixed_again() {
    let shared = cluster(|_| ());
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.jsonl");
    let args = || FixArgs { timeout: Duration::ZERO, ..yes() };
    let first = run_with(Arc::clone(&shared), Fake::of(SICK), args(), |_| journal.clone()).await;
    assert_eq!(first.exit(), Exit::Done, "{:?}", first.result);
    let second = run_with(Arc::clone(&shared), Fake::of(SICK), args(), |_| journal.clone()).await;
    assert_eq!(second.exit(), Exit::Refused);
    assert!(second.result.as_ref().unwrap_err().to_string().contains("--no-cool-down"), "{:?}", second.result);
    assert_eq!(second.writes().len(), 1);
}
