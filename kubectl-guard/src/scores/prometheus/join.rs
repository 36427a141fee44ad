//! From series to reports, with the help of the user's own pods. Pure.
//!
//! Metrics hold no UIDs, owners or reasons. A score is taken only for a pod that the user sees by that name, on that
//! node, and that was made before the score. Its owner is that of the pod; its reasons are what Kubernetes states of it
//! and what the metrics show of its features. What neither says is missing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use guard_model::alert::Alert;
use guard_model::cause::Reason;
use guard_model::explain;
use guard_model::report::{FeatureView, KubeletState, ModelInfo, NodeReport, PodReport, State, VERSION};
use guard_model::rules::{self, Custom};
use guard_model::sample::{self, Measures, Phase, PodFacts};
use jiff::Timestamp;

use super::Answers;
use crate::error::Error;
use crate::prometheus::{PrometheusError, Series};
use crate::scores::DEFAULT_THRESHOLD;
use crate::scores::{Scores, Silent};

/// Scores come this much later than from the exporters, in seconds: the scrape interval, and what a store behind it
/// takes. With the minute that scores may be old anyway this is where the alert about stale scores begins.
const LAG: f64 = 120.0;
/// The features of the metrics, in the order of [`explain::CAUSES`].
const FEATURES: [&str; explain::FEATURES] =
    ["cpu_cores", "memory_bytes", "receive_bytes_per_second", "transmit_bytes_per_second", "disk_bytes_per_second"];

/// The scores of the pods that the user sees.
///
/// # Errors
/// If the series are of several clusters, or there are none and there should be some.
pub fn join(answers: &Answers, facts: &[PodFacts], now: Timestamp) -> Result<Scores, Error> {
    one_cluster(answers)?;
    let mut nodes = nodes(answers);
    let pods = pods(answers, facts, &nodes, now);
    for (node, pod) in pods {
        if let Some(report) = nodes.get_mut(&node) {
            report.pods.push(pod);
        }
    }
    let silent = silent(answers, facts, &nodes);
    if let (true, Some(first)) = (nodes.is_empty(), silent.first()) {
        return Err(match answers.down.series.len() {
            0 => PrometheusError::NoSeries { server: answers.server.clone() }.into(),
            exporters => Error::NoScores { exporters, first: format!("node {}: {}", first.node, first.problem) },
        });
    }
    Ok(Scores { reports: nodes.into_values().collect(), silent, notices: notices(answers), lag_seconds: LAG })
}

/// What is known where no pod was asked about: exporters that are down.
pub(super) fn nobody(answers: &Answers) -> Scores {
    let silent = silent(answers, &[], &BTreeMap::new());
    Scores { reports: Vec::new(), silent, notices: notices(answers), lag_seconds: LAG }
}

/// Pods of one name in two clusters cannot be told apart by what a kubeconfig knows.
fn one_cluster(answers: &Answers) -> Result<(), PrometheusError> {
    let series = answers.all().into_iter().flat_map(|answer| &answer.series);
    let clusters: BTreeSet<&str> = series.filter_map(|series| series.label("cluster")).collect();
    if clusters.len() < 2 {
        return Ok(());
    }
    let clusters = clusters.into_iter().map(str::to_owned).collect();
    Err(PrometheusError::SeveralClusters { server: answers.server.clone(), clusters })
}

fn notices(answers: &Answers) -> Vec<String> {
    let told: BTreeSet<&String> = answers.all().into_iter().flat_map(|answer| &answer.warnings).collect();
    let mut notices: Vec<String> = told.into_iter().map(|text| format!("{}: {text}", answers.server)).collect();
    if answers.states.series.iter().any(|series| series.label("node").is_none()) {
        notices.push(format!(
            "{}: the exporters' series have no label node; manifests/monitoring shows how they get it",
            answers.server
        ));
    }
    notices
}

/// The node that a series is about, or at least the exporter.
fn node(series: &Series) -> Option<&str> {
    series.label("node").or_else(|| series.label("instance"))
}

/// A report without pods for each exporter of which it is known when it spoke.
fn nodes(answers: &Answers) -> BTreeMap<String, NodeReport> {
    let mut told: BTreeMap<&str, BTreeMap<&str, &Series>> = BTreeMap::new();
    for series in answers.nodes.series.iter().filter(|series| series.value().is_some()) {
        if let (Some(node), Some(name)) = (node(series), series.label("__name__")) {
            told.entry(node).or_default().insert(name, series);
        }
    }
    for series in answers.scraped.series.iter().filter(|series| series.value().is_some()) {
        if let Some(node) = node(series) {
            told.entry(node).or_default().insert("scraped", series);
        }
    }
    let report = |(node, told): (&str, BTreeMap<&str, &Series>)| Some((node.to_owned(), report(node, &told)?));
    told.into_iter().filter_map(report).collect()
}

