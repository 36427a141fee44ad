//! Scores joined with the user's own pods: what a table, JSON and a plan are made from. Pure.
//!
//! Every pod that has not succeeded has a row. One without a score says why.

use std::collections::{BTreeMap, HashMap};

use guard_model::alert::Alert;
use guard_model::cause::Reason;
use guard_model::incident::{Anomaly, highest};
use guard_model::report::{NodeReport, PodReport, Severity, State};
use guard_model::rules::{self, Custom};
use guard_model::sample::{self, Measures, Phase, PodFacts};
use guard_model::silence::Silence;
use guard_model::workload::Workload;
use jiff::Timestamp;
use serde::Serialize;

use crate::node_cause::{NodeCause, many_sick, speaking_share};
use crate::plan::{TargetName, target_of};
use crate::scores::{DEFAULT_THRESHOLD, Scores};
use crate::side::Side;
use crate::suggest::{Suggestion, suggest, suggest_node};

/// One pod, ready to be shown. All text in it is sanitised.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its node, if it has one.
    pub node: Option<String>,
    /// Its controller.
    pub workload: Option<Workload>,
    /// Probability, 0 to 1, that it does not behave as it should.
    pub score: Option<f64>,
    /// State of the score; `None` if nothing can score it.
    pub state: Option<State>,
    /// How bad it is.
    pub severity: Severity,
    /// Since when it is over its line.
    pub since: Option<Timestamp>,
    /// Why, the strongest first.
    pub reasons: Vec<Reason>,
    /// On which side of what is expected the first of them lies, where that is known.
    #[serde(skip)]
    pub side: Option<Side>,
    /// A line of its own, by its annotation.
    #[serde(skip)]
    pub line: Option<f64>,
    /// What led when it went over its line, where that was seen.
    pub began: Option<Reason>,
    /// Why there is no score, or what it rests on.
    pub note: Option<String>,
    /// One to three words: what may help.
    pub fix: Option<&'static str>,
    /// Ready containers.
    pub containers_ready: u32,
    /// Containers in all.
    pub containers_total: u32,
    /// Restarts of all containers.
    pub restarts: u32,
    /// Its labels, where they were read.
    pub labels: Labels,
}

/// Labels of a pod; their text is sanitised.
pub type Labels = BTreeMap<String, String>;

impl Row {
    /// True if it is over its line and nobody asked for silence.
    pub fn is_anomalous(&self) -> bool {
        self.state == Some(State::Anomalous)
    }

    /// The anomaly that it tells of, if it tells of one; `deploy` if it is part of a rollout.
    pub fn anomaly(&self, deploy: bool) -> Option<Anomaly> {
        let since = self.since.filter(|_| self.is_anomalous())?;
        let lead = self.began.as_ref().or(self.reasons.first());
        Some(Anomaly {
            namespace: self.namespace.clone(),
            pod: self.name.clone(),
            workload: self.owner(),
            node: self.node.clone(),
            since,
            until: None,
            cause: lead.map(|reason| reason.cause),
            reason: lead.map_or_else(|| self.reason(), |reason| reason.text.as_str()).to_owned(),
            score: highest(self.score, self.began.as_ref()),
            began_score: self.began.as_ref().map_or(0.0, |began| began.score),
            deploy,
        })
    }

    /// The words of the REASON column: the strongest reason, else the note.
    pub fn reason(&self) -> &str {
        let first = self.reasons.first().map(|reason| reason.text.as_str());
        first.or(self.note.as_deref()).unwrap_or("")
    }

    /// `Kind/name` of what it belongs to; a bare pod belongs to itself.
    pub fn owner(&self) -> Workload {
        self.workload.clone().unwrap_or_else(|| Workload::new("Pod", &self.name))
    }
}

impl Row {
    /// What its reasons suggest, if it has any.
    pub fn suggestion(&self) -> Option<Suggestion> {
        suggest(&self.reasons, self.side, self.workload.as_ref())
    }

