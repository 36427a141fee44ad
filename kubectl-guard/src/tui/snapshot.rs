//! What there is to show at one moment. Pure: made from reports and records, all text in it sanitised.

use std::collections::BTreeMap;
use std::sync::Arc;

use guard_model::incident::{Tracker, group};
use guard_model::report::{NodeReport, PodReport};
use jiff::Timestamp;

use crate::audit;
use crate::desk::Proposer;
use crate::incidents::{Fix, Known, known};
use crate::rows::{self, Row};
use crate::run::history;
use crate::run::state::Waiting;
use crate::sanitise;
use crate::scores;

/// Everything that is shown.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was made.
    pub at: Timestamp,
    /// When the run began.
    pub started: Timestamp,
    /// The context, or what is shown instead of a cluster.
    pub place: String,
    /// All parts wait to be resumed.
    pub paused: bool,
    /// Parts that failed and are to be started again, each with the reason.
    pub failing: Vec<String>,
    /// What was scored last.
    pub scored: Arc<Scored>,
    /// Proposals that wait.
    pub waiting: Vec<Waiting>,
    /// What was proposed and what was done, the latest first.
    pub past: Arc<Vec<Past>>,
    /// The log.
    pub log: Arc<Log>,
}

/// The latest lines of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// How many lines there were before these.
    pub before: u64,
    /// The lines, oldest first.
    pub lines: Vec<String>,
    /// The folder that the log goes to instead, if it does.
    pub folder: Option<String>,
}

/// One look at the scores.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    /// What was reported.
    pub reports: Vec<NodeReport>,
    /// The pods, the worst first.
    pub rows: Vec<Row>,
    /// The incidents since the run began, the latest first.
    pub incidents: Vec<Known>,
}

/// Something that was proposed, or done.
#[derive(Clone, Debug, PartialEq)]
pub enum Past {
    /// A proposal that waits no longer: it was declined, or withdrawn.
    Proposed(history::Entry),
    /// A plan that was carried out, from this machine, by whichever command.
    Done(audit::Entry),
}

impl Scored {
    /// What the reports come to. `tracker` remembers the incidents that are over, `fixes` what was done about others.
    pub fn of(reports: &[NodeReport], tracker: &mut Tracker, fixes: &BTreeMap<String, (usize, Fix)>) -> Self {
        let reports: Vec<NodeReport> = reports.iter().cloned().map(scores::sanitised).collect();
        for report in &reports {
            let node = Some(report.node.as_str()).filter(|node| !node.is_empty());
            for pod in &report.pods {
                tracker.take(report.at, node, pod);
            }
        }
        if let Some(at) = reports.iter().map(|report| report.at).max() {
            let pods = || reports.iter().flat_map(|report| &report.pods);
            let there: std::collections::HashSet<(&str, &str)> =
                pods().map(|pod| (pod.namespace.as_str(), pod.name.as_str())).collect();
            tracker.end_others(at, |namespace, pod| there.contains(&(namespace, pod)));
        }
        let rows = rows::reported(&reports);
        Self { incidents: known(group(tracker.clone().anomalies()), fixes), rows, reports }
    }

    /// What was reported of a pod.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&PodReport> {
        let pods = self.reports.iter().flat_map(|report| &report.pods);
        pods.into_iter().find(|pod| pod.namespace == namespace && pod.name == name)
    }
}

impl Past {
    /// When it was proposed or done.
    pub fn at(&self) -> Timestamp {
        match self {
            Past::Proposed(entry) => entry.proposal.at,
            Past::Done(entry) => entry.at,
        }
    }

    /// Names it among the others.
    pub fn key(&self) -> String {
        match self {
            Past::Proposed(entry) => format!("proposed {} {}", entry.plan_id, entry.proposal.at),
            Past::Done(entry) => format!("done {} {}", entry.id, entry.at),
        }
    }
}

/// A proposal, cleaned: its words come from a table that anybody may write.
pub fn clean(waiting: Waiting) -> Waiting {
    let line = |text: String| sanitise::line(&text);
    Waiting {
        namespace: line(waiting.namespace),
        target: line(waiting.target),
        action: line(waiting.action),
        reason: waiting.reason.map(line),
        command: line(waiting.command),
        by: Proposer::from(line(waiting.by.to_string())),
        ..waiting
    }
}

/// What was proposed and what was done, the latest first, cleaned: both are files that others may have written.
pub fn past(proposed: &[history::Entry], done: Vec<audit::Entry>) -> Vec<Past> {
    let line = |text: &str| sanitise::line(text);
    let proposed = proposed.iter().filter(|entry| entry.declined.or(entry.withdrawn).is_some()).map(|entry| {
        let (proposal, plan_id) = (clean(entry.proposal.clone()), line(&entry.plan_id));
        Past::Proposed(history::Entry { proposal, plan_id, ..entry.clone() })
    });
    let done = done.into_iter().map(|entry| {
        let [id, context, server, identity] =
            [&entry.id, &entry.context, &entry.server, &entry.identity].map(|t| line(t));
        let [action, target, namespace, digest] =
            [&entry.action, &entry.target, &entry.namespace, &entry.digest].map(|t| line(t));
        Past::Done(audit::Entry { id, context, server, identity, action, target, namespace, digest, ..entry })
    });
    let mut all: Vec<Past> = proposed.chain(done).collect();
    all.sort_by_key(|past| std::cmp::Reverse(past.at()));
    all
}
