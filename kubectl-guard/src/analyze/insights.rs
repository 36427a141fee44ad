//! `pod_insights.json`: what stood out in a file, pod by pod, with the evidence, the likely causes and what may help.
//!
//! Its schema is `kubectl-guard/insights.schema.json`. Fields are added, never given another meaning.

use std::collections::{BTreeMap, HashMap};

use guard_model::cause::Reason;
use guard_model::report::{ModelInfo, PodReport, Severity, State};
use guard_model::workload::Workload;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use serde::Serialize;

use crate::llm::{Explained, Pattern};
use crate::sanitise;
use crate::suggest::suggest;

/// Version of the document.
const VERSION: u32 = 1;
/// Insights kept of one pod; what comes after is counted.
const MOST_INSIGHTS: usize = 100;
/// Events kept in mind; a cluster has few, and each for an hour.
const MOST_EVENTS: usize = 100_000;

/// What stood out so far.
#[derive(Debug, Default)]
pub struct Insights {
    pods: BTreeMap<(String, String), Pod>,
    /// Events by UID: pod, reason and how often.
    events: HashMap<String, ((String, String), String, u64)>,
    span: Option<(Timestamp, Timestamp)>,
}

/// What is known of one pod.
#[derive(Debug)]
struct Pod {
    workload: Option<Workload>,
    state: State,
    score: Option<f64>,
    severity: Severity,
    highest_score: f64,
    insights: Vec<Insight>,
    more: u64,
    now: Now,
}

/// Whether a pod misbehaves at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Now {
    Calm,
    /// It does, and the last of its insights tells of it.
    Told,
    /// It does, and there were too many before: it was counted when it began.
    Counted,
}

/// The whole document.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Document {
    /// Version of the document: readers ignore fields that they don't know.
    version: u32,
    /// The file that was read.
    source: String,
    /// Name, version and SHA-256 of the model; absent if hard facts alone made the scores.
    model: Option<String>,
    /// Scores from here on are anomalies.
    threshold: f64,
    /// Time of the first row.
    from: Option<Timestamp>,
    /// Time of the last row.
    to: Option<Timestamp>,
    /// Pods that were seen.
    pods_watched: usize,
    /// Pods that misbehaved, or have events, by namespace and name.
    pods: Vec<PodInsights>,
    /// What incidents are, in words: of `run --enable-llm` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(default))]
    explanations: Vec<Explained>,
    /// Which of them a model thinks belong together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(default))]
    patterns: Vec<Pattern>,
}

impl Document {
    /// The same with what incidents are, in words.
    #[must_use]
    pub fn explained(self, explanations: Vec<Explained>, patterns: Vec<Pattern>) -> Self {
        Self { explanations, patterns, ..self }
    }
}

/// One pod.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PodInsights {
    namespace: String,
    pod: String,
    /// `Kind/name` of its controller, if known.
    workload: Option<String>,
    /// State at the end of the file: `ok`, `anomalous`, `learning`, `stale` or `muted`.
    state: String,
    /// Score at the end of the file, 0 to 1.
    score: Option<f64>,
    /// Severity at the end of the file: `none`, `warning` or `critical`.
    severity: String,
    /// The highest score in the file.
    highest_score: f64,
    /// How often which event was reported of it, by reason.
    event_counts: BTreeMap<String, u64>,
    /// Times in which it misbehaved, the first of them first.
    insights: Vec<Insight>,
    /// How many more there were.
    more_insights: u64,
}

/// One time in which a pod misbehaved.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Insight {
    /// When the alert rose.
    from: Timestamp,
    /// When it was over; absent if it went on at the end of the file.
    to: Option<Timestamp>,
    /// The highest score, 0 to 1; causes and evidence are those of that moment.
    highest_score: f64,
    /// The worst severity: `warning` or `critical`.
    severity: String,
    /// The strongest first.
    likely_causes: Vec<LikelyCause>,
    /// Each learnt feature, seen against expected.
    evidence: Vec<Evidence>,
    /// What may help.
    recommended_action: Option<Recommendation>,
}

/// Why.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LikelyCause {
    /// `cpu`, `crash_loop`, ...
    cause: String,
    /// How sure this cause alone makes us, 0 to 1.
    score: f64,
    /// The figures that matter.
    text: String,
}

/// One feature.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Evidence {
    feature: String,
    /// `cores`, `bytes` or `bytes_per_second`.
    unit: String,
    seen: Option<f64>,
    expected_low: Option<f64>,
    expected_high: Option<f64>,
    /// Share of the learnt score that it explains, 0 to 1.
    share: f64,
}

