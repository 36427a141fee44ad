//! The scores that a plan rests on, taken from reports.

use guard_model::cause::{Cause, Reason};
use guard_model::report::{NodeReport, PodReport, State};
use guard_model::workload::Workload;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Kind, TargetName, is_name};
use crate::side::Side;

/// Where scores were read from; it decides how far they may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The exporters, just now.
    Exporter,
    /// A Prometheus: whoever may write series there can raise a score, so a person must approve.
    Prometheus,
    /// A CSV file: for dry runs only.
    Csv,
    /// A recording: for dry runs only.
    Recording,
}

impl Source {
    /// The word of the command line.
    pub fn name(self) -> &'static str {
        match self {
            Source::Exporter => "exporter",
            Source::Prometheus => "prometheus",
            Source::Csv => "csv",
            Source::Recording => "recording",
        }
    }
}

/// One pod of the target as its report had it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodEvidence {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its score; `None` while it is learnt.
    pub score: Option<f64>,
    /// The state of the score.
    pub state: State,
    /// Why, strongest first.
    pub reasons: Vec<Reason>,
}

/// Why a target is thought to misbehave: the score, what made it, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Where it was read.
    pub source: Source,
    /// The tick of the oldest report it is from.
    pub at: Timestamp,
    /// Seconds between two ticks.
    pub interval_seconds: f64,
    /// The exporter's line.
    pub threshold: f64,
    /// The model that scored, as lower-case hex.
    pub model_sha256: String,
    /// The highest score of the target's pods.
    pub score: Option<f64>,
    /// How many of its pods are over the line.
    pub over: usize,
    /// The reasons of the pod that leads.
    pub reasons: Vec<Reason>,
    /// On which side of what is expected the first of them lies, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    /// The cause that its alert began with, where that was seen: by then another may lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Cause>,
    /// All its pods, the highest score first.
    pub pods: Vec<PodEvidence>,
}

impl Evidence {
    /// What the reports say of one target; `None` if they hold no pod of it. Of a pod whose `uid` is known, what they say of
    /// an earlier one of its name does not count: that of a StatefulSet has its name from the one before. A table knows no
    /// UIDs, and justifies no write: its pods are taken by their names.
    pub fn of(
        source: Source,
        reports: &[NodeReport],
        namespace: &str,
        target: &TargetName,
        uid: Option<&str>,
    ) -> Option<Self> {
        let by_name = source == Source::Csv || target.kind != Kind::Pod;
        let is_it = |pod: &PodReport| by_name || uid.is_none_or(|uid| pod.uid == uid);
        let mut found: Vec<(&NodeReport, &PodReport)> = reports
            .iter()
            .flat_map(|report| report.pods.iter().map(move |pod| (report, pod)))
            .filter(|(_, pod)| pod.namespace == namespace && is_of(pod, target) && is_it(pod))
            .collect();
        found.sort_by(|(_, a), (_, b)| rank(b).total_cmp(&rank(a)).then_with(|| a.name.cmp(&b.name)));
        let (lead, worst) = found.first()?;
        Some(Self {
            source,
            at: found.iter().map(|(report, _)| report.at).min()?,
            interval_seconds: lead.interval_seconds,
            threshold: lead.threshold,
            model_sha256: lead.model.sha256.clone(),
            score: worst.score,
            over: found.iter().filter(|(_, pod)| pod.state == State::Anomalous).count(),
            reasons: worst.reasons.clone(),
            side: Side::leading(worst),
            began: worst.began.as_ref().map(|began| began.cause),
            pods: found.iter().map(|(_, pod)| view(pod)).collect(),
        })
    }

    /// The target is over its line, by the exporter's own judgement with hysteresis.
    pub fn is_anomalous(&self) -> bool {
        self.over > 0
    }

    /// This pod of the target is over its line.
    pub fn is_over(&self, name: &str, uid: &str) -> bool {
        let is_it = |pod: &PodEvidence| if self.source == Source::Csv { pod.name == name } else { pod.uid == uid };
        self.pods.iter().any(|pod| is_it(pod) && pod.state == State::Anomalous)
    }

    /// What leads the score.
    pub fn leading(&self) -> Option<Cause> {
        self.reasons.first().map(|reason| reason.cause)
    }

    /// The cause that its trouble is known by: that which the alert began with, as an incident is, else what leads now.
    pub fn known_by(&self) -> Option<Cause> {
        self.began.or(self.leading())
    }