    /// What `fix` acts on for it, if it can.
    pub fn target(&self) -> Option<TargetName> {
        target_of(self.workload.as_ref(), &self.name)
    }
}

/// How many pods are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All pods that have not succeeded.
    pub watched: usize,
    /// Over their line.
    pub anomalous: usize,
    /// Too new for the learnt part.
    pub learning: usize,
    /// With scores that are too old.
    pub stale: usize,
    /// Silenced by their owner.
    pub muted: usize,
    /// That nothing can score.
    pub unscored: usize,
}

/// Counts the rows by their state.
pub fn count(rows: &[Row]) -> Counts {
    let of = |state| rows.iter().filter(|row| row.state == state).count();
    Counts {
        watched: rows.len(),
        anomalous: of(Some(State::Anomalous)),
        learning: of(Some(State::Learning)),
        stale: of(Some(State::Stale)),
        muted: of(Some(State::Muted)),
        unscored: of(None),
    }
}

/// One row for each of `pods` that has not succeeded, the worst first.
pub fn join(scores: &Scores, pods: &[PodFacts], now: Timestamp) -> Vec<Row> {
    let reported: HashMap<&str, &PodReport> =
        scores.reports.iter().flat_map(|report| &report.pods).map(|pod| (pod.uid.as_str(), pod)).collect();
    let nodes: HashMap<&str, &NodeReport> =
        scores.reports.iter().map(|report| (report.node.as_str(), report)).collect();
    let line = scores.reports.first().map_or(DEFAULT_THRESHOLD, |report| report.threshold);
    let mut rows: Vec<Row> = pods
        .iter()
        .filter(|pod| pod.phase != Phase::Succeeded)
        .map(|pod| match reported.get(pod.uid.as_str()) {
            Some(report) => scored(pod, report),
            None => by_facts(pod, why_unscored(pod, scores, &nodes), line, now),
        })
        .collect();
    rows.sort_by(worst_first);
    rows
}

/// One row for each pod that was reported, the worst first: for those who show reports and list no pods.
pub fn reported(reports: &[NodeReport]) -> Vec<Row> {
    let row = |node: &str, pod: &PodReport| {
        let facts = PodFacts {
            uid: pod.uid.clone(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            node: Some(node.to_owned()).filter(|node| !node.is_empty()),
            workload: pod.workload.clone(),
            containers_ready: pod.containers_ready,
            containers_total: pod.containers_total,
            restarts: pod.restarts,
            ..PodFacts::default()
        };
        scored(&facts, pod)
    };
    let mut rows: Vec<Row> =
        reports.iter().flat_map(|report| report.pods.iter().map(|pod| row(&report.node, pod))).collect();
    rows.sort_by(worst_first);
    rows
}

/// Gives each row the labels of its pod, by UID.
pub fn label(rows: &mut [Row], labels: &BTreeMap<String, Labels>) {
    for row in rows {
        row.labels = labels.get(&row.uid).cloned().unwrap_or_default();
    }
}

fn worst_first(a: &Row, b: &Row) -> std::cmp::Ordering {
    b.is_anomalous()
        .cmp(&a.is_anomalous())
        .then_with(|| b.score.unwrap_or(-1.0).total_cmp(&a.score.unwrap_or(-1.0)))
        .then_with(|| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)))
}

fn scored(pod: &PodFacts, report: &PodReport) -> Row {
    let note = match report.state {
        // Metrics do not hold how many.
        State::Learning if report.learning_left == 0 => Some("learning".to_owned()),
        State::Learning => Some(format!("learning, {} more samples", report.learning_left)),
        State::Stale => Some("no fresh sample".to_owned()),
        State::Muted => Some(muted(report.muted.as_ref())),
        // Metrics hold figures and no words.
        State::Anomalous if report.reasons.is_empty() => Some("no reason is told".to_owned()),
        State::Ok | State::Anomalous => None,
    };
    // Under a silence the exporter still tells how bad it would be; nothing that is shown may take that for an anomaly.
    let over = report.state == State::Anomalous;
    let side = Side::leading(report);
    Row {
        score: report.score,
        state: Some(report.state),
        severity: if over { report.severity } else { Severity::None },
        since: report.since.filter(|_| over),
        fix: fix(report.state, &report.reasons, side, pod.workload.as_ref()),
        reasons: report.reasons.clone(),
        side,
        began: report.began.clone(),
        note,
        ..bare(pod)
    }
}

