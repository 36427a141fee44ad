//! All that a language model may learn of a pod: an allow-list. There is no field for free text, so none can be forgotten:
//! what comes from the cluster as text is either looked up in a closed list or replaced by a pseudonym.

use guard_model::cause::Cause;
use guard_model::pod::STATIC_POD;
use guard_model::report::{Severity, State};
use jiff::Timestamp;
use serde::Serialize;

use super::Pseudonyms;
use crate::plan::ActionKind;
use crate::render::explain::Detail;
use crate::rows::Row;

/// Points of the score's history that are sent.
const POINTS: usize = 12;
/// Events that are sent, the latest.
const EVENTS: usize = 10;
/// What is not in a list.
const OTHER: &str = "other";

pub(super) const KINDS: &[&str] = &[
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
    "ReplicationController",
    "Pod",
    "Node",
    STATIC_POD,
];
const FEATURES: &[&str] = &["cpu", "memory", "receive", "transmit", "disk"];
const UNITS: &[&str] = &["cores", "bytes", "bytes_per_second"];
const ENDS: &[&str] = &[
    "Completed",
    "Error",
    "OOMKilled",
    "ContainerCannotRun",
    "ContainerStatusUnknown",
    "DeadlineExceeded",
    "Evicted",
    "StartError",
];
const REASONS: &[&str] = &[
    "BackOff",
    "Created",
    "ErrImageNeverPull",
    "Evicted",
    "Failed",
    "FailedAttachVolume",
    "FailedCreatePodSandBox",
    "FailedKillPod",
    "FailedMount",
    "FailedScheduling",
    "InspectFailed",
    "Killing",
    "NetworkNotReady",
    "NodeNotReady",
    "Preempted",
    "Preempting",
    "ProbeWarning",
    "Pulled",
    "Pulling",
    "Scheduled",
    "Started",
    "TaintManagerEviction",
    "Unhealthy",
];

/// One pod that stands out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Case {
    /// Its pseudonym.
    pub pod: String,
    /// What it belongs to.
    pub workload: Owner,
    /// Probability, 0 to 1, that it does not behave as it should.
    pub score: Option<f64>,
    /// How bad it is.
    pub severity: Severity,
    /// State of the score.
    pub state: Option<State>,
    /// About how long it has been over its line.
    pub seconds_over_the_line: Option<u64>,
    /// Why, the strongest first.
    pub causes: Vec<Weight>,
    /// What was seen and expected.
    pub features: Vec<Feature>,
    /// The latest scores, oldest first.
    pub scores: Vec<Option<f64>>,
    /// Ready containers.
    pub containers_ready: u32,
    /// Containers in all.
    pub containers_total: u32,
    /// Restarts of all containers.
    pub restarts: u32,
    /// How a container last ended.
    pub last_end: Option<End>,
    /// About how long ago the revision that made it was rolled out.
    pub seconds_since_rollout: Option<u64>,
    /// The latest events.
    pub events: Vec<Event>,
    /// What may be proposed; an answer names one of these or none.
    pub actions: Vec<ActionKind>,
}

/// What a pod belongs to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Owner {
    /// A kind of Kubernetes' own, else `other`.
    pub kind: &'static str,
    /// Its pseudonym.
    pub name: String,
    /// Its pods over their line.
    pub pods_over_the_line: usize,
    /// Its pods in all.
    pub pods: usize,
}

/// A cause and how sure it alone makes us.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Weight {
    /// The cause.
    pub cause: Cause,
    /// 0 to 1.
    pub weight: f64,
}

/// A feature, with two digits of each value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// What was seen.
    pub seen: Option<f64>,
    /// Lower end of what was expected.
    pub expected_low: Option<f64>,
    /// Upper end of it.
    pub expected_high: Option<f64>,
    /// Its share of the learnt score, 0 to 1.
    pub share: f64,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct End {
    /// Kubernetes' word for it, else `other`.
    pub reason: &'static str,
    /// Its exit code.
    pub exit_code: i32,
    /// About how long ago.
    pub seconds_ago: Option<u64>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// A word of Kubernetes' own, else `other`.
    pub reason: &'static str,
    /// It is a warning.
    pub warning: bool,
    /// How often it happened.
    pub count: i32,
    /// About how long ago.
    pub seconds_ago: Option<u64>,
}