fn report(node: &str, told: &BTreeMap<&str, &Series>) -> Option<NodeReport> {
    let value = |name: &str| told.get(name).and_then(|series| series.value());
    let label = |name: &str, label: &str| told.get(name).and_then(|series| series.label(label)).unwrap_or_default();
    let version = label("guard_exporter_build_info", "version");
    let loaded = value("guard_model_loaded").is_none_or(|loaded| loaded > 0.5);
    let kind = label("guard_kubelet_error_info", "kind");
    Some(NodeReport {
        version: VERSION,
        node: node.to_owned(),
        // A Prometheus that shows a tenant the series of his pods only hides when they were made.
        at: value("guard_last_sample_timestamp_seconds").or_else(|| value("scraped")).and_then(time)?,
        interval_seconds: value("guard_tick_interval_seconds").unwrap_or_default(),
        threshold: value("guard_score_threshold").unwrap_or(DEFAULT_THRESHOLD),
        scored_by: if version.is_empty() { String::new() } else { format!("guard-exporter {version}") },
        model: ModelInfo {
            name: label("guard_model_info", "name").to_owned(),
            version: label("guard_model_info", "version").to_owned(),
            sha256: label("guard_model_info", "sha256").to_owned(),
            error: (!loaded).then(|| "it is not loaded; the exporter's log says why".to_owned()),
            missed: None,
        },
        kubelet: KubeletState {
            up: value("guard_kubelet_up").is_none_or(|up| up > 0.5),
            verified: value("guard_kubelet_tls_verified").is_some_and(|verified| verified > 0.5),
            error: (!kind.is_empty()).then(|| kind.to_owned()),
        },
        certificate_ends: None,
        pods: Vec::new(),
    })
}

/// Nodes with pods of which nothing is told.
fn silent(answers: &Answers, facts: &[PodFacts], nodes: &BTreeMap<String, NodeReport>) -> Vec<Silent> {
    let mut silent = BTreeMap::new();
    for node in facts.iter().filter(|pod| pod.phase != Phase::Succeeded).filter_map(|pod| pod.node.as_deref()) {
        silent.insert(node, "Prometheus has nothing from its exporter");
    }
    for node in answers.down.series.iter().filter_map(node) {
        silent.insert(node, "Prometheus cannot scrape its exporter");
    }
    let has_names = answers.states.series.iter().any(|series| series.label("node").is_some());
    silent.retain(|node, _| !nodes.contains_key(*node) && (has_names || nodes.is_empty()));
    silent.into_iter().map(|(node, problem)| Silent { node: node.to_owned(), problem: problem.to_owned() }).collect()
}

/// What is told of one pod besides its state.
#[derive(Default)]
struct Figures {
    score: Option<f64>,
    since: Option<Timestamp>,
    features: [Feature; explain::FEATURES],
}

#[derive(Clone, Copy, Default)]
struct Feature {
    seen: Option<f64>,
    expected: Option<f64>,
    deviation: Option<f64>,
}

impl Feature {
    /// The range that the deviation was measured by: its ends are where it is 1 and -1.
    fn range(&self) -> Option<(f64, f64)> {
        let (seen, expected, deviation) = (self.seen?, self.expected?, self.deviation?);
        let half = (seen - expected) / deviation;
        (half.is_finite() && half > 0.0).then_some((expected - half, expected + half))
    }
}

/// Node, namespace and name.
type Key<'a> = (&'a str, &'a str, &'a str);

fn key(series: &Series) -> Option<Key<'_>> {
    Some((node(series)?, series.label("namespace")?, series.label("pod")?))
}

