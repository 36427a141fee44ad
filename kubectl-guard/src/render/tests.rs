//! Every table as people see it.

use super::*;
use crate::console::capture;
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
fn a_reason_is_whole_where_the_line_is_too_long_anyway() {
    let reason = "received 1.1 MiB/s, expected 20 to 90 KiB/s";
    for columns in [40, 65] {
        let table = pods(&shop(), More::default(), style(columns));
        assert!(table.contains(reason) && !table.contains('…'), "{table}");
    }
    assert!(!pods(&shop(), More::default(), style(80)).contains(reason));
    assert!(pods(&shop(), More::default(), style(80).whole(true)).contains(reason));
}

#[test]
fn only_a_terminal_has_its_reasons_cut() {
    let shown = |console: &Console| pods(&shop(), More::default(), Style::of(console, now()));
    assert!(shown(&capture::terminal(100).0).contains('…'));
    assert!(!shown(&capture::console(100).0).contains('…'));
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
