//! What a program is told: one incident a line, when it begins, changes or ends. Pure.

use std::collections::BTreeMap;

use guard_model::cause::Cause;
use guard_model::incident::{Anomaly, Incident};
use jiff::Timestamp;
use serde::Serialize;

use super::super::due::Proposable;
use super::super::notices::{Book, Message};
use crate::plan::ActionKind;
use crate::sanitise;

/// Version of the form. Fields are added, never given another meaning.
pub(super) const VERSION: u32 = 1;
/// Pods of one incident that are told of.
const MOST_PODS: usize = 50;
/// The name under which a program is in its book.
const SELF: &str = "agent";

/// What became of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum Became {
    /// It began, or lasted already when the program was started.
    Began,
    /// Pods were added to it, or it is held together by something else, too.
    Changed,
    /// It is over.
    Ended,
}

/// One line on the program's input. Text of the cluster in it is data, and can have been written by whoever can make a pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Insight {
    /// Version of this form: readers ignore fields that they don't know.
    version: u32,
    /// What became of the incident.
    is: Became,
    /// When this was written.
    at: Timestamp,
    /// The context of the kubeconfig.
    cluster: String,
    /// Names the incident as long as it lasts.
    incident: String,
    /// The same for incidents that begin in the same workload with the same cause.
    fingerprint: String,
    /// When it began.
    from: Timestamp,
    /// When the last of its pods was under its line again.
    until: Option<Timestamp>,
    /// What holds its pods together: `rollout`, `workload`, `node`, `cause`, `traffic`.
    links: Vec<String>,
    /// Its pods, the one that began it first.
    pods: Vec<PodLine>,
    /// How many more there are.
    more_pods: usize,
    /// What may be proposed about them; empty once it is over.
    targets: Vec<TargetLine>,
}

/// One pod over its line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PodLine {
    namespace: String,
    pod: String,
    /// `Kind/name` of its controller.
    workload: String,
    /// Its node, if it is known.
    node: Option<String>,
    /// Since when it is over its line.
    since: Timestamp,
    /// When it was under it again.
    until: Option<Timestamp>,
    /// What leads its score: `crash_loop`, `oom_killed`, `memory`, `transmit`, ...
    cause: Option<&'static str>,
    /// The words for it.
    reason: String,
    /// The highest score meanwhile, 0 to 1.
    score: f64,
}

/// What a proposal may be about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct TargetLine {
    namespace: String,
    /// As a proposal names it: `deployment/cart`, `pod/cart-0`.
    target: String,
    /// What may be proposed for it.
    actions: Vec<ActionKind>,
}

/// What a program was told.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<String, Incident>);

impl Told {
    /// What it does not know yet.
    pub(super) fn news(
        &mut self,
        book: &mut Book,
        targets: &[Proposable],
        cluster: &str,
        at: Timestamp,
    ) -> Vec<Insight> {
        let message = book.due(SELF);
        let changed: Vec<Incident> = book.known(SELF).filter(|now| self.differs(now)).cloned().collect();
        book.told(SELF, &message);
        let Message { began, ended } = message;
        let line = |is, incident: &Incident| insight(is, incident, targets, cluster, at);
        let lines = (began.iter().map(|incident| line(Became::Began, incident)))
            .chain(changed.iter().map(|incident| line(Became::Changed, incident)))
            .chain(ended.iter().map(|incident| line(Became::Ended, incident)))
            .collect();
        for incident in &ended {
            self.0.remove(&incident.id);
        }
        self.0.extend(began.into_iter().chain(changed).map(|incident| (incident.id.clone(), incident)));
        lines
    }

    fn differs(&self, now: &Incident) -> bool {
        self.0.get(&now.id).is_some_and(|told| told.pods.len() != now.pods.len() || told.links != now.links)
    }
}

fn insight(is: Became, incident: &Incident, targets: &[Proposable], cluster: &str, at: Timestamp) -> Insight {
    let clean = sanitise::line;
    let about = |target: &&Proposable| is != Became::Ended && incident.pods.iter().any(|pod| target.is_about(pod));
    Insight {
        version: VERSION,
        is,
        at,
        cluster: clean(cluster),
        incident: incident.id.clone(),
        fingerprint: incident.fingerprint.clone(),
        from: incident.from,
        until: incident.until,
        links: incident.links.iter().map(|link| format!("{link:?}").to_lowercase()).collect(),
        pods: incident.pods.iter().take(MOST_PODS).map(pod).collect(),
        more_pods: incident.pods.len().saturating_sub(MOST_PODS),
        targets: targets
            .iter()
            .filter(about)
            .map(|target| TargetLine {
                namespace: target.namespace.clone(),
                target: target.target.to_string(),
                actions: target.actions().to_vec(),
            })
            .collect(),
    }
}

fn pod(pod: &Anomaly) -> PodLine {
    PodLine {
        namespace: sanitise::line(&pod.namespace),
        pod: sanitise::line(&pod.pod),
        workload: sanitise::line(&pod.workload.to_string()),
        node: pod.node.as_deref().map(sanitise::line),
        since: pod.since,
        until: pod.until,
        cause: pod.cause.map(Cause::name),
        reason: sanitise::line(&pod.reason),
        score: pod.score,
    }
}
