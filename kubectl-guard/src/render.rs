//! Rows as text: tables without borders, as kubectl's.
//!
//! At a terminal the reason is cut to what the other columns leave of a line. Where they leave next to nothing the line is
//! longer than the terminal in any case, so the reason stays whole; and so it does where no terminal is, or more was asked for.

use std::collections::BTreeMap;

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use guard_model::report::{Severity, State};
use guard_model::words;
use jiff::Timestamp;

use crate::console::Console;
use crate::rows::{Group, Row};
use crate::sanitise;

pub mod explain;
pub mod prose;
pub mod sparkline;

/// A column that would be cut to less than this is not cut.
const NARROWEST: usize = 12;
/// Columns stand this far apart, as kubectl's do.
const GAP: usize = 3;

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Columns of the terminal; [`usize::MAX`] if nothing is to be cut.
    pub columns: usize,
    /// Colours are shown.
    pub colour: bool,
    /// The line of titles is left out.
    pub headless: bool,
    /// The time that ages are counted to.
    pub now: Timestamp,
}

impl Style {
    /// For this console, at this time.
    pub fn of(console: &Console, now: Timestamp) -> Self {
        // Whoever reads a pipe looks for words, and has no line that could be too short.
        let columns = if console.is_terminal() { console.columns() } else { usize::MAX };
        Self { columns, colour: console.colour(), headless: false, now }
    }

    /// The same with whole cells, if `wide`.
    #[must_use]
    pub fn whole(self, wide: bool) -> Self {
        Self { columns: if wide { usize::MAX } else { self.columns }, ..self }
    }
}

/// A cell with what it stands for.
#[derive(Clone, Debug, PartialEq)]
struct Field {
    text: String,
    severity: Severity,
}

fn plain(text: impl Into<String>) -> Field {
    Field { text: text.into(), severity: Severity::None }
}

/// Columns that not everybody wants.
#[derive(Clone, Copy, Debug, Default)]
pub struct More {
    /// The namespace, first.
    pub namespaces: bool,
    /// Workload, node, readiness and restarts.
    pub wide: bool,
    /// Labels, last.
    pub labels: bool,
}

/// The table of pods.
pub fn pods(rows: &[Row], more: More, style: Style) -> String {
    let More { namespaces, wide, labels } = more;
    let mut titles = vec!["POD", "SCORE", "SEVERITY", "REASON", "SINCE", "FIX"];
    if namespaces {
        titles.insert(0, "NAMESPACE");
    }
    if wide {
        titles.extend(["WORKLOAD", "NODE", "READY", "RESTARTS"]);
    }
    if labels {
        titles.push("LABELS");
    }
    let lines = rows.iter().map(|row| {
        let mut line = vec![
            plain(&row.name),
            Field { text: score(row.score), severity: row.severity },
            Field { text: severity_or_state(row).to_owned(), severity: row.severity },
            plain(row.reason()),
            plain(since(row.since, style.now)),
            plain(row.fix.unwrap_or("")),
        ];
        if namespaces {
            line.insert(0, plain(&row.namespace));
        }
        if wide {
            line.push(plain(row.workload.as_ref().map(ToString::to_string).unwrap_or_default()));
            line.push(plain(row.node.clone().unwrap_or_default()));
            line.push(plain(format!("{}/{}", row.containers_ready, row.containers_total)));
            line.push(plain(row.restarts.to_string()));
        }
        if labels {
            line.push(plain(label_list(&row.labels)));
        }
        line
    });
    table(&titles, lines.collect(), style)
}

/// The table of workloads, or of nodes (`what` is the title of its first column).
pub fn groups(groups: &[Group], what: &'static str, namespaces: bool, style: Style) -> String {
    let of = if what == "NODE" { "WORKLOADS OVER" } else { "PODS OVER" };
    let mut titles = vec![what, "SCORE", "SEVERITY", of, "REASON", "SINCE", "FIX"];
    if namespaces {
        titles.insert(0, "NAMESPACE");
    }
    let lines = groups.iter().map(|group| {
        let mut line = vec![
            plain(&group.name),
            Field { text: score(group.score), severity: group.severity },
            Field { text: group_severity(group).to_owned(), severity: group.severity },
            plain(format!("{} of {}", group.over, group.of)),
            plain(&group.reason),
            plain(since(group.since, style.now)),
            plain(group.fix.unwrap_or("")),
        ];
        if namespaces {
            line.insert(0, plain(group.namespace.clone().unwrap_or_default()));
        }
        line
    });
    table(&titles, lines.collect(), style)
}

