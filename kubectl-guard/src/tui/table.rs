//! The tables of the views: which lines there are, in which order, and which columns they have. Pure.

use guard_model::report::Severity;
use guard_model::words;
use jiff::Timestamp;

use super::View;
use super::snapshot::{Past, Snapshot};
use super::text::{Tone, Toned, filled};
use crate::audit::Closed;
use crate::desk::Waiting;
use crate::outcome::StepOutcome;
use crate::render;
use crate::rows::Row;
use crate::sanitise;

/// Blanks between two columns.
const GAP: usize = 2;
/// A column of this worth is never left out.
const NEEDED: u8 = 9;
/// The column that takes what the others leave gets at least this, as long as another can be left out.
const NARROWEST: usize = 16;

/// One line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Names what it shows: the cursor stays with it when the order changes.
    pub key: String,
    /// One a column.
    pub cells: Vec<Toned>,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// It takes what the others leave.
    pub rest: bool,
    /// Those with less are left out first where there is no room for all.
    pub worth: u8,
}

const fn column(title: &'static str, worth: u8) -> Column {
    Column { title, rest: false, worth }
}

const fn rest(title: &'static str) -> Column {
    Column { title, rest: true, worth: 8 }
}

const PODS: [Column; 9] = [
    column("NAMESPACE", 5),
    column("POD", NEEDED),
    column("SCORE", NEEDED),
    column("SEVERITY", NEEDED),
    rest("REASON"),
    column("SINCE", 6),
    column("FIX", 4),
    column("READY", 2),
    column("RESTARTS", 1),
];
const INCIDENTS: [Column; 7] = [
    column("BEGAN", 5),
    column("LASTED", 7),
    column("NAMESPACE", 3),
    column("FIRST", NEEDED),
    column("PODS", 6),
    rest("REASON"),
    column("BEFORE", 4),
];
const PLANS: [Column; 6] = [
    column("PLAN", NEEDED),
    column("NAMESPACE", 6),
    column("SCORE", 7),
    column("SINCE", 5),
    column("BY", 4),
    rest("REASON"),
];
const HISTORY: [Column; 6] = [
    column("WHEN", 6),
    column("ACTION", 7),
    column("TARGET", NEEDED),
    column("NAMESPACE", 4),
    column("BY", 2),
    rest("OUTCOME"),
];
const LOG: [Column; 1] = [rest("LOG")];

/// The columns of a view.
pub fn columns(view: View) -> &'static [Column] {
    match view {
        View::Pods => &PODS,
        View::Incidents => &INCIDENTS,
        View::Plans => &PLANS,
        View::History => &HISTORY,
        View::Log => &LOG,
    }
}

/// The orders that a view has, the first one being what it begins with.
pub fn orders(view: View) -> &'static [&'static str] {
    match view {
        View::Pods => &["worst first", "by name", "latest trouble first", "most restarts first"],
        View::Incidents => &["latest first", "most pods first"],
        View::Plans => &["highest score first", "oldest first"],
        View::History => &["latest first", "by target"],
        View::Log => &["latest last"],
    }
}

/// The lines of a view that hold `filter`, in this order.
pub fn lines(seen: &Snapshot, view: View, order: usize, filter: &str) -> Vec<Line> {
    let mut lines = match view {
        View::Pods => pods(seen, order),
        View::Incidents => incidents(seen, order),
        View::Plans => plans(seen, order),
        View::History => history(seen, order),
        View::Log => log(seen),
    };
    let wanted = filter.to_lowercase();
    if !wanted.is_empty() {
        lines.retain(|line| line.cells.iter().any(|cell| cell.text.to_lowercase().contains(&wanted)));
    }
    lines
}

/// The key of a pod.
pub fn pod_key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn pods(seen: &Snapshot, order: usize) -> Vec<Line> {
    let mut rows: Vec<&Row> = seen.scored.rows.iter().collect();
    match order {
        1 => rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name))),
        2 => rows.sort_by_key(|row| std::cmp::Reverse(row.since)),
        3 => rows.sort_by_key(|row| std::cmp::Reverse(row.restarts)),
        _ => {}
    }
    rows.into_iter().map(|row| pod(row, seen.at)).collect()
}

