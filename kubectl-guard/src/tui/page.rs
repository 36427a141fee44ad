//! What is opened over a view: one thing in depth, as text. Pure.

use guard_model::incident::Incident;

use super::keys::BINDINGS;
use super::snapshot::{Past, Snapshot};
use super::table::{age, outcome, pod_key};
use super::text::{Tone, Toned, folded};
use crate::approve::{Approval, Screen};
use crate::desk::Shown;
use crate::incidents::Known;
use crate::render::Style;
use crate::render::explain::{self, Detail};
use crate::sanitise;

/// A thing that is opened. What it names may have gone by now.
#[derive(Clone, Debug, PartialEq)]
pub enum Page {
    /// The keys.
    Help,
    /// A pod, by namespace and name.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// An incident, by its id.
    Incident(String),
    /// Something that was proposed or done, by its key.
    Past(String),
    /// A line of the log.
    Words(String),
    /// A plan is being made for this.
    Looking(String),
    /// A plan, as `fix` would show it.
    Plan(Box<Shown>),
    /// What was said while a plan was carried out.
    Progress,
}

impl Page {
    /// Its heading.
    pub fn title(&self) -> String {
        match self {
            Page::Help => "Keys".to_owned(),
            Page::Pod { namespace, name } => format!("pod/{name} in namespace {namespace}"),
            Page::Incident(id) => format!("Incident {id}"),
            Page::Past(_) => "History".to_owned(),
            Page::Words(_) => "Log".to_owned(),
            Page::Looking(what) => format!("Plan for {what}"),
            Page::Plan(shown) => format!("Plan: {}", what(shown)),
            Page::Progress => "Carrying out a plan".to_owned(),
        }
    }

    /// Its text in lines of at most these columns.
    pub fn lines(&self, seen: &Snapshot, progress: &[String], columns: usize) -> Vec<Toned> {
        let lines = match self {
            Page::Help => help(),
            Page::Pod { namespace, name } => pod(seen, namespace, name, columns),
            Page::Incident(id) => incident(seen, id),
            Page::Past(key) => past(seen, key),
            Page::Words(line) => vec![line.as_str().into()],
            Page::Looking(_) => vec!["Reading the scores and the cluster, as fix does; nothing is changed.".into()],
            Page::Plan(shown) => shown.text.lines().map(plan_line).collect(),
            Page::Progress => progress.iter().map(|line| line.as_str().into()).collect(),
        };
        let fold = |line: Toned| {
            let tone = line.tone;
            folded(&line.text, columns.max(2)).into_iter().map(move |text| Toned { text, tone })
        };
        lines.into_iter().flat_map(fold).collect()
    }
}

/// What a plan would do to what.
pub fn what(shown: &Shown) -> String {
    let step = shown.plan.lead().map(|step| step.action.on(&step.target) + &step.target.place());
    sanitise::line(&step.unwrap_or_default())
}

fn help() -> Vec<Toned> {
    let line = |binding: &super::keys::Binding| format!("{:<11} {}", binding.shown, binding.does).into();
    let mut lines: Vec<Toned> = BINDINGS.iter().map(line).collect();
    let approval = "A plan is approved by typing its target's name, and by nothing else; it is then carried out as fix \
                    does it, with your own rights.";
    lines.extend([Toned::default(), approval.into()]);
    lines
}

fn gone(what: &str) -> Vec<Toned> {
    vec![Toned::new(format!("{what} is no longer there."), Tone::Dim)]
}

fn pod(seen: &Snapshot, namespace: &str, name: &str, columns: usize) -> Vec<Toned> {
    let key = pod_key(namespace, name);
    let row = seen.scored.rows.iter().find(|row| pod_key(&row.namespace, &row.name) == key);
    let Some(row) = row else { return gone("This pod") };
    let detail = Detail { report: seen.scored.pod(namespace, name).cloned(), ..Detail::default() };
    let style = Style { columns, colour: false, headless: false, now: seen.at };
    // Its first line is the heading.
    explain::pod(row, &detail, style).lines().skip(1).map(Toned::from).collect()
}

