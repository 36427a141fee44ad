//! What the dashboard shows at one moment: scores and rows in, the JSON of `/api/...` out. Pure.

use std::sync::OnceLock;

use guard_model::incident::{Incident, group};
use guard_model::report::PodReport;
use http::StatusCode;
use hyper::body::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::connect::Connection;
use crate::flags::Selection;
use crate::plan::hex;
use crate::pods::{self, Pods};
use crate::rows::{self, Counts, Group, Row};
use crate::sanitise;
use crate::scores::Scores;

/// The version of every document.
pub(super) const VERSION: &str = "guard.kubectl.io/v1";

/// A body with the tag that tells whether it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json {
    /// The document.
    pub body: Bytes,
    /// Its `ETag`, in quotes.
    pub etag: String,
}

impl Json {
    /// This document.
    ///
    /// # Errors
    /// 500 if it cannot be written as JSON.
    pub fn of(document: &impl Serialize) -> Result<Self, StatusCode> {
        let body = serde_json::to_vec(document).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
        let etag = format!("\"{}\"", hex(&body));
        Ok(Self { body: body.into(), etag })
    }
}

/// Whose pods are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Name of the context, as in the kubeconfig.
    pub context: String,
    /// The namespace; `None` for all of them.
    pub namespace: Option<String>,
}

impl Scope {
    /// That of these flags.
    pub fn of(connection: &Connection, selection: &Selection) -> Self {
        Self { context: connection.context.clone(), namespace: pods::scope(connection, selection).map(sanitise::line) }
    }
}

/// One look at the cluster, or at a recording.
#[derive(Debug, Default)]
pub struct Look {
    /// When it was.
    pub at: Timestamp,
    /// Whose pods they are; `None` for those of a recording.
    pub scope: Option<Scope>,
    /// What the exporters said.
    pub scores: Scores,
    /// The pods, the worst first.
    pub rows: Vec<Row>,
    /// What there is to say about how it was read, such as why the last attempt failed.
    pub warnings: Vec<String>,
    /// The document of the fleet, once somebody has asked for it.
    pub fleet: OnceLock<Result<Json, StatusCode>>,
}

/// What every document begins with.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    api_version: &'static str,
    kind: &'static str,
    at: Timestamp,
    recorded: bool,
    context: Option<&'a str>,
    /// The namespace; `None` for all of them, and for a recording.
    namespace: Option<&'a str>,
    counts: Counts,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct Fleet<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    workloads: Vec<Group>,
    nodes: Vec<Group>,
    incidents: Vec<Incident>,
    items: &'a [Row],
}

#[derive(Serialize)]
struct Pod<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    row: &'a Row,
    /// Its line: its own, or that of its node's exporter.
    threshold: Option<f64>,
    report: Option<&'a PodReport>,
}

impl Look {
    /// These pods, joined with their scores.
    #[must_use]
    pub fn of(scope: Scope, pods: &Pods, scores: Scores, at: Timestamp) -> Self {
        let mut rows = rows::join(&scores, &pods.facts, at);
        rows::label(&mut rows, &pods.labels);
        Self { at, scope: Some(scope), warnings: scores.warnings(at), scores, rows, ..Self::default() }
    }

    /// All pods, and what they are together; made once, for every page that asks.
    ///
    /// # Errors
    /// 500 if it cannot be written as JSON.
    pub fn fleet(&self) -> Result<Json, StatusCode> {
        self.fleet.get_or_init(|| self.make_fleet()).clone()
    }

    fn make_fleet(&self) -> Result<Json, StatusCode> {
        let deployed = self.scores.deployed();
        let anomalies = self.rows.iter().filter_map(|row| row.anomaly(deployed.contains(row.uid.as_str())));
        Json::of(&Fleet {
            head: self.head("Fleet"),
            workloads: rows::workloads(&self.rows),
            nodes: rows::nodes(&self.rows, &[]),
            incidents: group(anomalies.collect()),
            items: &self.rows,
        })
    }

