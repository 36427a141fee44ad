use std::fmt::Write as _;

use guard_model::engine::{Engine, SHIPPED};
use guard_model::report::ModelInfo;
use guard_model::sample::{PodFacts, PodSample};

use super::*;

const SETTINGS: Settings = Settings { threshold: 0.7, interval_seconds: 10.0 };
const HEADER: &str =
    "timestamp,namespace,pod,cpu_usage_cores,memory_working_set_bytes,network_transmit_bytes_per_second\n";

/// Rows of two pods each 30 s; the first sends ten times as much from row `fault` on.
fn rows(count: usize, fault: usize) -> String {
    let mut text = String::new();
    for i in 0..count {
        let at = Timestamp::from_second(1_795_356_000 + 30 * i as i64).unwrap();
        let wobble = 1.0 + 0.05 * ((i * 7 % 11) as f64 / 11.0);
        let sent = 20_000.0 * wobble * if i >= fault { 10.0 } else { 1.0 };
        writeln!(text, "{at},shop,cart,{},30000000,{sent}", 0.01 * wobble).unwrap();
        writeln!(text, "{at},shop,catalog,{},40000000,{}", 0.02 * wobble, 9000.0 * wobble).unwrap();
    }
    text
}

struct Outcome {
    lines: Vec<String>,
    insights: serde_json::Value,
    counts: Counts,
    error: Option<String>,
}

/// Reads the parts one after another, as a follower would.
fn analyzed(parts: &[&str]) -> Outcome {
    let mut insights = Insights::default();
    let mut written = Vec::new();
    let detector = Detector::from(Engine::load(SHIPPED).unwrap());
    let info = detector.info();
    let mut table = Table::new(SETTINGS, Some(detector));
    let mut sink = Sink {
        lines: Some(Lines::new(&mut written).unwrap()),
        insights: &mut insights,
        latest: None,
        namespace: None,
        tracker: None,
    };
    let mut error = None;
    for part in parts {
        error = table.read(format!("{HEADER}{part}").as_bytes(), &mut sink).err().map(|error| error.to_string());
    }
    sink.lines.as_mut().unwrap().flush().unwrap();
    drop(sink);
    let document = serde_json::to_value(insights.document("pod_metrics.csv", &info, 0.7)).unwrap();
    let lines = String::from_utf8(written).unwrap().lines().map(str::to_owned).collect();
    Outcome { lines, insights: document, counts: table.counts(), error }
}

#[test]
fn every_row_has_a_line_and_the_fault_an_insight() {
    let found = analyzed(&[&rows(60, 50)]);
    assert_eq!(found.lines.len(), 1 + 120);
    assert_eq!(found.lines[0], "timestamp,namespace,pod,score,severity,top_feature");
    assert!(found.lines[1].ends_with(",shop,cart,,none,"), "still learnt: {}", found.lines[1]);
    let last: Vec<&str> = found.lines[119].split(',').collect();
    assert!(last[3].parse::<f64>().unwrap() >= 0.7 && last[5] == "transmit", "{last:?}");
    let pods = found.insights["pods"].as_array().unwrap();
    assert_eq!((pods.len(), found.insights["pods_watched"].as_u64()), (1, Some(2)), "{pods:?}");
    let insight = &pods[0]["insights"][0];
    assert_eq!(insight["likely_causes"][0]["cause"], "transmit");
    assert_eq!(insight["to"], serde_json::Value::Null);
    assert!(
        insight["evidence"]
            .as_array()
            .unwrap()
            .iter()
            .any(|e| e["feature"] == "transmit" && e["seen"].as_f64() > e["expected_high"].as_f64())
    );
}

#[test]
fn a_table_that_grows_gives_what_the_whole_gives() {
    let text = rows(60, 50);
    // A part may end in the middle of a tick.
    let middle = text.match_indices('\n').nth(40).unwrap().0 + 1;
    let (whole, parts) = (analyzed(&[&text]), analyzed(&[&text[..middle], &text[middle..]]));
    assert_eq!(whole.lines, parts.lines);
    assert_eq!(whole.insights, parts.insights);
}

#[test]
fn rows_that_cannot_be_scored_are_counted_and_keep_their_line() {
    let text = rows(3, 9);
    let twice = format!("{text}{text}");
    let found = analyzed(&[&twice]);
    assert_eq!(found.counts, Counts { rows: 12, skipped: 6, ahead: 0 });
    assert_eq!(found.lines.len(), 13);
    assert!(found.lines[12].ends_with(",shop,catalog,,,"));
}