/// What may help.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Recommendation {
    /// An action of `kubectl guard fix`; absent if none of them helps.
    action: Option<String>,
    /// In a few words.
    summary: String,
    /// In a sentence.
    advice: String,
}

impl Insights {
    /// Takes one pod's report at one time.
    pub fn take(&mut self, at: Timestamp, report: &PodReport) {
        self.span = Some(self.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        let key = (sanitise::line(&report.namespace), sanitise::line(&report.name));
        let pod = self.pods.entry(key).or_insert_with(Pod::new);
        pod.workload.clone_from(&report.workload);
        (pod.state, pod.score, pod.severity) = (report.state, report.score, report.severity);
        let score = report.score.unwrap_or(0.0);
        pod.highest_score = pod.highest_score.max(score);
        match (pod.now, report.state == State::Anomalous) {
            (Now::Calm, true) if pod.insights.len() >= MOST_INSIGHTS => {
                pod.more += 1;
                pod.now = Now::Counted;
            }
            (Now::Calm, true) => {
                pod.insights.push(insight(report.since.unwrap_or(at), report));
                pod.now = Now::Told;
            }
            (Now::Told, true) => {
                let Some(open) = pod.insights.last_mut() else { return };
                if score > open.highest_score {
                    *open = insight(open.from, report);
                }
                open.severity = name(report.severity);
            }
            (Now::Told, false) => {
                pod.insights.last_mut().into_iter().for_each(|open| open.to = Some(at));
                pod.now = Now::Calm;
            }
            (Now::Counted, false) => pod.now = Now::Calm,
            (Now::Counted, true) | (Now::Calm, false) => {}
        }
    }

    /// Takes an `EventList`; the same event seen again counts as often as it says.
    pub fn take_events(&mut self, list: Option<&[u8]>) {
        #[derive(serde::Deserialize)]
        struct List {
            items: Vec<Event>,
        }
        let Some(Ok(list)) = list.map(serde_json::from_slice::<List>) else { return };
        for event in list.items {
            let object = &event.involved_object;
            let (Some(uid), true) = (event.metadata.uid, object.kind.as_deref() == Some("Pod")) else { continue };
            if self.events.len() >= MOST_EVENTS && !self.events.contains_key(&uid) {
                continue;
            }
            let clean = |text: &Option<String>| sanitise::line(text.as_deref().unwrap_or_default());
            let count = event.series.as_ref().and_then(|series| series.count).or(event.count).unwrap_or(1);
            let pod = (clean(&object.namespace), clean(&object.name));
            self.events.insert(uid, (pod, clean(&event.reason), count.max(0) as u64));
        }
    }

    /// The time of the last row, if there was one.
    pub fn last(&self) -> Option<Timestamp> {
        self.span.map(|(_, last)| last)
    }

    /// Pods that were seen.
    pub fn watched(&self) -> usize {
        self.pods.len()
    }

    /// The pods that misbehaved, the worst first: namespace, name, highest score, how often,
    /// and of the worst of these times since when it was and its likeliest cause.
    pub fn worst(&self) -> Vec<[String; 6]> {
        let mut pods: Vec<_> = self.pods.iter().filter(|(_, pod)| !pod.insights.is_empty()).collect();
        pods.sort_by(|a, b| b.1.highest_score.total_cmp(&a.1.highest_score).then(a.0.cmp(b.0)));
        let line = |((namespace, name), pod): (&(String, String), &Pod)| {
            let times = pod.insights.len() as u64 + pod.more;
            let worst = pod.insights.iter().max_by(|a, b| a.highest_score.total_cmp(&b.highest_score));
            let since = worst.map(|worst| worst.from.to_string()).unwrap_or_default();
            let reason = worst.and_then(|worst| worst.likely_causes.first()).map(|cause| cause.text.clone());
            [
                namespace.clone(),
                name.clone(),
                format!("{:.2}", pod.highest_score),
                times.to_string(),
                since,
                reason.unwrap_or_default(),
            ]
        };
        pods.into_iter().map(line).collect()
    }

    /// The document, as it stands.
    pub fn document(&self, source: &str, model: &ModelInfo, threshold: f64) -> Document {
        let mut counts: BTreeMap<&(String, String), BTreeMap<String, u64>> = BTreeMap::new();
        for (pod, reason, count) in self.events.values() {
            *counts.entry(pod).or_default().entry(reason.clone()).or_default() += count;
        }
        let told = |(key, pod): (&(String, String), &Pod)| {
            let event_counts = counts.get(key).cloned().unwrap_or_default();
            let worth_telling = !pod.insights.is_empty() || !event_counts.is_empty();
            worth_telling.then(|| PodInsights {
                namespace: key.0.clone(),
                pod: key.1.clone(),
                workload: pod.workload.as_ref().map(|workload| sanitise::line(&workload.to_string())),
                state: name(pod.state),
                score: pod.score,
                severity: name(pod.severity),
                highest_score: pod.highest_score,
                event_counts,
                insights: pod.insights.clone(),
                more_insights: pod.more,
            })
        };
        Document {
            version: VERSION,
            source: source.to_owned(),
            model: model.error.is_none().then(|| format!("{} {} sha256:{}", model.name, model.version, model.sha256)),
            threshold,
            from: self.span.map(|span| span.0),
            to: self.span.map(|span| span.1),
            pods_watched: self.pods.len(),
            pods: self.pods.iter().filter_map(told).collect(),
            explanations: Vec::new(),
            patterns: Vec::new(),
        }
    }
}

impl Pod {
    fn new() -> Pod {
        Pod {
            workload: None,
            state: State::Learning,
            score: None,
            severity: Severity::None,
            highest_score: 0.0,
            insights: Vec::new(),
            more: 0,
            now: Now::Calm,
        }
    }
}

fn insight(from: Timestamp, report: &PodReport) -> Insight {
    let cause = |reason: &Reason| LikelyCause {
        cause: reason.cause.name().to_owned(),
        score: reason.score,
        text: sanitise::line(&reason.text),
    };
    let features = report.features.iter().filter(|feature| feature.seen.is_some());
    let suggestion = suggest(&report.reasons, report.workload.as_ref());
    Insight {
        from,
        to: None,
        highest_score: report.score.unwrap_or(0.0),
        severity: name(report.severity),
        likely_causes: report.reasons.iter().map(cause).collect(),
        evidence: features
            .map(|feature| Evidence {
                feature: feature.name.to_string(),
                unit: feature.unit.to_string(),
                seen: feature.seen,
                expected_low: feature.expected_low,
                expected_high: feature.expected_high,
                share: feature.share,
            })
            .collect(),
        recommended_action: suggestion.map(|suggestion| Recommendation {
            action: suggestion.action.map(|action| action.name().to_owned()),
            summary: suggestion.words.to_owned(),
            advice: suggestion.advice.to_owned(),
        }),
    }
}

/// A state or severity as it stands in JSON and CSV.
pub(super) fn name(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../../insights.schema.json");

    /// `GUARD_BLESS=1 cargo test -p kubectl-guard` writes the file anew.
    #[test]
    fn the_committed_schema_is_that_of_the_document() {
        let made = serde_json::to_string_pretty(&schemars::schema_for!(Document)).unwrap() + "\n";
        if std::env::var_os("GUARD_BLESS").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/insights.schema.json"), &made).unwrap();
        }
        assert_eq!(made, SCHEMA, "kubectl-guard/insights.schema.json is out of date");
    }

