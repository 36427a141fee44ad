//! One pod in depth, as text.

use guard_model::report::{FeatureView, PodReport};
use guard_model::sample::PodFacts;
use guard_model::words;
use jiff::Timestamp;

use crate::logs::Tail;
use crate::plan::Kind;
use crate::render::{self, Style, sparkline};
use crate::rows::Row;
use crate::sanitise;

/// Events shown; the latest say the most.
const EVENTS: usize = 10;
const LABEL: usize = 10;

/// What is known of a pod beside its row.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    /// What the exporter said of it.
    pub report: Option<PodReport>,
    /// What Kubernetes says of it.
    pub facts: PodFacts,
    /// `container: image` of each container.
    pub images: Vec<String>,
    /// Its events, the latest first.
    pub events: Vec<EventLine>,
    /// Why events could not be read.
    pub events_note: Option<String>,
    /// The revision that made it, or why it is not known; `None` if it has no revisions, or was not asked for.
    pub rollout: Option<Result<Rollout, String>>,
    /// What a container wrote before it last ended; `None` if that was not asked for.
    pub logs: Option<Tail>,
}

/// One revision of a Deployment. Its text is sanitised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Its ReplicaSet.
    pub name: String,
    /// Its number, as `kubectl rollout history` counts.
    pub revision: Option<String>,
    /// When the ReplicaSet was made.
    pub made: Option<Timestamp>,
}

/// One event of a pod. Its text is sanitised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLine {
    /// When it last happened.
    pub at: Option<Timestamp>,
    /// `Warning` or `Normal`.
    pub kind: String,
    /// A word, such as `BackOff`.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// How often.
    pub count: i32,
}

/// Everything about the pod.
pub fn pod(row: &Row, detail: &Detail, style: Style) -> String {
    let mut out = format!("pod/{} in namespace {}\n", row.name, row.namespace);
    label(&mut out, "score", &verdict(row, style.now));
    if let Some(report) = &detail.report {
        label(&mut out, "history", &history(report));
    }
    for (i, reason) in row.reasons.iter().enumerate() {
        let text = format!("{} ({:.2})", reason.text, reason.score);
        label(
            &mut out,
            if i == 0 { "why" } else { "" },
            &sanitise::fit(&text, style.columns.saturating_sub(LABEL + 1)),
        );
    }
    if let Some(note) = &row.note {
        label(&mut out, "note", note);
    }
    label(&mut out, "owner", &owner(row));
    if let Some(rollout) = &detail.rollout {
        label(&mut out, "rollout", &revision(rollout, style.now));
    }
    label(&mut out, "node", row.node.as_deref().unwrap_or("none"));
    label(&mut out, "ready", &ready(row));
    if let Some(ended) = ended(&detail.facts, style.now) {
        label(&mut out, "last end", &ended);
    }
    for (i, image) in detail.images.iter().enumerate() {
        label(&mut out, if i == 0 { "image" } else { "" }, image);
    }
    if let Some(report) = detail.report.as_ref().filter(|report| !report.features.is_empty()) {
        out.push('\n');
        out.push_str(&features(&report.features, style));
    }
    out.push_str(&events(detail, style));
    out.push_str(&detail.logs.as_ref().map(tail).unwrap_or_default());
    if let Some(advice) = advice(row).filter(|_| row.is_anomalous()) {
        for part in ["\n", &advice, "\n"] {
            out.push_str(part);
        }
    }
    out
}

fn label(out: &mut String, label: &str, text: &str) {
    let line = format!("{label:<LABEL$} {text}");
    out.push_str(line.trim_end());
    out.push('\n');
}

fn verdict(row: &Row, now: Timestamp) -> String {
    let since = row.since.map(|at| format!(", for {}", words::duration(now.duration_since(at).as_secs_f64())));
    let word = if row.is_anomalous() { render::severity(row.severity) } else { render::state(row.state) };
    format!("{} {word}{}", render::score(row.score), since.unwrap_or_default())
}

fn history(report: &PodReport) -> String {
    let points = &report.history;
    let bars = sparkline::draw(points.iter().map(|point| point.score.map(f64::from)), 1.0);
    let span = match (points.first(), points.last()) {
        (Some(first), Some(last)) => words::duration((last.at - first.at) as f64),
        _ => return "none yet".to_owned(),
    };
    format!("{bars}  score over the last {span}, 0 to 1")
}

