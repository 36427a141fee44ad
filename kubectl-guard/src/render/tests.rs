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
    insta::assert_snapshot!(pods(&shop(), false, true, style(180)));
}

#[test]
fn at_100_columns_nothing_wraps() {
    let table = pods(&shop(), false, false, style(100));
    assert!(table.lines().all(|line| sanitise::width(line) <= 100), "{table}");
    insta::assert_snapshot!(table);
}

#[test]
fn more_columns_on_request() {
    insta::assert_snapshot!(pods(&shop(), true, false, style(200)));
}

#[test]
fn workloads_and_nodes() {
    insta::assert_snapshot!("workloads", groups(&rows::workloads(&shop()), "WORKLOAD", false, style(120)));
    insta::assert_snapshot!("nodes", groups(&rows::nodes(&shop(), &[]), "NODE", false, style(120)));
}

#[test]
fn without_titles_for_scripts() {
    let headless = pods(&shop(), false, false, Style { headless: true, ..style(100) });
    assert!(headless.starts_with("idle-1"), "{headless}");
}

#[test]
fn colour_only_repeats_what_words_say() {
    let colour = pods(&shop(), false, false, Style { colour: true, ..style(100) });
    assert!(colour.contains("\u{1b}["));
    let stripped: String = colour.lines().map(|line| sanitise::line(line).trim_end().to_owned() + "\n").collect();
    assert_eq!(stripped, pods(&shop(), false, false, style(100)));
}