fn pod(row: &Row, now: Timestamp) -> Line {
    let tone = severe(row.severity);
    let cells = vec![
        row.namespace.as_str().into(),
        row.name.as_str().into(),
        Toned::new(render::score(row.score), tone),
        Toned::new(render::severity_or_state(row), tone),
        row.reason().into(),
        row.since.map(|since| age(since, now)).unwrap_or_default().into(),
        row.fix.unwrap_or_default().into(),
        format!("{}/{}", row.containers_ready, row.containers_total).into(),
        row.restarts.to_string().into(),
    ];
    Line { key: pod_key(&row.namespace, &row.name), cells }
}

fn severe(severity: Severity) -> Tone {
    match severity {
        Severity::None => Tone::Plain,
        Severity::Warning => Tone::Warning,
        Severity::Critical => Tone::Critical,
    }
}

fn incidents(seen: &Snapshot, order: usize) -> Vec<Line> {
    let mut all: Vec<_> = seen.scored.incidents.iter().collect();
    if order == 1 {
        all.sort_by_key(|known| std::cmp::Reverse(known.incident.pods.len()));
    }
    let line = |known: &crate::incidents::Known| {
        let incident = &known.incident;
        let first = incident.pods.first()?;
        let lasted = match incident.until {
            Some(until) => Toned::from(age(incident.from, until)),
            None => Toned::new(format!("{} and on", age(incident.from, seen.at)), Tone::Warning),
        };
        let cells = vec![
            incident.from.strftime("%H:%M:%SZ").to_string().into(),
            lasted,
            first.namespace.as_str().into(),
            first.pod.as_str().into(),
            incident.pods.len().to_string().into(),
            first.reason.as_str().into(),
            sanitise::line(&known.before()).into(),
        ];
        Some(Line { key: incident.id.clone(), cells })
    };
    all.into_iter().filter_map(line).collect()
}

/// The key of a proposal.
pub fn plan_key(waiting: &Waiting) -> String {
    format!("{} {} {}", waiting.namespace, waiting.target, waiting.by)
}

fn plans(seen: &Snapshot, order: usize) -> Vec<Line> {
    let mut all: Vec<_> = seen.waiting.iter().collect();
    if order == 1 {
        all.sort_by_key(|waiting| waiting.at);
    } else {
        all.sort_by(|a, b| b.score.unwrap_or(-1.0).total_cmp(&a.score.unwrap_or(-1.0)));
    }
    let line = |waiting: &crate::run::state::Waiting| {
        let cells = vec![
            waiting.action.as_str().into(),
            waiting.namespace.as_str().into(),
            render::score(waiting.score).into(),
            age(waiting.at, seen.at).into(),
            waiting.by.to_string().into(),
            waiting.reason.clone().unwrap_or_default().into(),
        ];
        Line { key: plan_key(waiting), cells }
    };
    all.into_iter().map(line).collect()
}

fn history(seen: &Snapshot, order: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = seen.past.iter().map(past).collect();
    if order == 1 {
        lines.sort_by(|a, b| a.cells[2].text.cmp(&b.cells[2].text));
    }
    lines
}

fn past(past: &Past) -> Line {
    let when = past.at().strftime("%m-%d %H:%M:%SZ").to_string();
    let cells = match past {
        Past::Proposed(entry) => vec![
            when.into(),
            Toned::new("proposed", Tone::Dim),
            entry.proposal.target.as_str().into(),
            entry.proposal.namespace.as_str().into(),
            entry.proposal.by.to_string().into(),
            Toned::new(
                if entry.declined.is_some() { "declined" } else { "withdrawn: no longer over its line" },
                Tone::Dim,
            ),
        ],
        Past::Done(entry) => vec![
            when.into(),
            entry.action.as_str().into(),
            entry.target.as_str().into(),
            entry.namespace.as_str().into(),
            entry.identity.as_str().into(),
            outcome(entry),
        ],
    };
    Line { key: past.key(), cells }
}