    #[test]
    fn a_time_counts_once_however_long_it_is_and_however_many_there_were() {
        let mut insights = Insights::default();
        let mut second = 0;
        for _ in 0..MOST_INSIGHTS + 3 {
            for state in [State::Anomalous, State::Anomalous, State::Anomalous, State::Ok] {
                let report = PodReport { state, score: Some(0.9), ..PodReport::default() };
                insights.take(Timestamp::from_second(second).unwrap(), &report);
                second += 1;
            }
        }
        let pod = insights.pods.values().next().unwrap();
        assert_eq!((pod.insights.len(), pod.more), (MOST_INSIGHTS, 3));
        assert_eq!(insights.worst()[0][3], (MOST_INSIGHTS + 3).to_string());
        assert_eq!(insights.last(), Timestamp::from_second(second - 1).ok());
    }

    #[test]
    fn events_are_counted_by_pod_and_reason_and_not_twice() {
        let event = |uid: &str, reason: &str, count: i32| {
            serde_json::json!({"metadata": {"uid": uid}, "reason": reason, "count": count,
                "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "cart"}})
        };
        let list = |items: &[serde_json::Value]| serde_json::json!({"items": items}).to_string().into_bytes();
        let mut insights = Insights::default();
        insights.take_events(Some(&list(&[event("1", "BackOff", 3), event("2", "Unhealthy", 1)])));
        insights.take_events(Some(&list(&[event("1", "BackOff", 5), event("3", "BackOff", 1)])));
        insights.take_events(Some(b"{garbage"));
        insights.pods.insert(("shop".into(), "cart".into()), Pod::new());
        let document = insights.document("x", &ModelInfo::default(), 0.7);
        let counts = &document.pods[0].event_counts;
        assert_eq!(
            counts.iter().map(|(r, n)| (r.as_str(), *n)).collect::<Vec<_>>(),
            [("BackOff", 6), ("Unhealthy", 1)]
        );
    }
}