impl Case {
    /// The case of `row`; `rows` are all that were read, for its neighbours. Names go into `names` and stay there.
    pub fn new(row: &Row, detail: &Detail, rows: &[Row], now: Timestamp, names: &mut Pseudonyms) -> Self {
        let owner = row.owner();
        let peers = || rows.iter().filter(|other| other.namespace == row.namespace && other.owner() == owner);
        let report = detail.report.as_ref();
        let history = report.map_or(&[][..], |report| &report.history);
        let made = detail.rollout.as_ref().and_then(|rollout| rollout.as_ref().ok()?.made);
        Self {
            pod: names.of("pod", &row.name),
            workload: Owner {
                kind: known(KINDS, &owner.kind),
                name: names.of("workload", &owner.name),
                pods_over_the_line: peers().filter(|peer| peer.is_anomalous()).count(),
                pods: peers().count(),
            },
            score: row.score.map(rounded),
            severity: row.severity,
            state: row.state,
            seconds_over_the_line: row.since.map(|at| about(at, now)),
            causes: row.reasons.iter().map(|r| Weight { cause: r.cause, weight: rounded(r.score) }).collect(),
            features: report.map_or(&[][..], |report| &report.features).iter().filter_map(feature).collect(),
            scores: history.iter().rev().take(POINTS).rev().map(|p| p.score.map(|s| rounded(s.into()))).collect(),
            containers_ready: row.containers_ready,
            containers_total: row.containers_total,
            restarts: row.restarts,
            last_end: detail.facts.terminated.as_ref().map(|end| End {
                reason: known(ENDS, &end.reason),
                exit_code: end.exit_code,
                seconds_ago: end.finished_at.map(|at| about(at, now)),
            }),
            seconds_since_rollout: made.map(|at| about(at, now)),
            events: detail
                .events
                .iter()
                .take(EVENTS)
                .map(|event| Event {
                    reason: known(REASONS, &event.reason),
                    warning: event.kind == "Warning",
                    count: event.count,
                    seconds_ago: event.at.map(|at| about(at, now)),
                })
                .collect(),
            actions: actions(&owner.kind),
        }
    }
}

/// What guard can do to a workload of this kind.
fn actions(kind: &str) -> Vec<ActionKind> {
    match kind {
        "Deployment" | "StatefulSet" => vec![ActionKind::Restart, ActionKind::Scale],
        "DaemonSet" | "ReplicaSet" | "ReplicationController" => vec![ActionKind::Restart],
        _ => Vec::new(),
    }
}

/// The word of the list that `text` is.
pub(super) fn known(list: &[&'static str], text: &str) -> &'static str {
    list.iter().find(|word| **word == text).copied().unwrap_or(OTHER)
}

pub(super) fn feature(view: &guard_model::report::FeatureView) -> Option<Feature> {
    Some(Feature {
        name: FEATURES.iter().find(|name| **name == view.name)?,
        unit: known(UNITS, &view.unit),
        seen: view.seen.map(two_digits),
        expected_low: view.expected_low.map(two_digits),
        expected_high: view.expected_high.map(two_digits),
        share: rounded(view.share),
    })
}

/// A score or share with two decimals.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The value with two significant digits: enough to reason with, too little to recognise a cluster by.
fn two_digits(value: f64) -> f64 {
    format!("{value:.1e}").parse().ok().filter(|value: &f64| value.is_finite()).unwrap_or(0.0)
}

/// Seconds from `at` to `now`, as one of a few: the same case a moment later is the same request.
pub(super) fn about(at: Timestamp, now: Timestamp) -> u64 {
    const STEPS: [u64; 12] = [15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400, 604_800];
    let seconds = now.duration_since(at).as_secs().max(0).unsigned_abs();
    STEPS.into_iter().find(|step| seconds <= *step).unwrap_or(STEPS[STEPS.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_two_digits() {
        for (value, kept) in [(0.0, 0.0), (0.002_345, 0.002_3), (123_456.0, 120_000.0), (-9.96, -10.0), (7.0, 7.0)] {
            assert!((two_digits(value) - kept).abs() <= kept.abs() * 1e-9, "{value}: {}", two_digits(value));
        }
        assert!(two_digits(f64::NAN).abs() < 1e-12 && two_digits(f64::MIN_POSITIVE).is_finite());
    }

    #[test]
    fn times_become_a_few_steps() {
        let now: Timestamp = "2026-11-22T14:40:00Z".parse().unwrap();
        let about = |seconds: i64| about(now - jiff::SignedDuration::from_secs(seconds), now);
        assert_eq!([about(-5), about(16), about(61), about(4_000_000)], [15, 30, 120, 604_800]);
    }
}