    /// It is at most two ticks old.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.at).as_secs_f64();
        (-self.interval_seconds..=2.0 * self.interval_seconds).contains(&age)
    }
}

/// The name of the workload that is worst over its line, with its namespace: what `fix` without a target takes.
///
/// Only workloads and pods that guard can name are taken; `keep` says which namespaces count. Ties go to the first in
/// alphabetical order.
pub fn worst(reports: &[NodeReport], keep: impl Fn(&str) -> bool) -> Option<(String, TargetName)> {
    let pods = reports.iter().flat_map(|report| &report.pods);
    let anomalous = pods.filter(|pod| pod.state == State::Anomalous && is_name(&pod.namespace) && keep(&pod.namespace));
    let lead = anomalous.max_by(|a, b| {
        (rank(a).total_cmp(&rank(b))).then_with(|| (&b.namespace, &b.name).cmp(&(&a.namespace, &a.name)))
    })?;
    Some((lead.namespace.clone(), target_of(lead.workload.as_ref(), &lead.name)?))
}

/// What to act on for a pod: its workload, if guard can act on that kind, else the pod itself. `None` if that has no name that
/// Kubernetes would give.
pub fn target_of(workload: Option<&Workload>, pod: &str) -> Option<TargetName> {
    let of_workload = workload.and_then(|workload| Some((Kind::of(workload)?, workload.name.as_str())));
    let (kind, name) = of_workload.unwrap_or((Kind::Pod, pod));
    is_name(name).then(|| TargetName { kind, name: name.to_owned() })
}

/// Where a pod stands in the order of badness: those over their line first, then by score; unknown comes last.
fn rank(pod: &PodReport) -> f64 {
    pod.score.unwrap_or(-1.0) + if pod.state == State::Anomalous { 2.0 } else { 0.0 }
}

/// This pod of a report belongs to the target.
pub(crate) fn is_of(pod: &PodReport, target: &TargetName) -> bool {
    match target.kind {
        Kind::Pod => pod.name == target.name,
        // The exporters score pods; a node is acted on by its name.
        Kind::Node => false,
        kind => pod.workload.as_ref().is_some_and(|w| w.kind == kind.name() && w.name == target.name),
    }
}

fn view(pod: &PodReport) -> PodEvidence {
    PodEvidence {
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        score: pod.score,
        state: pod.state,
        reasons: pod.reasons.clone(),
    }
}

#[cfg(test)]
mod tests {
    use guard_model::table::Reader;

    use super::*;

    fn report(uid: &str) -> Vec<NodeReport> {
        let pod = PodReport {
            namespace: "shop".into(),
            name: "db-0".into(),
            uid: uid.into(),
            state: State::Anomalous,
            score: Some(0.9),
            ..PodReport::default()
        };
        vec![NodeReport {
            version: 1,
            node: "n1".into(),
            at: Timestamp::UNIX_EPOCH,
            interval_seconds: 15.0,
            threshold: 0.7,
            scored_by: String::new(),
            model: guard_model::report::ModelInfo::default(),
            kubelet: guard_model::report::KubeletState::default(),
            certificate_ends: None,
            pods: vec![pod],
        }]
    }

    #[test]
    fn what_is_said_of_an_earlier_pod_of_that_name_says_nothing_of_this_one() {
        let target = TargetName { kind: Kind::Pod, name: "db-0".into() };
        let found = |seen: &str, uid| Evidence::of(Source::Exporter, &report(seen), "shop", &target, uid).is_some();
        assert!(found("new", Some("new")));
        assert!(!found("old", Some("new")));
        assert!(found("old", None), "a recording, whose pods nobody can look up");
    }

    #[test]
    fn a_table_tells_of_a_pod_by_its_name() {
        let target = TargetName { kind: Kind::Pod, name: "db-0".into() };
        let table = "timestamp,namespace,pod\n2026-11-22T13:12:11Z,shop,db-0\n";
        let row = Reader::new(table.as_bytes()).unwrap().next().unwrap().unwrap();
        let uid = row.into_sample().facts.uid;
        let of = |source| Evidence::of(source, &report(&uid), "shop", &target, Some("5f2c"));
        let told = of(Source::Csv).unwrap();
        assert!(told.is_over("db-0", "5f2c") && !told.is_over("db-1", &uid));
        assert_eq!(of(Source::Prometheus), None);
    }
}
