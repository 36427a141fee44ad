//! Every table as people see it.

use super::*;
use crate::rows::{
    self,
    tests::{now, shop},
};

fn style(columns: usize) -> Style {
    Style { columns, colour: false, headless: false, now: now() }
}

#[test]
fn a_wide_terminal_shows_whole_reasons() {
    insta::assert_snapshot!(pods(&shop(), More { namespaces: true, ..More::default() }, style(180)));
}

#[test]
fn at_100_columns_nothing_wraps() {
    let table = pods(&shop(), More::default(), style(100));
    assert!(table.lines().all(|line| sanitise::width(line) <= 100), "{table}");
    insta::assert_snapshot!(table);
}

#[test]
fn more_columns_on_request() {
    insta::assert_snapshot!(pods(&shop(), More { wide: true, ..More::default() }, style(200)));
}

#[test]
fn labels_stand_last_and_are_told_to_be_none() {
    let mut rows = shop();
    rows.truncate(2);
    rows[0].labels = [("tier".into(), "db".into()), ("app".into(), "cart".into())].into();
    insta::assert_snapshot!(pods(&rows, More { labels: true, ..More::default() }, style(180)));
}

#[test]
fn workloads_and_nodes() {
    insta::assert_snapshot!("workloads", groups(&rows::workloads(&shop()), "WORKLOAD", false, style(120)));
    insta::assert_snapshot!("nodes", groups(&rows::nodes(&shop(), &[]), "NODE", false, style(120)));
}

#[test]
fn without_titles_for_scripts() {
    let headless = pods(&shop(), More::default(), Style { headless: true, ..style(100) });
    assert!(headless.starts_with("idle-1"), "{headless}");
}

#[test]
fn colour_only_repeats_what_words_say() {
    let colour = pods(&shop(), More::default(), Style { colour: true, ..style(100) });
    assert!(colour.contains("\u{1b}["));
    let stripped: String = colour.lines().map(|line| sanitise::line(line).trim_end().to_owned() + "\n").collect();
    assert_eq!(stripped, pods(&shop(), More::default(), style(100)));
}
