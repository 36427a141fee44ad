//! What a tick says of one pod. Most pods are calm and nobody reads more of them than that: the whole report is made for who
//! wants it.

use crate::cause::Reason;
use crate::explain::{self, DISK};
use crate::features::SIGNALS;
use crate::metric::Metric;
use crate::report::{FeatureView, PodReport, Severity, State};
use crate::sample::{PodFacts, PodSample};
use crate::series::Series;
use jiff::Timestamp;

/// A pod younger than this, of a template that its baseline does not know, is part of a rollout.
const ROLLOUT_SECONDS: f64 = 600.0;

/// What one tick says of one pod.
#[derive(Clone, Debug)]
pub struct Verdict<'a> {
    pub(super) sample: &'a PodSample,
    pub(super) series: &'a Series,
    pub(super) score: Option<f64>,
    pub(super) state: State,
    pub(super) reasons: Vec<Reason>,
}

impl Verdict<'_> {
    /// Which pod it is of.
    pub fn facts(&self) -> &PodFacts {
        &self.sample.facts
    }

    /// Probability, 0 to 1, that the pod misbehaves; `None` while nothing is known of it.
    pub fn score(&self) -> Option<f64> {
        self.score
    }

    /// What the score stands for.
    pub fn state(&self) -> State {
        self.state
    }

    /// Its sample is a new one, and nothing says what that is worth: facts alone make the score.
    pub fn is_missed(&self) -> bool {
        self.sample.fresh && self.series.is_missed()
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.series.alert.severity()
    }

    /// Since when it has been over its line.
    pub fn since(&self) -> Option<Timestamp> {
        self.series.alert.since()
    }

    /// Why, the strongest first; empty if nothing stands out.
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// All that is known of the pod at this time.
    pub fn report(&self) -> PodReport {
        let (facts, series) = (self.facts(), self.series);
        PodReport {
            namespace: facts.namespace.clone(),
            name: facts.name.clone(),
            uid: facts.uid.clone(),
            workload: facts.workload.clone(),
            score: self.score,
            state: self.state,
            severity: self.severity(),
            since: self.since(),
            reasons: self.reasons.clone(),
            began: series.alert.began().cloned(),
            learning_left: series.learning_left,
            muted: facts.muted.clone(),
            deploy: series.rollout && series.age < ROLLOUT_SECONDS,
            containers_ready: facts.containers_ready,
            containers_total: facts.containers_total,
            restarts: facts.restarts,
            features: views(series),
            history: series.history.iter().copied().collect(),
        }
    }
}

/// Every feature and metric with its share of the suspicion.
fn views<'a>(series: &'a Series) -> Vec<FeatureView> {
    let seen = &series.seen;
    let learnt = series.learnt().unwrap_or(0.0);
    let disk = series.disk.suspicion().unwrap_or(0.0);
    let reported = |(name, metric): (&'a String, &'a Metric)| {
        Some((name, metric, metric.value?, metric.suspicion().unwrap_or(0.0)))
    };
    let metrics: Vec<(&String, &Metric, f64, f64)> = series.metrics.iter().filter_map(reported).collect();
    let others: f64 = disk + metrics.iter().map(|(_, _, _, suspicion)| suspicion).sum::<f64>();
    // While nothing else is suspected the shares of the signals stand as they are.
    let of_signals = if others > 0.0 { learnt / (learnt + others) } else { 1.0 };
    let of_other = |suspicion: f64| if others > 0.0 { suspicion / (learnt + others) } else { 0.0 };
    let signals = (0..SIGNALS).map(|signal| {
        let value = seen.values[signal].unwrap_or(f64::NAN);
        explain::view(signal, value, seen.expected[signal], seen.share[signal] * of_signals)
    });
    let disk = series.disk.rate.map(|rate| explain::view(DISK, rate, series.disk.expected, of_other(disk)));
    let own = metrics.iter().map(|(name, metric, value, suspicion)| FeatureView {
        name: (*name).clone().into(),
        unit: "".into(),
        seen: Some(*value),
        expected_low: metric.expected.map(|range| range.0),
        expected_high: metric.expected.map(|range| range.1),
        share: of_other(*suspicion),
    });
    signals.chain(disk).chain(own).collect()
}