#[test]
fn rows_of_a_time_to_come_keep_their_line_and_change_nothing() {
    let at = |second: i64| Timestamp::from_second(1_795_356_000 + second).unwrap();
    let (mut insights, mut written) = (Insights::default(), Vec::new());
    let mut table = Table::new(SETTINGS, Some(Detector::Robust));
    table.leave_out_after(latest_credible(SETTINGS, at(40)));
    let mut sink = Sink {
        lines: Some(Lines::new(&mut written).unwrap()),
        insights: &mut insights,
        latest: None,
        namespace: None,
        tracker: None,
    };
    let ahead = format!("{},shop,cart,1,2,3\n{},shop,cart,1,2,3\n", at(101), "2099-01-01T00:00:00Z");
    table.read(format!("{HEADER}{}{ahead}{}", rows(2, 9), rows(3, 9)).as_bytes(), &mut sink).unwrap();
    sink.lines.as_mut().unwrap().flush().unwrap();
    drop(sink);
    let counts = table.counts();
    assert_eq!(counts, Counts { rows: 12, skipped: 4, ahead: 2 });
    let said: Vec<String> = counts.warnings().collect();
    assert!(said[0].starts_with("4 of 12 rows were not newer"), "{said:?}");
    assert!(said[1].starts_with("2 of 12 rows are of a time that is still to come"), "{said:?}");
    assert_eq!(insights.last(), Some(at(60)));
    let written = String::from_utf8(written).unwrap();
    assert!(written.lines().any(|line| line == "2099-01-01T00:00:00Z,shop,cart,,,"), "{written}");
}

#[test]
fn a_bad_row_is_named_and_what_stands_before_it_is_scored() {
    let found = analyzed(&[&format!("{}yesterday,shop,cart,1,2,3\n{}", rows(2, 9), rows(1, 9))]);
    assert_eq!(
        found.error.unwrap(),
        "line 6, column \"timestamp\": \"yesterday\" is not a time like 2026-11-22T13:12:11Z"
    );
    assert_eq!(found.lines.len(), 5);
}

#[test]
fn names_that_a_spreadsheet_would_run_are_made_harmless() {
    let found = analyzed(&["2026-11-22T13:00:00Z,=cmd(),@x,1,2,3\n"]);
    assert!(found.lines[1].starts_with("2026-11-22T13:00:00Z,'=cmd(),'@x,"), "{}", found.lines[1]);
}

#[test]
fn what_the_model_did_not_score_is_said_in_the_document() {
    let mut insights = Insights::default();
    let mut table = Table::new(SETTINGS, None);
    let mut sink: Sink<'_, Vec<u8>> =
        Sink { lines: None, insights: &mut insights, latest: None, tracker: None, namespace: None };
    table.read(format!("{HEADER}{}", rows(2, 9)).as_bytes(), &mut sink).unwrap();
    let document = serde_json::to_value(insights.document("pod_metrics.csv", &ModelInfo::default(), 0.7)).unwrap();
    assert_eq!(document["model_missed"], "2026-11-22T14:00:00Z: no model loaded; so it was at 2 times");
    assert!(analyzed(&[&rows(2, 9)]).insights.get("model_missed").is_none());
}

#[test]
fn what_the_model_did_not_score_of_others_is_not_said() {
    let missed = |namespace: &str| {
        let mut insights = Insights::default();
        let mut sink: Sink<'_, Vec<u8>> =
            Sink { lines: None, insights: &mut insights, latest: None, tracker: None, namespace: Some(namespace) };
        Table::new(SETTINGS, None).read(format!("{HEADER}{}", rows(2, 9)).as_bytes(), &mut sink).unwrap();
        insights.missed().is_some()
    };
    assert!(missed("shop") && !missed("mail"));
}

#[test]
fn hard_facts_speak_before_anything_is_learnt() {
    let mut insights = Insights::default();
    let mut scorer = Scorer::new(SETTINGS, None);
    let facts = PodFacts { uid: "1".into(), phase: guard_model::sample::Phase::Failed, ..PodFacts::default() };
    let measures = guard_model::sample::Measures::default();
    let sample = PodSample { at: 0.0, fresh: true, reset: false, facts, measures, metrics: Vec::new() };
    let at = Timestamp::UNIX_EPOCH;
    let judged = scorer.judge(at, &[sample], |verdict| {
        insights.take(at, &verdict);
        Ok::<(), ()>(())
    });
    assert_eq!(judged, Ok(()));
    assert_eq!(insights.worst()[0][5], "pod failed");
}