/// A table of two or more plain columns; the last one gives way.
pub fn simple(titles: &[&str], lines: &[Vec<String>], style: Style) -> String {
    table(titles, lines.iter().map(|line| line.iter().map(plain).collect()).collect(), style)
}

/// Draws it. REASON, else the last column, takes what the others leave, if that is enough for some words.
fn table(titles: &[&str], mut lines: Vec<Vec<Field>>, style: Style) -> String {
    let empty: Vec<usize> =
        (0..titles.len()).filter(|&i| titles[i] == "FIX" && lines.iter().all(|line| line[i].text.is_empty())).collect();
    let elastic = titles.iter().position(|title| *title == "REASON").unwrap_or(titles.len().saturating_sub(1));
    let widths: Vec<usize> = (0..titles.len())
        .map(|i| {
            let title = if style.headless { 0 } else { titles[i].len() };
            lines.iter().map(|line| sanitise::width(&line[i].text)).max().unwrap_or(0).max(title)
        })
        .collect();
    let others: usize =
        (0..titles.len()).filter(|i| *i != elastic && !empty.contains(i)).map(|i| widths[i] + GAP).sum();
    let room = style.columns.checked_sub(others).filter(|room| *room >= NARROWEST).unwrap_or(usize::MAX);
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if style.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    let kept = |i: &usize| !empty.contains(i);
    if !style.headless {
        table.set_header((0..titles.len()).filter(kept).map(|i| titles[i]));
    }
    for line in &mut lines {
        line[elastic].text = sanitise::fit(&line[elastic].text, room);
        table.add_row((0..titles.len()).filter(kept).map(|i| cell(&line[i])));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP as u16));
    }
    let drawn = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    drawn.collect()
}

fn cell(field: &Field) -> Cell {
    let cell = Cell::new(&field.text);
    match field.severity {
        Severity::None => cell,
        Severity::Warning => cell.fg(Color::Yellow),
        Severity::Critical => cell.fg(Color::Red).add_attribute(Attribute::Bold),
    }
}

/// A score as it is shown everywhere; `-` if it is unknown.
pub fn score(score: Option<f64>) -> String {
    // 0.999 must not read as certainty.
    score.map_or_else(|| "-".to_owned(), |score| format!("{:.2}", score.min(0.99)))
}

/// `a=1,b=2`, as kubectl shows labels.
fn label_list(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// The word for a severity.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::None => "ok",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

/// Nothing can be said of a workload without a score.
fn group_severity(group: &Group) -> &'static str {
    if group.score.is_none() { "-" } else { severity(group.severity) }
}

/// The word for a state.
pub fn state(state: Option<State>) -> &'static str {
    match state {
        Some(State::Ok) => "ok",
        Some(State::Anomalous) => "anomalous",
        Some(State::Learning) => "learning",
        Some(State::Stale) => "stale",
        Some(State::Muted) => "muted",
        None => "unscored",
    }
}

/// Severity says more where there is one; else the state does.
pub fn severity_or_state(row: &Row) -> &'static str {
    match row.state {
        Some(State::Anomalous) => severity(row.severity),
        other => state(other),
    }
}

/// A time of a file, with the day where there are several; a column of whole timestamps would take twice the room.
pub fn clock(at: Timestamp, days: bool) -> String {
    at.strftime(if days { "%m-%d %H:%M:%SZ" } else { "%H:%M:%SZ" }).to_string()
}

fn since(since: Option<Timestamp>, now: Timestamp) -> String {
    since.map(|at| words::duration(now.duration_since(at).as_secs_f64())).unwrap_or_default()
}

#[cfg(test)]
mod tests;
