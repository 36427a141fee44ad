//! What one tick leaves behind: the report and how it was come by. Immutable; readers share it while the next is made.

use std::sync::OnceLock;
use std::time::Duration;

use guard_model::report::NodeReport;
use hyper::body::Bytes;

/// How often each stage has failed since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Readings of `/stats/summary`.
    pub summary: u64,
    /// Readings of `/metrics/cadvisor`.
    pub cadvisor: u64,
    /// Lists and watches of the node's pods.
    pub watch: u64,
    /// Writes of the state file.
    pub state: u64,
    /// Readings of the model's file after it had changed.
    pub model: u64,
}

/// How many entries of the kubelet's answers were left out since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Of `/stats/summary`.
    pub summary: u64,
    /// Of `/metrics/cadvisor`.
    pub cadvisor: u64,
}

/// How long each stage of the last tick took; `None` for one that was not due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// The kubelet's answer to `/stats/summary`.
    pub summary: Duration,
    /// Its answer to `/metrics/cadvisor`, at its last reading.
    pub cadvisor: Option<Duration>,
    /// Parsing, sampling and scoring.
    pub score: Duration,
}

/// One tick's result.
pub struct Snapshot {
    /// What is served as `/v1/report`.
    pub report: NodeReport,
    /// When the kubelet was last read with the node's pods known, in seconds of Unix time; `None` before the first time.
    pub last_sample: Option<f64>,
    /// The kind of the kubelet's failure, while it fails.
    pub kubelet_error: Option<&'static str>,
    /// How often each stage has failed.
    pub failures: Failures,
    /// How many entries were left out.
    pub dropped: Dropped,
    /// How long each stage took.
    pub durations: Durations,
    json: OnceLock<Bytes>,
}

impl Snapshot {
    /// The result of a tick.
    pub fn new(
        report: NodeReport,
        last_sample: Option<f64>,
        kubelet_error: Option<&'static str>,
        failures: Failures,
        dropped: Dropped,
        durations: Durations,
    ) -> Self {
        Self { report, last_sample, kubelet_error, failures, dropped, durations, json: OnceLock::new() }
    }

    /// The report as JSON. It is made when first asked for, once a tick at most: most ticks nobody asks, and a body kept
    /// for nobody would cost half a megabyte on a full node.
    pub fn json(&self) -> Bytes {
        // The report has only string keys and finite or null numbers, which always serialise.
        self.json.get_or_init(|| serde_json::to_vec(&self.report).unwrap_or_default().into()).clone()
    }
}

/// A tick with one good and one bad pod, as tests need it.
#[cfg(test)]
pub(crate) fn example() -> Snapshot {
    use guard_model::cause::{Cause, Reason};
    use guard_model::report::{FeatureView, KubeletState, ModelInfo, PodReport, Severity, State, VERSION};

    let good = PodReport {
        namespace: "shop".to_owned(),
        name: "cart-5d8f-x2x".to_owned(),
        uid: "1".to_owned(),
        score: Some(0.031_25),
        containers_ready: 1,
        containers_total: 1,
        ..PodReport::default()
    };
    let bad = PodReport {
        name: "pay-0".to_owned(),
        uid: "2".to_owned(),
        score: Some(0.9375),
        state: State::Anomalous,
        severity: Severity::Critical,
        since: "2026-11-22T13:12:11Z".parse().ok(),
        reasons: vec![Reason { cause: Cause::CrashLoop, score: 0.9375, text: "restarts 5".to_owned() }],
        features: vec![FeatureView {
            name: "cpu".into(),
            unit: "cores".into(),
            seen: Some(1.5),
            expected_low: Some(0.25),
            expected_high: Some(0.75),
            share: 1.0,
        }],
        ..good.clone()
    };
    let stale = PodReport { name: "gone-0".to_owned(), uid: "3".to_owned(), state: State::Stale, ..good.clone() };
    let learning = PodReport {
        name: "new-0".to_owned(),
        uid: "4".to_owned(),
        score: None,
        state: State::Learning,
        ..good.clone()
    };
    let report = NodeReport {
        version: VERSION,
        node: "node1".to_owned(),
        at: "2026-11-22T13:13:00Z".parse().unwrap(),
        interval_seconds: 15.0,
        threshold: 0.7,
        scored_by: "guard-exporter 0.1.0".to_owned(),
        model: ModelInfo {
            name: "guard-lstm".to_owned(),
            version: "1".to_owned(),
            sha256: "ab".repeat(32),
            ..ModelInfo::default()
        },
        kubelet: KubeletState { up: true, verified: true, error: None },
        certificate_ends: "2028-11-22T00:00:00Z".parse().ok(),
        pods: vec![good, bad, stale, learning],
    };
    let durations = Durations {
        summary: Duration::from_millis(125),
        cadvisor: Some(Duration::from_millis(250)),
        score: Duration::from_micros(3_906),
    };
    let failures = Failures { summary: 2, cadvisor: 1, watch: 3, state: 0, model: 0 };
    Snapshot::new(report, Some(1_795_353_180.0), None, failures, Dropped { summary: 0, cadvisor: 5 }, durations)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `GUARD_BLESS=1 cargo test -p guard-exporter` writes the file anew. The plugin's tests read it.
    #[test]
    fn the_report_is_these_bytes() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tests/fixtures/report.json");
        let made = example().json();
        if std::env::var_os("GUARD_BLESS").is_some() {
            std::fs::write(file, &made).unwrap();
        }
        assert_eq!(made, std::fs::read(file).unwrap(), "models/tests/fixtures/report.json is out of date");
    }
}