/// Who silenced it, until when and why.
fn muted(silence: Option<&Silence>) -> String {
    match silence {
        None => "muted by its owner".to_owned(),
        Some(Silence { until, reason, by }) => format!("muted by {by} until {until:.0}: {reason}"),
    }
}

/// A pod that no exporter scores: what Kubernetes itself states still counts.
fn by_facts(pod: &PodFacts, why: String, line: f64, now: Timestamp) -> Row {
    let seconds = sample::seconds(now);
    let reasons = rules::reasons(pod, &Measures::default(), Custom::of_status(pod, seconds), seconds);
    let score = reasons.first().map(|reason| reason.score);
    let mut alert = Alert::default();
    alert.step(now, score, pod.opt_out.threshold.unwrap_or(line), &reasons);
    let state = match (score, alert.since()) {
        _ if pod.opt_out.ignore => Some(State::Muted),
        (_, Some(_)) => Some(State::Anomalous),
        (Some(_), None) => Some(State::Ok),
        (None, None) => None,
    };
    let over = state == Some(State::Anomalous);
    Row {
        score,
        severity: if over { alert.severity() } else { Severity::None },
        since: pod.ready_changed.or(pod.created).filter(|_| over),
        fix: state.and_then(|state| fix(state, &reasons, None, pod.workload.as_ref())),
        state,
        reasons,
        note: Some(why),
        ..bare(pod)
    }
}

fn bare(pod: &PodFacts) -> Row {
    Row {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        node: pod.node.clone(),
        workload: pod.workload.clone(),
        score: None,
        state: None,
        severity: Severity::None,
        since: None,
        reasons: Vec::new(),
        side: None,
        line: pod.opt_out.threshold,
        began: None,
        note: None,
        fix: None,
        containers_ready: pod.containers_ready,
        containers_total: pod.containers_total,
        restarts: pod.restarts,
        labels: Labels::new(),
    }
}

fn fix(state: State, reasons: &[Reason], side: Option<Side>, workload: Option<&Workload>) -> Option<&'static str> {
    let suggestion = if state == State::Anomalous { suggest(reasons, side, workload) } else { None };
    suggestion.map(|suggestion| suggestion.words)
}

fn why_unscored(pod: &PodFacts, scores: &Scores, nodes: &HashMap<&str, &NodeReport>) -> String {
    let Some(node) = &pod.node else { return "waits for a node".to_owned() };
    if let Some(silent) = scores.silent.iter().find(|silent| silent.node == *node) {
        return format!("no scores from node {node}: {}", silent.problem);
    }
    match nodes.get(node.as_str()) {
        // The report of no node is a table's, which has the pods of all.
        None if nodes.contains_key("") => "not in the table of metrics yet".to_owned(),
        None => format!("no exporter on node {node}"),
        Some(report) if !report.kubelet.up => format!("the exporter on node {node} cannot read its kubelet"),
        Some(_) => format!("not seen yet by the exporter on node {node}"),
    }
}

/// The pods of one workload, or of one node, taken together.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The namespace; `None` for a node.
    pub namespace: Option<String>,
    /// `Kind/name`, or the node's name.
    pub name: String,
    /// For a workload the worst score of its pods; for a node the worst of its own facts and of the share of its
    /// workloads over the line.
    pub score: Option<f64>,
    /// The worst of its pods'.
    pub severity: Severity,
    /// The earliest of those over the line.
    pub since: Option<Timestamp>,
    /// How many are over the line.
    pub over: usize,
    /// Of how many: pods for a workload, workloads for a node.
    pub of: usize,
    /// What to say about it.
    pub reason: String,
    /// What may help.
    pub fix: Option<&'static str>,
}