fn figures(answers: &Answers) -> HashMap<Key<'_>, Figures> {
    let mut all: HashMap<Key, Figures> = HashMap::new();
    for series in &answers.pods.series {
        let (Some(key), Some(value), Some(name)) = (key(series), series.value(), series.label("__name__")) else {
            continue;
        };
        let figures = all.entry(key).or_default();
        let signal = series.label("feature").and_then(|name| FEATURES.iter().position(|feature| *feature == name));
        match (name, signal) {
            ("guard_pod_anomaly_score", _) => figures.score = Some(value).filter(|score| (0.0..=1.0).contains(score)),
            ("guard_pod_anomaly_since_timestamp_seconds", _) => figures.since = time(value),
            ("guard_pod_feature_seen", Some(signal)) => figures.features[signal].seen = Some(value),
            ("guard_pod_feature_expected", Some(signal)) => figures.features[signal].expected = Some(value),
            ("guard_pod_feature_deviation", Some(signal)) => figures.features[signal].deviation = Some(value),
            _ => {}
        }
    }
    all
}

/// The pods that are both told of and seen, with the key of their node.
fn pods(
    answers: &Answers,
    facts: &[PodFacts],
    nodes: &BTreeMap<String, NodeReport>,
    now: Timestamp,
) -> Vec<(String, PodReport)> {
    let seen: HashMap<(&str, &str), &PodFacts> =
        facts.iter().map(|pod| ((pod.namespace.as_str(), pod.name.as_str()), pod)).collect();
    let mut figures = figures(answers);
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for series in &answers.states.series {
        let Some(key) = key(series) else { continue };
        let (Some(fact), Some(report)) = (seen.get(&(key.1, key.2)), nodes.get(key.0)) else { continue };
        let elsewhere = series.label("node").is_some_and(|node| fact.node.as_deref() != Some(node));
        let earlier = fact.created.is_some_and(|created| created > report.at);
        let Some(state) = series.label("state").and_then(state) else { continue };
        // Two Prometheus of one store may both tell of it.
        if !elsewhere && !earlier && told.insert((key.1, key.2)) {
            let figures = figures.remove(&key).unwrap_or_default();
            found.push((key.0.to_owned(), pod(fact, state, &figures, report.threshold, now)));
        }
    }
    found
}

/// A state that this version does not know is none.
fn state(word: &str) -> Option<State> {
    serde_json::from_value(serde_json::Value::from(word)).ok()
}

fn pod(fact: &PodFacts, state: State, figures: &Figures, line: f64, now: Timestamp) -> PodReport {
    let seconds = sample::seconds(now);
    let mut reasons = rules::reasons(fact, &Measures::default(), Custom::of_status(fact, seconds), seconds);
    let line = fact.opt_out.threshold.unwrap_or(line);
    if state == State::Anomalous && reasons.first().is_none_or(|fact| fact.score < line) {
        reasons.splice(0..0, learnt(figures));
    }
    let mut alert = Alert::default();
    if state == State::Anomalous {
        // The exporter has judged that it is over its line, which may be by hysteresis.
        alert.step(now, figures.score, f64::MIN, &reasons);
    }
    PodReport {
        namespace: fact.namespace.clone(),
        name: fact.name.clone(),
        uid: fact.uid.clone(),
        workload: fact.workload.clone(),
        score: figures.score,
        state,
        severity: alert.severity(),
        since: figures.since,
        reasons,
        began: None,
        learning_left: 0,
        muted: None,
        deploy: false,
        containers_ready: fact.containers_ready,
        containers_total: fact.containers_total,
        restarts: fact.restarts,
        features: features(figures),
        history: Vec::new(),
    }
}

/// Features outside their range, as one reason with the cause of the furthest: no fact takes the pod over its line, so
/// together they do.
fn learnt(figures: &Figures) -> Option<Reason> {
    let mut outside: Vec<(usize, f64)> = (0..explain::FEATURES)
        .filter_map(|signal| Some((signal, figures.features[signal].deviation?.abs())))
        .filter(|(_, deviation)| *deviation > 1.0)
        .collect();
    outside.sort_by(|a, b| b.1.total_cmp(&a.1));
    let text = |(signal, _): &(usize, f64)| {
        let feature = figures.features[*signal];
        Some(explain::text(*signal, feature.seen?, feature.range()))
    };
    let texts: Vec<String> = outside.iter().filter_map(text).collect();
    let (signal, _) = outside.first()?;
    Some(Reason { cause: explain::CAUSES[*signal], score: figures.score?, text: texts.join("; ") })
}

fn features(figures: &Figures) -> Vec<FeatureView> {
    let view = |(signal, feature): (usize, &Feature)| Some(explain::view(signal, feature.seen?, feature.range(), 0.0));
    figures.features.iter().enumerate().filter_map(view).collect()
}

fn time(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_millisecond((seconds * 1000.0) as i64).ok()
}