fn owner(row: &Row) -> String {
    row.workload.as_ref().map_or_else(|| "none: a bare pod".to_owned(), ToString::to_string)
}

fn ready(row: &Row) -> String {
    let restarts = match row.restarts {
        1 => "1 restart".to_owned(),
        n => format!("{n} restarts"),
    };
    format!("{} of {} containers, {restarts}", row.containers_ready, row.containers_total)
}

fn ended(facts: &PodFacts, now: Timestamp) -> Option<String> {
    let end = facts.terminated.as_ref()?;
    let ago = end.finished_at.map(|at| format!(", {} ago", words::duration(now.duration_since(at).as_secs_f64())));
    Some(format!("{}: {} (exit code {}){}", end.container, end.reason, end.exit_code, ago.unwrap_or_default()))
}

fn features(features: &[FeatureView], style: Style) -> String {
    // All 0 is what they are where nothing is known of them, as in metrics.
    let shared = features.iter().any(|feature| feature.share > 0.0);
    let lines: Vec<Vec<String>> = features
        .iter()
        .map(|feature| {
            let show = |value: f64| match &*feature.unit {
                "cores" => words::cores(value),
                "bytes" => words::bytes(value),
                "bytes_per_second" => words::rate(value),
                unit => format!("{value:.1} {unit}"),
            };
            let expected = match (feature.expected_low, feature.expected_high) {
                (Some(low), Some(high)) => format!("{} to {}", show(low), show(high)),
                _ => "-".to_owned(),
            };
            let seen = feature.seen.map_or_else(|| "-".to_owned(), show);
            let mut line = vec![feature.name.to_string(), seen, expected];
            line.extend(shared.then(|| words::percent(feature.share)));
            line
        })
        .collect();
    let titles = ["FEATURE", "SEEN", "EXPECTED", "SHARE"];
    render::simple(&titles[..if shared { 4 } else { 3 }], &lines, style)
}

fn events(detail: &Detail, style: Style) -> String {
    if let Some(note) = &detail.events_note {
        return format!("\nevents not shown: {note}\n");
    }
    if detail.events.is_empty() {
        return String::new();
    }
    let line = |event: &EventLine| {
        let age = event.at.map(|at| words::duration(style.now.duration_since(at).as_secs_f64()));
        let times = if event.count > 1 { format!(" (x{})", event.count) } else { String::new() };
        vec![age.unwrap_or_default(), event.kind.clone(), event.reason.clone() + &times, event.message.clone()]
    };
    let lines: Vec<Vec<String>> = detail.events.iter().take(EVENTS).map(line).collect();
    format!("\n{}", render::simple(&["AGE", "EVENT", "REASON", "MESSAGE"], &lines, style))
}

fn revision(rollout: &Result<Rollout, String>, now: Timestamp) -> String {
    match rollout {
        Ok(Rollout { name, revision, made }) => {
            let age = made.map(|at| format!(", made {} ago", words::duration(now.duration_since(at).as_secs_f64())));
            let revision = revision.as_deref().unwrap_or("unknown");
            format!("revision {revision} (ReplicaSet {name}{})", age.unwrap_or_default())
        }
        Err(problem) => format!("not known: {problem}"),
    }
}

fn tail(tail: &Tail) -> String {
    let container = tail.container.as_deref().map(|name| format!(" of {name} before it last ended"));
    let title = format!("\nlogs{}", container.unwrap_or_default());
    match &tail.note {
        Some(note) => format!("{title}: not shown: {note}\n"),
        None if tail.lines.is_empty() => format!("{title}: nothing\n"),
        None => format!("{title}:\n  {}\n", tail.lines.join("\n  ")),
    }
}

/// The command to type next, or what to do where `fix` would refuse.
fn advice(row: &Row) -> Option<String> {
    let target = row.target()?;
    let suggestion = row.suggestion();
    Some(match suggestion.filter(|suggestion| target.kind == Kind::Pod && suggestion.action.is_none()) {
        Some(suggestion) => format!("what to do:  {}", suggestion.advice),
        None => format!("see what could be done:  kubectl guard fix {target} -n {} --dry-run", row.namespace),
    })
}

