//! What is over its line for sure enough that something may be proposed for it. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use guard_model::incident::Anomaly;
use guard_model::mute::Mute;
use guard_model::report::{NodeReport, PodReport, State};
use guard_model::sample::PodFacts;

use super::Reports;
use crate::desk::Key;
use crate::plan::{ActionKind, Kind, TargetName, is_name, target_of};

/// What a program may propose something about.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposable {
    /// Its namespace.
    pub namespace: String,
    /// It.
    pub target: TargetName,
    /// The highest score of its pods.
    pub score: Option<f64>,
}

impl Proposable {
    /// What may be proposed for it.
    pub fn actions(&self) -> &'static [ActionKind] {
        use ActionKind::{Resources, Restart, RolloutUndo, Scale};
        match self.target.kind {
            Kind::Deployment => &[Restart, RolloutUndo, Scale, Resources],
            Kind::StatefulSet => &[Restart, Scale, Resources],
            Kind::DaemonSet => &[Restart, Resources],
            Kind::Pod => &[Restart],
            Kind::Node => &[],
        }
    }

    /// It is this one.
    pub fn is(&self, (namespace, target): &Key) -> bool {
        self.namespace == *namespace && self.target.to_string() == *target
    }

    /// The pod of this anomaly is one of its.
    pub fn is_about(&self, anomaly: &Anomaly) -> bool {
        let TargetName { kind, name } = &self.target;
        let is_it = match kind {
            Kind::Pod => *name == anomaly.pod,
            kind => kind.name() == anomaly.workload.kind && *name == anomaly.workload.name,
        };
        is_it && self.namespace == anomaly.namespace
    }
}

/// The reports, in which the pods that somebody asked for silence about are muted: nothing is proposed for those.
pub fn heeding(reports: &Reports, mutes: &[Mute]) -> Reports {
    let mut heeded = Arc::clone(reports);
    if mutes.is_empty() {
        return heeded;
    }
    for report in Arc::make_mut(&mut heeded) {
        for pod in &mut report.pods {
            let facts = PodFacts {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                workload: pod.workload.clone(),
                ..PodFacts::default()
            };
            if mutes.iter().any(|mute| mute.covers(&facts, &report.node)) {
                pod.state = State::Muted;
            }
        }
    }
    heeded
}

/// Targets that are over the line for sure enough, and the pods of each.
pub fn proposable(reports: &[NodeReport], threshold: f64) -> Vec<Proposable> {
    let mut all: Vec<Proposable> = due(reports, threshold)
        .into_iter()
        .map(|((namespace, _), target, pod)| Proposable { namespace, target, score: pod.score })
        .collect();
    let pods =
        reports.iter().flat_map(|report| &report.pods).filter(|pod| is_sure(pod, threshold) && is_name(&pod.name));
    for pod in pods {
        let target = TargetName { kind: Kind::Pod, name: pod.name.clone() };
        if !all.iter().any(|known| known.namespace == pod.namespace && known.target == target) {
            all.push(Proposable { namespace: pod.namespace.clone(), target, score: pod.score });
        }
    }
    all
}

fn is_sure(pod: &PodReport, threshold: f64) -> bool {
    pod.state == State::Anomalous && pod.score.is_some_and(|score| score >= threshold)
}

/// The targets that are over the line for sure enough, each with its worst pod, the worst target first.
pub fn due(reports: &[NodeReport], threshold: f64) -> Vec<(Key, TargetName, &PodReport)> {
    let mut worst: BTreeMap<Key, (TargetName, &PodReport)> = BTreeMap::new();
    for pod in reports.iter().flat_map(|report| &report.pods) {
        let Some(target) = target_of(pod.workload.as_ref(), &pod.name).filter(|_| is_sure(pod, threshold)) else {
            continue;
        };
        let key = (pod.namespace.clone(), target.to_string());
        let entry = worst.entry(key).or_insert((target, pod));
        if pod.score > entry.1.score {
            entry.1 = pod;
        }
    }
    let mut due: Vec<_> = worst.into_iter().map(|(key, (target, pod))| (key, target, pod)).collect();
    due.sort_by(|a, b| b.2.score.partial_cmp(&a.2.score).unwrap_or(std::cmp::Ordering::Equal).then(a.0.cmp(&b.0)));
    due
}

#[cfg(test)]
mod tests {
    use guard_model::mute::Target;
    use guard_model::report::Severity;
    use guard_model::silence::Silence;
    use guard_model::workload::Workload;
    use jiff::Timestamp;

    use super::*;

    fn pod(name: &str, workload: Option<&str>, score: Option<f64>, state: State) -> PodReport {
        PodReport {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            workload: workload.map(|name| Workload { kind: "Deployment".to_owned(), name: name.to_owned() }),
            score,
            state,
            severity: Severity::Critical,
            containers_ready: 1,
            containers_total: 1,
            ..PodReport::default()
        }
    }

    fn report(pods: Vec<PodReport>) -> Vec<NodeReport> {
        vec![NodeReport {
            version: guard_model::report::VERSION,
            node: String::new(),
            at: Timestamp::UNIX_EPOCH,
            interval_seconds: 30.0,
            threshold: 0.7,
            scored_by: String::new(),
            model: guard_model::report::ModelInfo::default(),
            kubelet: guard_model::report::KubeletState::default(),
            certificate_ends: None,
            pods,
        }]
    }

    #[test]
    fn each_workload_is_due_once_by_its_worst_pod_and_the_worst_comes_first() {
        let reports = report(vec![
            pod("cart-1", Some("cart"), Some(0.8), State::Anomalous),
            pod("cart-2", Some("cart"), Some(0.9), State::Anomalous),
            pod("bare", None, Some(0.95), State::Anomalous),
            pod("unsure", None, Some(0.72), State::Anomalous),
            pod("ok", None, Some(0.99), State::Ok),
            pod("unknown", None, None, State::Anomalous),
            pod("no name\u{1b}", None, Some(1.0), State::Anomalous),
        ]);
        let due = due(&reports, 0.75);
        let told: Vec<_> = due.iter().map(|(key, _, pod)| (key.1.as_str(), pod.name.as_str())).collect();
        assert_eq!(told, [("pod/bare", "bare"), ("deployment/cart", "cart-2")]);
    }

    #[test]
    fn nothing_is_due_for_what_is_muted() {
        let reports = Arc::new(report(vec![
            pod("cart-1", Some("cart"), Some(0.9), State::Anomalous),
            pod("bare", None, Some(0.9), State::Anomalous),
            pod("mail-1", Some("mail"), Some(0.9), State::Anomalous),
        ]));
        let (namespace, workload) = ("shop".to_owned(), Workload::new("Deployment", "cart"));
        let targets = [
            Target::Workload { namespace: namespace.clone(), workload },
            Target::Pod { namespace, name: "bare".into() },
        ];
        let mutes = targets.map(|target| {
            let silence = Silence { until: Timestamp::MAX, reason: String::new(), by: String::new() };
            Mute { target, since: Timestamp::UNIX_EPOCH, silence }
        });
        let told = |reports: &[NodeReport]| -> Vec<String> {
            proposable(reports, 0.75).iter().map(|known| known.target.to_string()).collect()
        };
        assert_eq!(told(&heeding(&reports, &mutes)), ["deployment/mail", "pod/mail-1"]);
        assert_eq!(told(&heeding(&reports, &[])).len(), 5);
    }
}
