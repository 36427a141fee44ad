use futures::FutureExt as _;
use guard_model::mute::{Mute, Target};
use guard_model::silence::Silence;

use super::*;
use crate::console::capture::console;
use crate::run::due::heeding;
use crate::run::log::Log;

/// Scores, and writes no file; gives what was logged.
fn staged(scene: impl FnOnce(&mut Scoring<'_>)) -> String {
    let (console, streams) = console(80);
    let only = ("run.only", "only", "detect".to_owned());
    let config = Config::of(&config::load(&[], |_| None, &[only]).unwrap()).unwrap();
    let shared = Shared::new(Log::open(&console, &config.log).unwrap(), None, &console);
    let mut learnt = Learnt::new(&config, Detector::Robust);
    scene(&mut Scoring { config: &config, shared: &shared, learnt: &mut learnt });
    streams.err.text()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_428_000 + second).unwrap()
}

/// A table of pods that have failed: when, which and where.
fn table(rows: &[(Timestamp, &str, &str)]) -> String {
    let row = |(at, pod, node): &(Timestamp, &str, &str)| format!("{at},shop,{pod},{node},Failed\n");
    "timestamp,namespace,pod,node,phase\n".to_owned() + &rows.iter().map(row).collect::<String>()
}

/// Reads what is new at this time, and tells; the pods that are over their line then.
fn told(scoring: &mut Scoring<'_>, now: Timestamp, rows: &[(Timestamp, &str, &str)]) -> String {
    scoring.read(table(rows).as_bytes(), now).unwrap();
    scoring.tell(now).now_or_never().unwrap().unwrap();
    scoring.learnt.anomalous.iter().map(|(_, pod)| pod.as_str()).collect()
}

#[test]
fn a_row_of_a_time_to_come_ends_no_incident_of_others_and_none_of_its_own_pod() {
    let future: Timestamp = "2099-01-01T00:00:00Z".parse().unwrap();
    let log = staged(|scoring| {
        let rows = [(at(0), "a", ""), (at(0), "b", ""), (future, "a", ""), (future, "c", "")];
        assert_eq!(told(scoring, at(10), &rows), "ab");
        let rows = [(at(30), "a", ""), (at(30), "b", ""), (future, "a", "")];
        assert_eq!(told(scoring, at(40), &rows), "ab");
        let reports = scoring.reports(at(40));
        assert_eq!((reports[0].at, scoring.learnt.latest.values().map(|seen| seen.at).max()), (at(30), Some(at(30))));
        let state = scoring.shared.state.now();
        let last = state.parts[&Part::Score].last.as_deref();
        assert_eq!(last, Some("4 rows scored, 3 without a score, 2 of 2 pods over the line"));
    });
    assert_eq!(log.matches("of a time that is still to come").count(), 1, "{log}");
    assert!(log.contains("2 of 4 rows") && !log.contains("has gone"), "{log}");
}

#[test]
fn a_row_that_is_a_little_ahead_makes_no_other_pod_old() {
    let log = staged(|scoring| {
        assert_eq!(told(scoring, at(0), &[(at(-80), "a", ""), (at(85), "b", "")]), "ab");
        assert_eq!(scoring.reports(at(0))[0].at, at(0));
    });
    assert!(!log.contains("still to come"), "{log}");
}

#[test]
fn a_clock_that_was_set_back_hides_nobody() {
    let log = staged(|scoring| {
        let early = at(7200);
        assert_eq!(told(scoring, early, &[(early, "a", ""), (early, "b", "")]), "ab");
        // `b` is no more, and `c` is new.
        assert_eq!(told(scoring, at(0), &[(at(0), "a", ""), (at(0), "c", "")]), "ac");
        assert_eq!(scoring.reports(at(0))[0].at, at(0));
        assert_eq!(told(scoring, at(30), &[(at(30), "a", ""), (at(30), "c", "")]), "ac");
    });
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("has gone")).collect();
    assert!(lines.len() == 1 && lines[0].contains("shop/b"), "{log}");
    assert!(!log.contains("have no score"), "{log}");
}