impl Group {
    /// True if it is to be shown: a workload with a pod over its line, a node with a severity of its own.
    pub fn is_anomalous(&self) -> bool {
        self.severity > Severity::None || (self.namespace.is_some() && self.over > 0)
    }
}

/// The rows by workload, the worst first; `rows` come the worst first.
pub fn workloads(rows: &[Row]) -> Vec<Group> {
    let mut groups: BTreeMap<(String, String), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry((row.namespace.clone(), row.owner().to_string())).or_default().push(row);
    }
    let mut found: Vec<Group> = groups
        .into_iter()
        .filter_map(|((namespace, name), rows)| {
            let worst = rows.first()?;
            let over = rows.iter().filter(|row| row.is_anomalous()).count();
            Some(Group {
                namespace: Some(namespace),
                name,
                score: worst.score,
                severity: rows.iter().map(|row| row.severity).max().unwrap_or(Severity::None),
                since: rows.iter().filter_map(|row| row.since).min(),
                over,
                of: rows.len(),
                reason: worst.reason().to_owned(),
                fix: worst.fix,
            })
        })
        .collect();
    sort(&mut found);
    found
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// A score of its own, 0 to 1, with the words for it; `None` if all is well.
    pub problem: Option<(f64, String)>,
    /// What is wrong with it by its own conditions.
    pub cause: Option<NodeCause>,
    /// It takes no new pods.
    pub unschedulable: bool,
}

fn share(over: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { over as f64 / of as f64 }
}

/// The rows by node, the worst first. `nodes` may be empty: then only what the pods tell is known.
pub fn nodes(rows: &[Row], nodes: &[NodeFacts]) -> Vec<Group> {
    let mut by_node: BTreeMap<&str, BTreeMap<(&str, String), bool>> = BTreeMap::new();
    for node in nodes {
        by_node.entry(&node.name).or_default();
    }
    for row in rows {
        let Some(node) = &row.node else { continue };
        let workloads = by_node.entry(node).or_default();
        *workloads.entry((&row.namespace, row.owner().to_string())).or_default() |= row.is_anomalous();
    }
    let mut found: Vec<Group> = by_node
        .into_iter()
        .map(|(name, workloads)| {
            let over = workloads.values().filter(|&&over| over).count();
            let share = share(over, workloads.len());
            let node = nodes.iter().find(|node| node.name == name);
            let own = node.and_then(|node| node.problem.clone());
            let sick = many_sick(over, workloads.len()).then_some(NodeCause::ManySick);
            let cause = node.and_then(|node| node.cause).or(sick);
            let cordoned = node.is_some_and(|node| node.unschedulable);
            let score = own.as_ref().map_or(share, |(score, _)| share.max(*score));
            Group {
                namespace: None,
                name: name.to_owned(),
                score: Some(score),
                severity: node_severity(own.as_ref().map(|own| own.0), speaking_share(over, workloads.len())),
                since: None,
                over,
                of: workloads.len(),
                reason: own.map_or_else(String::new, |(_, words)| words),
                fix: cause.map(|cause| suggest_node(cause, cordoned).words),
            }
        })
        .collect();
    sort(&mut found);
    found
}

/// A node's own facts count at once; its workloads only if there are enough of them to speak for the node.
fn node_severity(own: Option<f64>, speaking: f64) -> Severity {
    match own.unwrap_or(0.0).max(speaking) {
        score if score >= 0.95 => Severity::Critical,
        score if score >= DEFAULT_THRESHOLD => Severity::Warning,
        _ => Severity::None,
    }
}

fn sort(groups: &mut [Group]) {
    groups.sort_by(|a, b| {
        b.is_anomalous()
            .cmp(&a.is_anomalous())
            .then_with(|| b.score.unwrap_or(-1.0).total_cmp(&a.score.unwrap_or(-1.0)))
            .then_with(|| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)))
    });
}

#[cfg(test)]
pub(crate) mod tests;
