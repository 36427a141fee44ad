//! What stood out in a file, pod by pod, with the evidence, the likely causes and what may help.

use std::collections::{BTreeMap, HashMap};

use guard_model::report::ModelInfo;
use guard_model::sample::PodFacts;
use guard_model::scorer::Verdict;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

use super::document::{Document, Insight, PodInsights, VERSION, name};
use super::pod::Pod;
use crate::{render, sanitise};

/// Events kept in mind; a cluster has few, and each for an hour.
const MOST_EVENTS: usize = 100_000;

/// What stood out so far.
#[derive(Debug, Default)]
pub struct Insights {
    /// By namespace and name, as the file has them.
    pods: BTreeMap<String, BTreeMap<String, Pod>>,
    /// Events by UID: pod, reason and how often.
    events: HashMap<String, ((String, String), String, u64)>,
    span: Option<(Timestamp, Timestamp)>,
    /// What the model could not score first, and at how many times there was something.
    missed: Option<(String, u64)>,
    /// It could not score some pod of this time.
    misses: bool,
}

impl Insights {
    /// Takes what is said of one pod at one time.
    pub fn take(&mut self, at: Timestamp, verdict: &Verdict<'_>) {
        self.misses |= verdict.is_missed();
        self.span = Some(self.span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        let PodFacts { namespace, name, workload, .. } = verdict.facts();
        // A pod that is known needs no copy of its name.
        let pods = match self.pods.get_mut(namespace) {
            Some(known) => known,
            None => self.pods.entry(namespace.clone()).or_default(),
        };
        let pod = match pods.get_mut(name) {
            Some(known) => known,
            None => pods.entry(name.clone()).or_default(),
        };
        if pod.workload != *workload {
            pod.workload.clone_from(workload);
        }
        pod.take(at, verdict.into(), |from| Insight::of(from, &verdict.report()));
    }

    /// Takes why the model did not score all pods at one time, if it did not score all that were taken.
    pub fn miss(&mut self, at: Timestamp, error: &str) {
        if !std::mem::take(&mut self.misses) {
            return;
        }
        let (_, times) = self.missed.get_or_insert_with(|| (sanitise::line(&format!("{at}: {error}")), 0));
        *times += 1;
    }

    /// When and why the model did not score all pods for the first time, and how often that was.
    pub fn missed(&self) -> Option<String> {
        let (first, times) = self.missed.as_ref()?;
        Some(match times {
            1 => first.clone(),
            times => format!("{first}; so it was at {times} times"),
        })
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
            let count = event.series.as_ref().and_then(|series| series.count).or(event.count).unwrap_or(1);
            let pod = (object.namespace.clone().unwrap_or_default(), object.name.clone().unwrap_or_default());
            let reason = sanitise::line(event.reason.as_deref().unwrap_or_default());
            self.events.insert(uid, (pod, reason, count.max(0) as u64));
        }
    }

    /// The time of the last row, if there was one.
    pub fn last(&self) -> Option<Timestamp> {
        self.span.map(|(_, last)| last)
    }

    /// Pods that were seen.
    pub fn watched(&self) -> usize {
        self.pods.values().map(BTreeMap::len).sum()
    }

    /// All pods, by namespace and name.
    fn pods(&self) -> impl Iterator<Item = (&String, &String, &Pod)> {
        self.pods.iter().flat_map(|(namespace, pods)| pods.iter().map(move |(name, pod)| (namespace, name, pod)))
    }

    /// The pods that misbehaved, the worst first: namespace, name, highest score, how often,
    /// and of the worst of these times since when it was and its likeliest cause.
    pub fn worst(&self) -> Vec<[String; 6]> {
        let mut pods: Vec<_> = self.pods().filter(|(_, _, pod)| !pod.insights.is_empty()).collect();
        pods.sort_by(|a, b| b.2.highest_score.total_cmp(&a.2.highest_score).then((a.0, a.1).cmp(&(b.0, b.1))));
        let days =
            self.span.is_some_and(|(first, last)| first.strftime("%F").to_string() != last.strftime("%F").to_string());
        let line = |(namespace, name, pod): (&String, &String, &Pod)| {
            let times = pod.insights.len() as u64 + pod.more;
            let worst = pod.insights.iter().max_by(|a, b| a.highest_score.total_cmp(&b.highest_score));
            let since = worst.map(|worst| render::clock(worst.from, days)).unwrap_or_default();
            let reason = worst.and_then(|worst| worst.likely_causes.first()).map(|cause| cause.text.clone());
            [
                sanitise::line(namespace),
                sanitise::line(name),
                render::score(Some(pod.highest_score)),
                times.to_string(),
                since,
                reason.unwrap_or_default(),
            ]
        };
        pods.into_iter().map(line).collect()
    }

    /// The document, as it stands.
    pub fn document(&self, source: &str, model: &ModelInfo, threshold: f64) -> Document {
        let mut counts: BTreeMap<(&String, &String), BTreeMap<String, u64>> = BTreeMap::new();
        for ((namespace, pod), reason, count) in self.events.values() {
            *counts.entry((namespace, pod)).or_default().entry(reason.clone()).or_default() += count;
        }
        let told = |(namespace, pod_name, pod): (&String, &String, &Pod)| {
            let event_counts = counts.get(&(namespace, pod_name)).cloned().unwrap_or_default();
            let worth_telling = !pod.insights.is_empty() || !event_counts.is_empty();
            worth_telling.then(|| PodInsights {
                namespace: sanitise::line(namespace),
                pod: sanitise::line(pod_name),
                workload: pod.workload.as_ref().map(|workload| sanitise::line(&workload.to_string())),
                state: name(pod.standing.state),
                score: pod.standing.score,
                severity: name(pod.standing.severity),
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
            model_missed: self.missed(),
            threshold,
            from: self.span.map(|span| span.0),
            to: self.span.map(|span| span.1),
            pods_watched: self.watched(),
            pods: self.pods().filter_map(told).collect(),
            explanations: Vec::new(),
            patterns: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        insights.pods.insert("shop".into(), BTreeMap::from([("cart".into(), Pod::default())]));
        let document = insights.document("x", &ModelInfo::default(), 0.7);
        let counts = &document.pods[0].event_counts;
        assert_eq!(
            counts.iter().map(|(r, n)| (r.as_str(), *n)).collect::<Vec<_>>(),
            [("BackOff", 6), ("Unhealthy", 1)]
        );
    }
}
