//! What is known of the pod that began an incident: its row among the others, and what the cluster tells of it.

use std::collections::HashMap;

use guard_model::incident::Anomaly;
use guard_model::report::{NodeReport, PodReport};
use guard_model::sample::{Phase, PodFacts};
use jiff::Timestamp;

use crate::commands::explain;
use crate::config::Config;
use crate::connect::Connection;
use crate::flags::Selection;
use crate::render::explain::Detail;
use crate::rows::{self, Row};
use crate::scores::Scores;
use crate::{pods, sanitise};

/// A pod, as `explain` would show it.
pub(super) struct Subject {
    pub(super) row: Row,
    pub(super) detail: Detail,
    /// All that were read, for its neighbours.
    pub(super) rows: Vec<Row>,
}

impl Subject {
    /// What is known of it; `None` if it has no report any more. A cluster that does not answer leaves what the reports say.
    pub(super) async fn find(
        config: &Config,
        connection: &Connection,
        reports: &[NodeReport],
        first: &Anomaly,
        now: Timestamp,
    ) -> Option<Self> {
        let selection = Selection { all_namespaces: config.dataset_generator.all_namespaces, ..Selection::default() };
        let listed = pods::list(connection, &selection).await.map(|found| found.facts).unwrap_or_default();
        let mut subject = of_reports(reports, listed, first, now)?;
        let scores = Scores { reports: reports.to_vec(), ..Scores::default() };
        if let Ok(Some(told)) = explain::look(connection, &subject.row, &scores).await {
            subject.detail = told;
        }
        Some(subject)
    }
}

/// What the reports say, with what `listed` has of their pods.
fn of_reports(reports: &[NodeReport], listed: Vec<PodFacts>, first: &Anomaly, now: Timestamp) -> Option<Subject> {
    let mut listed: HashMap<(String, String), PodFacts> =
        listed.into_iter().map(|facts| ((facts.namespace.clone(), facts.name.clone()), facts)).collect();
    let reported = || reports.iter().flat_map(|report| &report.pods);
    let facts: Vec<PodFacts> = reported()
        .map(|pod| {
            let known = listed.remove(&(pod.namespace.clone(), pod.name.clone()));
            // A table knows no UID of the cluster's: rows are joined by its own.
            PodFacts { uid: pod.uid.clone(), phase: Phase::Running, ..known.unwrap_or_else(|| bare(pod)) }
        })
        .collect();
    let scores = Scores { reports: reports.to_vec(), ..Scores::default() };
    let rows = rows::join(&scores, &facts, now);
    let is_it = |namespace: &str, name: &str| namespace == first.namespace && name == first.pod;
    let report = reported().find(|pod| is_it(&pod.namespace, &pod.name))?;
    let row = rows.iter().find(|row| row.uid == report.uid)?.clone();
    let facts = facts.into_iter().find(|facts| facts.uid == report.uid).unwrap_or_default();
    Some(Subject { row, detail: Detail { report: Some(report.clone()), facts, ..Detail::default() }, rows })
}

/// A pod of which only a report is known.
fn bare(pod: &PodReport) -> PodFacts {
    PodFacts {
        namespace: sanitise::line(&pod.namespace),
        name: sanitise::line(&pod.name),
        workload: pod.workload.clone(),
        containers_ready: pod.containers_ready,
        containers_total: pod.containers_total,
        restarts: pod.restarts,
        ..PodFacts::default()
    }
}