/// What a plan came to, in a few words.
pub fn outcome(entry: &crate::audit::Entry) -> Toned {
    use crate::outcome::Outcome;
    let written = match &entry.outcome {
        Some(StepOutcome::Done { .. }) => "done",
        Some(StepOutcome::NotDone { .. }) => return Toned::new("not done", Tone::Critical),
        Some(StepOutcome::Unknown { .. }) | None => match &entry.closed {
            Some(Closed::ContinuedBy { id }) => return format!("gone on with by {}", sanitise::line(id)).into(),
            Some(Closed::Aborted) => return "left as far as it got".into(),
            None => {
                return Toned::new(format!("unknown: fix --resume {} looks it up", entry.id), Tone::Warning);
            }
        },
    };
    match entry.verified {
        None => format!("{written}, not verified").into(),
        Some(Outcome::Recovered) => Toned::new(format!("{written}, recovered"), Tone::Good),
        Some(other) => Toned::new(format!("{written}, {}", other.name()), Tone::Warning),
    }
}

fn log(seen: &Snapshot) -> Vec<Line> {
    let tone = |line: &str| {
        let level = line.split_whitespace().nth(1).unwrap_or_default();
        match level {
            "error" => Tone::Critical,
            "warning" => Tone::Warning,
            "debug" => Tone::Dim,
            _ => Tone::Plain,
        }
    };
    let line = |(place, line): (usize, &String)| Line {
        key: (seen.log.before + place as u64).to_string(),
        cells: vec![Toned::new(line.as_str(), tone(line))],
    };
    seen.log.lines.iter().enumerate().map(line).collect()
}

/// The time from then to then, as people say it.
pub fn age(from: Timestamp, to: Timestamp) -> String {
    words::duration(to.duration_since(from).as_secs_f64().max(0.0))
}

/// Which columns are shown in `room`, and how wide; in their order.
pub fn widths(columns: &[Column], lines: &[Line], room: usize) -> Vec<(usize, usize)> {
    let natural = |place: usize| {
        let cells = lines.iter().map(|line| sanitise::width(&line.cells[place].text));
        cells.max().unwrap_or(0).max(columns[place].title.len())
    };
    // A column in which all lines say nothing, or all the same of the namespace or of who proposed it, tells nothing.
    let tells = |place: &usize| match columns[*place].title {
        "NAMESPACE" => lines.iter().skip(1).any(|line| line.cells[*place] != lines[0].cells[*place]),
        "BY" => lines.iter().any(|line| line.cells[*place].text != "guard"),
        "FIX" | "BEFORE" => lines.iter().any(|line| !line.cells[*place].text.is_empty()),
        _ => true,
    };
    let mut shown: Vec<(usize, usize)> =
        (0..columns.len()).filter(tells).map(|place| (place, natural(place))).collect();
    let needed = |shown: &[(usize, usize)]| -> usize {
        let wide = |(place, width): &(usize, usize)| GAP + if columns[*place].rest { NARROWEST } else { *width };
        shown.iter().map(wide).sum::<usize>().saturating_sub(GAP)
    };
    while needed(&shown) > room && shown.len() > 2 {
        let least = shown.iter().map(|(place, _)| columns[*place].worth).min().filter(|worth| *worth < NEEDED);
        let Some(out) = shown.iter().rposition(|(place, _)| Some(columns[*place].worth) == least) else { break };
        shown.remove(out);
    }
    squeezed(columns, shown, room)
}

/// The rest takes what is left; where even the most needed are too wide, the widest of them gives way.
fn squeezed(columns: &[Column], mut shown: Vec<(usize, usize)>, room: usize) -> Vec<(usize, usize)> {
    let gaps = GAP * shown.len().saturating_sub(1);
    let fixed: usize = shown.iter().filter(|(place, _)| !columns[*place].rest).map(|(_, width)| width).sum();
    let left = room.saturating_sub(fixed + gaps);
    if let Some(rest) = shown.iter_mut().find(|(place, _)| columns[*place].rest) {
        rest.1 = left;
    }
    let total: usize = shown.iter().map(|(_, width)| width).sum::<usize>() + gaps;
    if let Some(widest) = shown.iter_mut().max_by_key(|(_, width)| *width) {
        widest.1 = widest.1.saturating_sub(total.saturating_sub(room));
    }
    shown
}

/// A line in these columns.
pub fn row(cells: &[Toned], widths: &[(usize, usize)]) -> Vec<Toned> {
    let mut pieces = Vec::new();
    for (number, (place, width)) in widths.iter().enumerate() {
        if number > 0 {
            pieces.push(Toned::from(" ".repeat(GAP)));
        }
        pieces.push(Toned::new(filled(&cells[*place].text, *width), cells[*place].tone));
    }
    pieces
}
