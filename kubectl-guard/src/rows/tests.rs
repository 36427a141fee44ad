//! Joining, on pods and reports made by hand.

use super::*;
use crate::scores::Silent;
use guard_model::cause::Cause;
use guard_model::report::{FeatureView, KubeletState, ModelInfo};

pub(crate) const NOW: &str = "2026-11-22T14:40:00Z";

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

pub(crate) fn pod(name: &str, node: Option<&str>) -> PodFacts {
    PodFacts {
        uid: format!("uid-{name}"),
        namespace: "shop".into(),
        name: name.into(),
        node: node.map(str::to_owned),
        workload: name.split_once('-').map(|(workload, _)| Workload::new("Deployment", workload)),
        phase: if node.is_some() { Phase::Running } else { Phase::Pending },
        created: Some("2026-11-22T14:00:00Z".parse().unwrap()),
        ready: node.is_some(),
        ready_changed: Some("2026-11-22T14:00:10Z".parse().unwrap()),
        containers_ready: 1,
        containers_total: 1,
        ..PodFacts::default()
    }
}

pub(crate) fn report(name: &str, score: Option<f64>, state: State) -> PodReport {
    let over = state == State::Anomalous;
    let text = "sent 2.1 MiB/s, expected 40 to 180 KiB/s; received 1.1 MiB/s, expected 20 to 90 KiB/s";
    PodReport {
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        score,
        state,
        severity: if over { Severity::Warning } else { Severity::None },
        since: over.then(|| "2026-11-22T14:37:40Z".parse().unwrap()),
        reasons: if over { vec![Reason { cause: Cause::Transmit, score: 0.9, text: text.into() }] } else { Vec::new() },
        learning_left: if state == State::Learning { 17 } else { 0 },
        containers_ready: 1,
        containers_total: 1,
        ..PodReport::default()
    }
}

pub(crate) fn node(name: &str, pods: Vec<PodReport>) -> NodeReport {
    NodeReport {
        version: 1,
        node: name.into(),
        at: now(),
        interval_seconds: 15.0,
        threshold: 0.7,
        scored_by: format!("guard-exporter {}", crate::version::VERSION),
        model: ModelInfo::default(),
        kubelet: KubeletState { up: true, verified: true, error: None },
        certificate_ends: None,
        pods,
    }
}

/// Two nodes that answer, one that does not, one without an exporter; a pod of each kind.
pub(crate) fn shop() -> Vec<Row> {
    let scores = Scores {
        reports: vec![
            node(
                "node1",
                vec![report("cart-1", Some(0.93), State::Anomalous), report("cart-2", Some(0.12), State::Ok)],
            ),
            node(
                "node2",
                vec![report("catalog-1", None, State::Learning), report("other-1", Some(1.0), State::Anomalous)],
            ),
        ],
        silent: vec![Silent { node: "node3".into(), problem: "no answer within 5 s".into() }],
        ..Scores::default()
    };
    let mut waiting = pod("report-1", None);
    waiting.unschedulable = Some("0/2 nodes are available: 2 Insufficient cpu.".into());
    let mut loops = pod("idle-1", Some("node4"));
    loops.waiting = Some("CrashLoopBackOff".into());
    loops.restarts = 7;
    let done = PodFacts { phase: Phase::Succeeded, ..pod("job-1", Some("node1")) };
    let pods = [
        pod("cart-1", Some("node1")),
        pod("cart-2", Some("node1")),
        pod("catalog-1", Some("node2")),
        pod("young-1", Some("node2")),
        pod("frontend-1", Some("node3")),
        pod("redis-1", Some("node4")),
        waiting,
        loops,
        done,
    ];
    join(&scores, &pods, now())
}

fn reason(rows: &[Row], name: &str) -> String {
    rows.iter().find(|row| row.name == name).unwrap().reason().to_owned()
}

#[test]
fn every_pod_that_has_not_succeeded_has_a_row() {
    let rows = shop();
    let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cart-1", "cart-2", "catalog-1", "frontend-1", "idle-1", "redis-1", "report-1", "young-1"]);
    let counts = count(&rows);
    assert_eq!((counts.watched, counts.anomalous, counts.learning, counts.unscored), (8, 3, 1, 3));
}