#[test]
fn rows_that_are_not_newer_are_said_once_until_there_are_none() {
    let log = staged(|scoring| {
        for second in [0, 0, 0, 30, 30] {
            told(scoring, at(60), &[(at(second), "a", "")]);
        }
    });
    assert_eq!(log.matches("1 of 1 rows were not newer").count(), 2, "{log}");
}

#[test]
fn a_table_is_told_node_by_node_so_that_a_node_can_be_muted() {
    let rows = [("a", "n1"), ("b", "n2"), ("c", "n1"), ("d", "")].map(|(pod, node)| (at(0), pod, node));
    staged(|scoring| {
        scoring.read(table(&rows).as_bytes(), at(0)).unwrap();
        let told = |reports: &[NodeReport]| -> Vec<(String, String)> {
            let of = |report: &NodeReport| report.pods.iter().map(|pod| pod.name.clone()).collect::<String>();
            reports.iter().map(|report| (report.node.clone(), of(report))).collect()
        };
        let reports = scoring.reports(at(0));
        assert_eq!(
            told(&reports),
            [("", "d"), ("n1", "ac"), ("n2", "b")].map(|(node, pods)| (node.into(), pods.into()))
        );
        let silence = Silence { until: Timestamp::MAX, reason: String::new(), by: String::new() };
        let mute = Mute { target: Target::Node { name: "n1".into() }, since: Timestamp::UNIX_EPOCH, silence };
        let muted = heeding(&Arc::new(reports), &[mute]);
        let silent: Vec<&str> = muted
            .iter()
            .flat_map(|report| &report.pods)
            .filter(|pod| pod.state == State::Muted)
            .map(|pod| pod.name.as_str())
            .collect();
        assert_eq!(silent, ["a", "c"]);
    });
}

/// Scores until this is so, or the part ends by itself; why it ended.
async fn until(config: &Config, shared: &Shared<'_>, so: impl Fn() -> bool) -> Option<Error> {
    let seen = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = score(config, shared) => ended.err(),
        () = seen => None,
    }
}

#[tokio::test]
async fn what_was_learnt_outlives_a_reload_a_failure_and_a_rotated_table() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let flags = [
        ("dataset_generator.output_file", "f", place("m.csv")),
        ("agents.output_file", "f", place("none/insights.json")),
        ("agents.watch_interval", "f", "1s".to_owned()),
        ("model.detector", "f", "robust".to_owned()),
    ];
    let mut config = Config::of(&config::load(&[], |_| None, &flags).unwrap()).unwrap();
    let (console, streams) = console(80);
    let shared = Shared::new(Log::open(&console, &config.log).unwrap(), None, &console);
    let last = || shared.state.now().parts.get(&Part::Score).and_then(|part| part.last.clone()).unwrap_or_default();
    let ago = |seconds: i64| Timestamp::now() - SignedDuration::from_secs(seconds);
    std::fs::write(place("m.csv"), table(&[(ago(60), "a", ""), (ago(60), "b", "")])).unwrap();
    let failed = until(&config, &shared, || false).await.unwrap().to_string();
    assert!(failed.contains("insights.json"), "{failed}");

    std::fs::rename(place("m.csv"), place("m.csv.1")).unwrap();
    std::fs::write(place("m.csv"), table(&[(ago(30), "a", "")])).unwrap();
    std::fs::create_dir(place("none")).unwrap();
    config.agents.watch_interval = Duration::from_secs(2);
    let written = || std::fs::read_to_string(place("none/insights.json")).is_ok_and(|text| text.contains("\"b\""));
    assert!(until(&config, &shared, written).await.is_none());
    assert_eq!(last(), "3 rows scored, 2 of 2 pods over the line");
    let log = streams.err.text();
    assert_eq!(log.matches("is over its line").count(), 2, "{log}");

    // Another line is another way to learn.
    config.agents.alert_threshold = 0.6;
    let anew = || last() == "1 rows scored, 1 of 1 pods over the line";
    assert!(until(&config, &shared, anew).await.is_none());
}