fn label(label: &str, text: impl std::fmt::Display) -> Toned {
    format!("{label:<10} {text}").into()
}

fn incident(seen: &Snapshot, id: &str) -> Vec<Toned> {
    let Some(known) = seen.scored.incidents.iter().find(|known| known.incident.id == id) else {
        return gone("This incident");
    };
    let Known { incident, .. } = known;
    let Incident { from, until, links, pods, .. } = incident;
    let mut lines = vec![label("began", from)];
    lines.push(match until {
        Some(until) => label("over", format_args!("{until}, after {}", age(*from, *until))),
        None => Toned { tone: Tone::Warning, ..label("open", format_args!("for {}", age(*from, seen.at))) },
    });
    let reasons: Vec<&str> = links.iter().map(|link| link.words()).collect();
    if !reasons.is_empty() {
        lines.push(label("together", format_args!("by {}", reasons.join(", "))));
    }
    let before = sanitise::line(&known.before());
    if !before.is_empty() {
        lines.push(label("before", before));
    }
    lines.push(Toned::default());
    lines.push(Toned::new("Its pods, the one that began first", Tone::Bold));
    for pod in pods {
        let later = age(*from, pod.since);
        let over = if pod.until.is_some() { ", under its line again" } else { "" };
        lines.push(format!("  {}/{} after {later}{over}", pod.namespace, pod.pod).into());
        lines.push(format!("    {} ({:.2})", pod.reason, pod.score).into());
    }
    lines
}

fn past(seen: &Snapshot, key: &str) -> Vec<Toned> {
    match seen.past.iter().find(|past| past.key() == key) {
        None => gone("This entry"),
        Some(Past::Proposed(entry)) => {
            let proposal = &entry.proposal;
            let mut lines = vec![
                label("proposed", format_args!("{}, by {}", proposal.action, proposal.by)),
                label("namespace", &proposal.namespace),
                label("plan", &entry.plan_id),
                label("at", proposal.at),
                label("score", crate::render::score(proposal.score)),
            ];
            lines.extend(proposal.reason.as_ref().map(|reason| label("why", reason)));
            lines.extend(entry.declined.map(|at| label("declined", at)));
            lines.extend(entry.withdrawn.map(|at| label("withdrawn", format_args!("{at}: no longer over its line"))));
            lines
        }
        Some(Past::Done(entry)) => {
            let approved = match &entry.approval {
                Approval::Typed { name, on: None } => format!("by typing {}", sanitise::line(name)),
                Approval::Typed { name, on: Some(Screen::Tui) } => {
                    format!("by typing {}, on a screen like this", sanitise::line(name))
                }
                Approval::Typed { name, on: Some(Screen::Dashboard) } => {
                    format!("by typing {}, in the dashboard", sanitise::line(name))
                }
                Approval::Digest => "by its digest".to_owned(),
                Approval::Automatic { threshold, score } => {
                    format!("by --yes: score {score:.2}, from {threshold:.2} on")
                }
            };
            let outcome = outcome(entry);
            vec![
                label("action", format_args!("{} {}", entry.action, entry.target)),
                label("namespace", &entry.namespace),
                label("plan", &entry.id),
                label("digest", &entry.digest),
                label("at", entry.at),
                label("context", format_args!("{} ({})", entry.context, entry.server)),
                label("as", &entry.identity),
                label("approved", approved),
                Toned { tone: outcome.tone, ..label("outcome", outcome.text) },
            ]
        }
    }
}

/// A line of a plan; its words come from the cluster and from plans that others wrote.
fn plan_line(line: &str) -> Toned {
    let text = sanitise::line(line);
    let tone = if text.contains("REFUSED") || text.contains("may NOT") {
        Tone::Critical
    } else if text.contains("OVERRIDDEN") {
        Tone::Warning
    } else if text.starts_with("  +") {
        Tone::Good
    } else if text.starts_with("  -") {
        Tone::Warning
    } else if text.starts_with(' ') || text.starts_with("Digest") {
        Tone::Plain
    } else {
        Tone::Bold
    };
    Toned::new(text, tone)
}