    fn head(&self, kind: &'static str) -> Head<'_> {
        let counts = rows::count(&self.rows);
        let Self { at, scope, warnings, .. } = self;
        Head {
            api_version: VERSION,
            kind,
            at: *at,
            recorded: scope.is_none(),
            context: scope.as_ref().map(|scope| scope.context.as_str()),
            namespace: scope.as_ref().and_then(|scope| scope.namespace.as_deref()),
            counts,
            warnings,
        }
    }

    /// One pod in depth.
    ///
    /// # Errors
    /// 404 if there is no such pod.
    pub fn pod(&self, namespace: &str, name: &str) -> Result<Json, StatusCode> {
        let row = self.rows.iter().find(|row| row.namespace == namespace && row.name == name);
        let row = row.ok_or(StatusCode::NOT_FOUND)?;
        let of_node = self.scores.reports.iter().find_map(|report| {
            let pod = report.pods.iter().find(|pod| pod.uid == row.uid)?;
            Some((report.threshold, pod))
        });
        Json::of(&Pod {
            head: self.head("PodScore"),
            row,
            threshold: row.line.or(of_node.map(|(threshold, _)| threshold)),
            report: of_node.map(|(_, pod)| pod),
        })
    }

    /// The same, with why there is nothing newer.
    #[must_use]
    pub fn outdated(&self, why: &str) -> Self {
        let (scope, scores, rows) = (self.scope.clone(), self.scores.clone(), self.rows.clone());
        let warnings = vec![why.to_owned()];
        Self { at: self.at, scope, scores, rows, warnings, fleet: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::console::capture;

    fn incident() -> Look {
        let (console, _) = capture::console(120);
        crate::commands::ui::recorded(&console).unwrap()
    }

    #[test]
    fn the_fleet_is_made_once_for_a_look() {
        let look = incident();
        let (first, second) = (look.fleet().unwrap(), look.fleet().unwrap());
        assert_eq!(first.body.as_ptr(), second.body.as_ptr());
        assert_ne!(look.outdated("why").fleet().unwrap().etag, first.etag);
    }

    fn value(json: &Json) -> Value {
        serde_json::from_slice(&json.body).unwrap()
    }

    #[test]
    fn the_fleet_and_its_worst_pod_are_what_the_page_reads() {
        let look = incident();
        let fleet = value(&look.fleet().unwrap());
        assert_eq!(fleet["items"][0]["state"], "anomalous", "{fleet}");
        assert_eq!(fleet["incidents"][0]["pods"][0]["pod"], fleet["items"][0]["name"]);
        assert!(fleet["workloads"][0]["over"].as_u64() > Some(0) && fleet["counts"]["watched"].as_u64() > Some(5));
        let name = fleet["items"][0]["name"].as_str().unwrap();
        let pod = value(&look.pod("shop", name).unwrap());
        assert_eq!(pod["threshold"], 0.7);
        assert_eq!((&pod["recorded"], &pod["context"], &pod["namespace"]), (&true.into(), &Value::Null, &Value::Null));
        assert!(pod["report"]["history"].as_array().unwrap().len() > 10, "{pod}");
        assert_eq!(pod["report"]["features"][0]["name"], "cpu");
        assert_eq!(pod["row"]["containersReady"], 1);
    }

    #[test]
    fn a_pod_with_a_line_of_its_own_is_shown_with_that() {
        let (console, _) = capture::console(120);
        let recorded = crate::commands::demo::incident(&console).unwrap();
        let mut facts = recorded.facts;
        for pod in &mut facts {
            pod.opt_out.threshold = Some(0.9);
        }
        let pods = Pods { facts, ..Pods::default() };
        let scope = Scope { context: "prod".to_owned(), namespace: Some("shop".to_owned()) };
        let look = Look::of(scope, &pods, recorded.scores, recorded.at);
        let pod = value(&look.pod("shop", &look.rows[0].name).unwrap());
        assert_eq!(pod["threshold"], 0.9);
        assert_eq!(pod["report"]["uid"], look.rows[0].uid.as_str(), "and its node's exporter has another");
    }

    #[test]
    fn every_look_at_a_cluster_says_at_which_and_how_much_of_it() {
        for (namespace, told) in [(Some("shop".to_owned()), Value::from("shop")), (None, Value::Null)] {
            let scope = Scope { context: "prod".to_owned(), namespace };
            let look = Look::of(scope, &Pods::default(), Scores::default(), Timestamp::UNIX_EPOCH).outdated("why");
            let fleet = value(&look.fleet().unwrap());
            assert_eq!((&fleet["recorded"], &fleet["context"]), (&false.into(), &"prod".into()));
            assert_eq!(fleet["namespace"], told);
        }
    }

    #[test]
    fn a_pod_that_is_not_there_is_not_found() {
        assert_eq!(incident().pod("shop", "nobody").unwrap_err(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn what_is_outdated_says_why_and_stays() {
        let old = incident().outdated("the API server does not answer");
        let fleet = value(&old.fleet().unwrap());
        assert_eq!(fleet["warnings"][0], "the API server does not answer");
        assert!(!fleet["items"].as_array().unwrap().is_empty());
    }
}
