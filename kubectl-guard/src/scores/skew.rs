//! Reports of exporters that are not of this version, as the bytes that came over the wire.

use guard_model::cause::Cause;
use guard_model::report::{NodeReport, State};
use guard_model::sample::PodFacts;

use super::Scores;
use super::portforward::parse;
use crate::commands::explain;
use crate::render::explain as page;
use crate::render::{self, More, Style};
use crate::rows;
use crate::rows::tests::{now, pod};

/// What an exporter of this version writes; its own tests hold it to these bytes.
const OURS: &[u8] = include_bytes!("../../../models/tests/fixtures/report.json");
/// With nothing but what a report of this version cannot be without.
const OLDER: &[u8] = include_bytes!("skew/older.json");
/// With fields, a cause and a feature that this version does not know.
const NEWER: &[u8] = include_bytes!("skew/newer.json");

fn read(bytes: &[u8]) -> NodeReport {
    parse(bytes).unwrap()
}

/// The pods of the reports, as the user sees them.
fn facts(report: &NodeReport) -> Vec<PodFacts> {
    let seen =
        |told: &guard_model::report::PodReport| PodFacts { uid: told.uid.clone(), ..pod(&told.name, Some("node1")) };
    report.pods.iter().map(seen).collect()
}

/// The table of the pods and the first of them in depth; what is to be known about them.
fn shown(bytes: &[u8]) -> (String, Vec<String>) {
    let report = read(bytes);
    let facts = facts(&report);
    let scores = Scores { reports: vec![report], ..Scores::default() };
    let rows = rows::join(&scores, &facts, now());
    let style = Style { columns: 100, colour: false, headless: false, now: now() };
    let detail = explain::detail(&k8s_openapi::api::core::v1::Pod::default(), &scores, &rows[0].uid);
    let first = page::pod(&rows[0], &detail, style);
    (format!("{}\n{first}", render::pods(&rows, More::default(), style)), scores.warnings(now()))
}

#[test]
fn a_report_of_this_version_is_read_whole() {
    let report = read(OURS);
    assert_eq!(serde_json::to_vec(&report).unwrap(), OURS, "something is lost");
}

#[test]
fn what_an_older_exporter_does_not_say_is_shown_as_unknown() {
    let (page, warnings) = shown(OLDER);
    insta::assert_snapshot!(page);
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn what_a_newer_exporter_says_more_is_left_out() {
    let report = read(NEWER);
    let causes: Vec<Cause> = report.pods[0].reasons.iter().map(|reason| reason.cause).collect();
    assert_eq!((report.pods[0].state, causes), (State::Anomalous, vec![Cause::Memory]));
    assert_eq!(report.pods[0].began, None);
    let (page, warnings) = shown(NEWER);
    insta::assert_snapshot!(page);
    let [skew] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(skew.contains("exporters are 0.99.0;"), "{skew}");
}

#[test]
fn a_report_that_would_be_misread_is_refused_and_says_what_to_upgrade() {
    let later = parse(include_bytes!("skew/later.json")).unwrap_err();
    assert_eq!(later, "its exporter speaks version 2, this plugin understands up to 1: upgrade the plugin");
    let earlier = parse(br#"{"version": 0, "pods": []}"#).unwrap_err();
    assert!(
        earlier.contains("this plugin understands 1 and later: to upgrade it, run `kubectl guard install`"),
        "{earlier}"
    );
}
