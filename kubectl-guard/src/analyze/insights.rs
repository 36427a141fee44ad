//! What stood out in a file, pod by pod, with the evidence, the likely causes and what may help.

use std::collections::{BTreeMap, HashMap};

use guard_model::report::ModelInfo;
use guard_model::sample::PodFacts;
use guard_model::scorer::Verdict;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;

use super::document::{Document, Insight, PodInsights, VERSION, name};
use super::pod::Pod;
use super::ticks::FORGET_SECONDS;
use crate::{render, sanitise};

/// Events kept in mind; a cluster has few, and each for an hour.
const MOST_EVENTS: usize = 100_000;
/// Insights kept that are over, of a file without an end.
const MOST_ENDED: usize = 1000;
/// A pod without a row for this long is no more, and what was wrong with it is over.
const GONE: SignedDuration = SignedDuration::from_hours(1);

/// What stood out so far.
#[derive(Debug, Default)]
pub struct Insights {
    /// By namespace and name, as the file has them.
    pods: BTreeMap<String, BTreeMap<String, Pod>>,
    /// Events by UID: pod, reason and how often.
    events: HashMap<String, ((String, String), String, u64)>,
    span: Option<(Timestamp, Timestamp)>,
    /// The time of what was taken last.
    now: Timestamp,
    /// What the model could not score first, and at how many times there was something.
    missed: Option<(String, u64)>,
    /// It could not score some pod of this time.
    misses: bool,
}

impl Insights {
    /// Takes what is said of one pod at one time.
    pub fn take(&mut self, at: Timestamp, verdict: &Verdict<'_>) {
        self.misses |= verdict.is_missed();
        self.now = at;
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

    /// Forgets what is past, for whoever follows a file that has no end: pods without a row for a day, and insights that are
    /// over since a day, or that are the oldest of too many.
    pub fn forget_past(&mut self) {
        let ago = |time| self.now.checked_sub(time).unwrap_or(Timestamp::MIN);
        let (yesterday, gone) = (ago(SignedDuration::from_secs(FORGET_SECONDS as i64)), ago(GONE));
        self.pods.retain(|_, pods| {
            pods.retain(|_, pod| pod.seen >= yesterday);
            !pods.is_empty()
        });
        let mut ends: Vec<Timestamp> = self.pods().flat_map(|(_, _, pod)| pod.ends(gone)).collect();
        let past = match ends.len().checked_sub(MOST_ENDED) {
            Some(surplus) if surplus > 0 => *ends.select_nth_unstable(surplus).1,
            _ => Timestamp::MIN,
        };
        for pod in self.pods.values_mut().flat_map(BTreeMap::values_mut) {
            pod.forget_ended(past.max(yesterday), gone);
        }
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
    use guard_model::report::{PodReport, State};

    use super::super::pod::Standing;
    use super::*;

    /// Takes the states of pods, one after another, each so many seconds after the start.
    fn followed(insights: &mut Insights, states: impl IntoIterator<Item = (i64, String, State)>) {
        for (second, name, state) in states {
            insights.now = Timestamp::from_second(second).unwrap();
            let standing = Standing { state, score: Some(0.9), ..Standing::default() };
            let pod = insights.pods.entry("shop".into()).or_default().entry(name).or_default();
            pod.take(insights.now, standing, |from| Insight::of(from, &PodReport::default()));
            insights.forget_past();
        }
    }

    fn told(insights: &Insights) -> Document {
        insights.document("x", &ModelInfo::default(), 0.7)
    }

    #[test]
    fn a_job_that_fails_each_minute_does_not_fill_the_memory() {
        let mut insights = Insights::default();
        // Its pods are deleted while they are anomalous; a calm one stays for ever, and one that is not calm.
        let minute = |minute: i64| {
            let lasting = [("calm", State::Ok), ("ill", State::Anomalous)];
            let lasting = lasting.map(|(name, state)| (60 * minute, name.to_owned(), state));
            [(60 * minute, format!("job-{minute:05}"), State::Anomalous)].into_iter().chain(lasting)
        };
        followed(&mut insights, (0..1600).flat_map(minute));
        assert_eq!(insights.watched(), 24 * 60 + 1 + 2, "those of the last day");
        let document = told(&insights);
        let of_jobs = document.pods.iter().filter(|pod| pod.pod.starts_with("job-"));
        assert_eq!(of_jobs.count(), 60 + 1 + MOST_ENDED, "those of the last hour, and a thousand that are over");
        assert_eq!(document.pods[0].pod, "ill", "what lasts is kept");
    }

    #[test]
    fn of_a_pod_that_stays_the_last_day_is_kept_and_the_rest_is_counted() {
        let mut insights = Insights::default();
        let hour = |hour: i64| {
            let state = if hour % 2 == 0 { State::Anomalous } else { State::Ok };
            (3600 * hour, "web".to_owned(), state)
        };
        followed(&mut insights, (0..480).map(hour));
        let pod = &told(&insights).pods[0];
        assert_eq!((pod.insights.len(), pod.more_insights), (13, 240 - 13));
        assert_eq!(pod.insights[12].from.as_second(), 3600 * 478);
    }

    #[test]
    fn what_was_forgotten_of_a_pod_that_comes_back_is_not_told_as_something_else() {
        let mut insights = Insights::default();
        let ended = |name: &str, second: i64| {
            [(second, name.to_owned(), State::Anomalous), (second + 1, name.to_owned(), State::Ok)]
        };
        followed(&mut insights, [(0, "web".to_owned(), State::Anomalous)]);
        let others = (0..=MOST_ENDED).flat_map(|n| ended(&format!("other-{n:04}"), 4000 + n as i64));
        followed(&mut insights, others);
        let web = |insights: &Insights| insights.pods["shop"]["web"].insights.len();
        assert_eq!(web(&insights), 0);
        let states = [State::Anomalous, State::Ok, State::Anomalous];
        followed(&mut insights, (6000..).zip(states).map(|(second, state)| (second, "web".to_owned(), state)));
        assert_eq!((web(&insights), insights.pods["shop"]["web"].more), (1, 1));
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
        insights.pods.insert("shop".into(), BTreeMap::from([("cart".into(), Pod::default())]));
        let document = insights.document("x", &ModelInfo::default(), 0.7);
        let counts = &document.pods[0].event_counts;
        assert_eq!(
            counts.iter().map(|(r, n)| (r.as_str(), *n)).collect::<Vec<_>>(),
            [("BackOff", 6), ("Unhealthy", 1)]
        );
    }
}