#[test]
fn a_pod_without_a_score_says_why() {
    let rows = shop();
    assert_eq!(reason(&rows, "catalog-1"), "learning, 17 more samples");
    assert_eq!(reason(&rows, "young-1"), "not seen yet by the exporter on node node2");
    assert_eq!(reason(&rows, "frontend-1"), "no scores from node node3: no answer within 5 s");
    assert_eq!(reason(&rows, "redis-1"), "no exporter on node node4");
}

#[test]
fn a_pod_without_a_node_is_scored_by_fact() {
    let rows = shop();
    let row = rows.iter().find(|row| row.name == "report-1").unwrap();
    assert!(row.is_anomalous() && row.severity == Severity::Critical);
    assert!(row.reason().starts_with("cannot be scheduled: 0/2 nodes"), "{}", row.reason());
}

#[test]
fn facts_speak_where_there_is_no_exporter() {
    let rows = shop();
    let row = rows.iter().find(|row| row.name == "idle-1").unwrap();
    assert!(row.is_anomalous());
    assert_eq!(row.reasons[0].cause, Cause::CrashLoop);
}

#[test]
fn pods_the_user_did_not_list_are_not_shown() {
    assert!(shop().iter().all(|row| row.name != "other-1"));
}

#[test]
fn a_name_used_again_is_not_the_old_pod() {
    let scores = Scores {
        reports: vec![node("node1", vec![report("cart-1", Some(0.9), State::Anomalous)])],
        ..Scores::default()
    };
    let new = PodFacts { uid: "new".into(), ..pod("cart-1", Some("node1")) };
    assert_eq!(join(&scores, &[new], now())[0].score, None);
}

#[test]
fn an_owner_can_silence_a_pod_without_an_exporter() {
    let mut pod = pod("idle-1", None);
    pod.unschedulable = Some("no".into());
    pod.opt_out.ignore = true;
    let rows = join(&Scores::default(), &[pod], now());
    assert!(!rows[0].is_anomalous() && rows[0].state == Some(State::Muted));
}

#[test]
fn what_is_muted_is_no_anomaly_of_its_workload_either() {
    let told = PodReport { state: State::Muted, ..report("cart-1", Some(0.99), State::Anomalous) };
    assert!(told.severity > Severity::None && told.since.is_some());
    let scores = Scores { reports: vec![node("node1", vec![told])], ..Scores::default() };
    let rows = join(&scores, &[pod("cart-1", Some("node1"))], now());
    assert_eq!((rows[0].severity, rows[0].since, rows[0].score), (Severity::None, None, Some(0.99)));
    let group = &workloads(&rows)[0];
    assert_eq!((group.is_anomalous(), group.severity, group.since), (false, Severity::None, None));
}

#[test]
fn a_pod_that_has_fallen_silent_is_not_to_be_restarted() {
    let fix = |seen| {
        let sent = FeatureView {
            name: "transmit".into(),
            unit: "bytes_per_second".into(),
            seen: Some(seen),
            expected_low: Some(50e3),
            expected_high: Some(74e3),
            share: 0.9,
        };
        let workload = Some(Workload::new("Deployment", "cart"));
        let told = PodReport { features: vec![sent], workload, ..report("cart-1", Some(0.93), State::Anomalous) };
        reported(&[node("node1", vec![told])])[0].fix
    };
    assert_eq!((fix(492.0), fix(2e6)), (Some("see the callers"), Some("look, restart")));
}

#[test]
fn a_workload_is_as_bad_as_its_worst_pod() {
    let groups = workloads(&shop());
    let cart = groups.iter().find(|group| group.name == "Deployment/cart").unwrap();
    assert_eq!((cart.score, cart.over, cart.of), (Some(0.93), 1, 2));
}

#[test]
fn one_bad_pod_does_not_make_a_bad_node() {
    let bad = NodeFacts {
        name: "node9".into(),
        problem: Some((0.98, "not ready".into())),
        cause: Some(crate::node_cause::NodeCause::NotReady),
        ..NodeFacts::default()
    };
    let groups = nodes(&shop(), &[bad]);
    assert_eq!((groups[0].name.as_str(), groups[0].severity), ("node9", Severity::Critical));
    assert_eq!(groups[0].fix, Some("cordon"));
    let node4 = groups.iter().find(|group| group.name == "node4").unwrap();
    assert_eq!((node4.score, node4.over, node4.of), (Some(0.5), 1, 2));
    assert_eq!((node4.severity, node4.fix), (Severity::None, None));
}