#[cfg(test)]
mod tests {
    use guard_model::report::{HistoryPoint, State};
    use guard_model::sample::Termination;
    use guard_model::workload::Workload;

    use super::*;
    use crate::rows::tests::{now, report, shop};

    fn detail() -> Detail {
        let point = |i: i64| HistoryPoint {
            at: 1_000 + 15 * i,
            score: (i > 2).then_some(if i > 7 { 0.93 } else { 0.1 }),
            cpu: None,
            memory: None,
            receive: None,
            transmit: None,
        };
        let view = |name: &'static str, unit: &'static str, seen, share| FeatureView {
            name: name.into(),
            unit: unit.into(),
            seen,
            expected_low: seen.map(|seen| seen / 20.0),
            expected_high: seen.map(|seen| seen / 10.0),
            share,
        };
        let end = Termination {
            container: "cart".into(),
            reason: "OOMKilled".into(),
            exit_code: 137,
            finished_at: Some("2026-11-22T14:30:00Z".parse().unwrap()),
        };
        Detail {
            report: Some(PodReport {
                history: (0..12).map(point).collect(),
                features: vec![
                    view("cpu", "cores", Some(0.25), 0.1),
                    view("memory", "bytes", None, 0.0),
                    view("transmit", "bytes_per_second", Some(2_202_010.0), 0.9),
                ],
                ..report("cart-1", Some(0.93), State::Anomalous)
            }),
            facts: PodFacts { terminated: Some(end), ..PodFacts::default() },
            images: vec!["cart: registry.example.org/cart:1.2".into()],
            events: vec![EventLine {
                at: Some("2026-11-22T14:38:00Z".parse().unwrap()),
                kind: "Warning".into(),
                reason: "BackOff".into(),
                message: "Back-off restarting failed container cart in pod cart-1".into(),
                count: 5,
            }],
            events_note: None,
            rollout: Some(Ok(Rollout {
                name: "cart-5d4".into(),
                revision: Some("3".into()),
                made: Some("2026-11-22T12:30:00Z".parse().unwrap()),
            })),
            logs: Some(Tail {
                container: Some("cart".into()),
                lines: vec!["allocating 64 MiB".into(), "killed".into()],
                note: None,
            }),
        }
    }

    fn row(name: &str) -> Row {
        shop().into_iter().find(|row| row.name == name).unwrap()
    }

    #[test]
    fn what_fix_would_refuse_is_not_suggested() {
        let advised = |workload: Option<&str>| {
            let workload =
                workload.map(|text| text.split_once('/').unwrap()).map(|(kind, name)| Workload::new(kind, name));
            advice(&Row { workload, ..row("cart-1") }).unwrap()
        };
        let owners = [
            Some("Deployment/cart"),
            Some("DaemonSet/cart"),
            Some("Job/nightly"),
            Some("ReplicaSet/cart-5d4"),
            Some("Rollout/cart"),
            None,
        ];
        insta::assert_snapshot!(owners.map(advised).join("\n"));
        let unknown = Row { reasons: Vec::new(), workload: Some(Workload::new("Rollout", "cart")), ..row("cart-1") };
        assert_eq!(
            advice(&unknown).unwrap(),
            "see what could be done:  kubectl guard fix pod/cart-1 -n shop --dry-run"
        );
    }

    fn style() -> Style {
        Style { columns: 100, colour: false, headless: false, now: now() }
    }

    #[test]
    fn a_pod_is_explained_on_one_page() {
        insta::assert_snapshot!(pod(&row("cart-1"), &detail(), style()));
    }

    #[test]
    fn a_pod_without_a_report_says_what_is_known() {
        let detail = Detail {
            events_note: Some("you may not list events".into()),
            rollout: Some(Err("you may not get replicasets.apps in namespace shop".into())),
            logs: Some(Tail { note: Some("none of its containers has ended yet".into()), ..Tail::default() }),
            ..Detail::default()
        };
        insta::assert_snapshot!(pod(&row("redis-1"), &detail, style()));
    }
}
