//! The exporter's series, made afresh for each scrape from the last snapshot and the pods that are there now, so that
//! nothing is left of a pod that has gone. Labels hold names and closed lists of words, never free text.
//!
//! A pod has 6 series; one over its line has at most 10 more (since when, and three figures of at most three features).
//! The exporter has at most 26 of its own, whatever its pods do.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use guard_model::report::{FeatureView, PodReport, State};
use hyper::StatusCode;
use hyper::header::HeaderMap;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use crate::process::Usage;
use crate::server::Answer;
use crate::snapshot::Snapshot;

mod negotiate;
mod openmetrics;

pub use negotiate::{Format, takes_gzip};

/// How many features of a pod over its line are shown.
const FEATURES: usize = 3;
/// Every state of a pod, as words.
const STATES: [(State, &str); 5] = [
    (State::Ok, "ok"),
    (State::Anomalous, "anomalous"),
    (State::Learning, "learning"),
    (State::Stale, "stale"),
    (State::Muted, "muted"),
];

/// The answer to a scrape, in the format and packing that its headers ask for; see [`render`].
pub fn answer(snapshot: Option<&Snapshot>, shown: impl Fn(&PodReport) -> bool, headers: &HeaderMap) -> Answer {
    let format = Format::preferred(headers);
    let body = render(snapshot, &Usage::read(), shown, format);
    let packed = takes_gzip(headers).then(|| gzip(&body)).flatten();
    let gzip = packed.is_some();
    let body = packed.unwrap_or(body).into();
    Answer { gzip, ..Answer::new(StatusCode::OK, format.content_type(), body) }
}

/// The body packed; fast rather than small, for it is made anew for each scrape. `None` cannot happen in memory.
fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// Every series. `shown` is false for a pod that has gone since the snapshot was made, and for all if it is so old that its
/// scores must not be taken for today's.
pub fn render(
    snapshot: Option<&Snapshot>,
    usage: &Usage,
    shown: impl Fn(&PodReport) -> bool,
    format: Format,
) -> Vec<u8> {
    let mut families = Families::default();
    families.gauge(
        "guard_exporter_build_info",
        "Version of the exporter; always 1.",
        vec![row(&[("version", env!("CARGO_PKG_VERSION"))], 1.0)],
    );
    if let Some(snapshot) = snapshot {
        families.pods(&snapshot.report.pods.iter().filter(|pod| shown(pod)).collect::<Vec<_>>());
        families.model(snapshot);
        families.settings(snapshot);
        families.kubelet(snapshot);
        families.certificate(snapshot);
        families.stages(snapshot);
    }
    families.process(usage);
    families.encode(format)
}

#[derive(Default)]
struct Families(Vec<MetricFamily>);

impl Families {
    fn pods(&mut self, pods: &[&PodReport]) {
        // A stale score would look like a live one; what is missing is noticed.
        let scored = pods.iter().filter(|pod| pod.state != State::Stale);
        self.gauge(
            "guard_pod_anomaly_score",
            "Probability, 0 to 1, that the pod does not behave as it should. Made each tick on the node, not at the \
             scrape; see guard_last_sample_timestamp_seconds.",
            scored.filter_map(|pod| pod.score.map(|score| row(&names(pod), score))).collect(),
        );
        self.gauge(
            "guard_pod_state",
            "State of the pod's score: ok, anomalous, learning, stale or muted; 1 for the one it is in, 0 for the others.",
            pods.iter().flat_map(|pod| states(pod)).collect(),
        );
        self.gauge(
            "guard_pod_muted",
            "1 for a pod that its owner, or a mute of it, its workload or its node, has silenced.",
            pods.iter().filter(|pod| pod.state == State::Muted).map(|pod| row(&names(pod), 1.0)).collect(),
        );
        self.gauge(
            "guard_pod_anomaly_since_timestamp_seconds",
            "Since when the pod has been anomalous: its first score at its line or over it.",
            pods.iter().filter_map(|pod| pod.since.map(|at| row(&names(pod), at.as_second() as f64))).collect(),
        );
        self.features(pods);
    }

    /// What is unlike itself in the pods over their line: the three features that explain most.
    fn features(&mut self, pods: &[&PodReport]) {
        let mut shown: Vec<(&PodReport, Outlier)> = Vec::new();
        for &pod in pods.iter().filter(|pod| pod.state == State::Anomalous) {
            shown.extend(outliers(pod).into_iter().map(|outlier| (pod, outlier)));
        }
        let rows = |value: fn(&Outlier) -> f64| {
            let row = |(pod, outlier): &(&PodReport, Outlier)| {
                row(&[&names(pod)[..], &[("feature", outlier.name)]].concat(), value(outlier))
            };
            shown.iter().map(row).collect()
        };
        self.gauge(
            "guard_pod_feature_deviation",
            "How far a feature of a pod over its line is from what is expected: 1 and -1 are the ends of the range that \
             nine of ten of its samples would lie in. The features that explain most, at most three a pod.",
            rows(|outlier| outlier.deviation),
        );
        self.gauge(
            "guard_pod_feature_seen",
            "The feature as it was measured, in the unit of its name.",
            rows(|o| o.seen),
        );
        self.gauge(
            "guard_pod_feature_expected",
            "The middle of the expected range of the feature, in the unit of its name.",
            rows(|outlier| outlier.expected),
        );
    }

    fn model(&mut self, snapshot: &Snapshot) {
        let model = &snapshot.report.model;
        let labels = [("name", &*model.name), ("version", &*model.version), ("sha256", &*model.sha256)];
        self.gauge("guard_model_info", "The model that scores; always 1.", vec![row(&labels, 1.0)]);
        self.one(
            "guard_model_loaded",
            "1 if the model is in use, 0 if hard facts alone make the scores.",
            Some(flag(model.error.is_none())),
        );
    }

    /// What a reader must know to judge a score and its age.
    fn settings(&mut self, snapshot: &Snapshot) {
        let report = &snapshot.report;
        self.one(
            "guard_score_threshold",
            "Score at which a pod is over its line, unless it has a line of its own.",
            Some(report.threshold),
        );
        self.one("guard_tick_interval_seconds", "Seconds between two ticks.", Some(report.interval_seconds));
    }

    fn kubelet(&mut self, snapshot: &Snapshot) {
        let kubelet = &snapshot.report.kubelet;
        self.one("guard_kubelet_up", "1 if the last reading of the kubelet succeeded.", Some(flag(kubelet.up)));
        let verified = kubelet.verified && snapshot.kubelet_error != Some("certificate");
        self.one(
            "guard_kubelet_tls_verified",
            "1 if the kubelet's certificate is verified; 0 if it was rejected, or is not looked at by choice.",
            Some(flag(verified)),
        );
        self.gauge(
            "guard_kubelet_error_info",
            "Kind of the kubelet's present failure; always 1, absent if there is none. The words are in the report.",
            snapshot.kubelet_error.iter().map(|kind| row(&[("kind", kind)], 1.0)).collect(),
        );
        self.one(
            "guard_last_sample_timestamp_seconds",
            "When the kubelet was last read with the node's pods known. Sampling has a timer of its own, because a learnt \
             score needs even steps.",
            snapshot.last_sample,
        );
    }

    fn certificate(&mut self, snapshot: &Snapshot) {
        self.one(
            "guard_serving_certificate_expiry_timestamp_seconds",
            "When the certificate of the network port ends: the first to end of its chain. Absent without one.",
            snapshot.report.certificate_ends.map(|at| at.as_second() as f64),
        );
    }

    fn stages(&mut self, snapshot: &Snapshot) {
        let durations = &snapshot.durations;
        let stages =
            [("summary", Some(durations.summary)), ("cadvisor", durations.cadvisor), ("score", Some(durations.score))];
        self.gauge(
            "guard_tick_duration_seconds",
            "How long each stage took when it last ran.",
            stages
                .iter()
                .filter_map(|(stage, took)| took.map(|took| row(&[("stage", stage)], took.as_secs_f64())))
                .collect(),
        );
        let failures = &snapshot.failures;
        let stages = [
            ("summary", failures.summary),
            ("cadvisor", failures.cadvisor),
            ("watch", failures.watch),
            ("state", failures.state),
            ("model", failures.model),
        ];
        self.add(
            MetricType::COUNTER,
            "guard_tick_failures_total",
            "How often each stage has failed.",
            stages.map(|(stage, count)| row(&[("stage", stage)], count as f64)).to_vec(),
        );
        let dropped = [("summary", snapshot.dropped.summary), ("cadvisor", snapshot.dropped.cadvisor)];
        self.add(
            MetricType::COUNTER,
            "guard_kubelet_entries_dropped_total",
            "Entries of the kubelet's answers that were left out: beyond a bound, or not to be understood.",
            dropped.map(|(source, count)| row(&[("source", source)], count as f64)).to_vec(),
        );
    }

    fn process(&mut self, usage: &Usage) {
        let cpu = usage.cpu_seconds.iter().map(|&seconds| row(&[], seconds)).collect();
        self.add(
            MetricType::COUNTER,
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            cpu,
        );
        self.one("process_resident_memory_bytes", "Resident memory size in bytes.", usage.resident_bytes);
        self.one("process_virtual_memory_bytes", "Virtual memory size in bytes.", usage.virtual_bytes);
        self.one("process_open_fds", "Number of open file descriptors.", usage.open_fds);
        self.one("process_max_fds", "Maximum number of open file descriptors.", usage.max_fds);
        self.one(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            usage.start_seconds,
        );
    }

    fn one(&mut self, name: &str, help: &str, value: Option<f64>) {
        self.gauge(name, help, value.iter().map(|&value| row(&[], value)).collect());
    }

    fn gauge(&mut self, name: &str, help: &str, rows: Vec<Row>) {
        self.add(MetricType::GAUGE, name, help, rows);
    }

    /// Adds a family; one without rows is left out, because the format has no use for its head alone.
    fn add(&mut self, kind: MetricType, name: &str, help: &str, rows: Vec<Row>) {
        if rows.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(rows.into_iter().map(|(labels, value)| metric(kind, labels, value)).collect());
        self.0.push(family);
    }

    fn encode(&self, format: Format) -> Vec<u8> {
        if format == Format::OpenMetrics {
            return openmetrics::encode(&self.0).into_bytes();
        }
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0, &mut text) {
            tracing::error!(%error, "cannot write the metrics");
        }
        text
    }
}

/// Labels and a value.
type Row = (Vec<LabelPair>, f64);

fn row(labels: &[(&str, &str)], value: f64) -> Row {
    (labels.iter().map(|(name, value)| label(name, value)).collect(), value)
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    // The format escapes line ends only; other control characters would reach whatever shows the label.
    label.set_value(value.chars().filter(|c| !c.is_control()).collect());
    label
}

fn metric(kind: MetricType, labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut metric = Metric::from_label(labels);
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn names(pod: &PodReport) -> [(&'static str, &str); 2] {
    [("namespace", &pod.namespace), ("pod", &pod.name)]
}

fn states(pod: &PodReport) -> [Row; 5] {
    STATES.map(|(state, word)| row(&[&names(pod)[..], &[("state", word)]].concat(), flag(pod.state == state)))
}

/// A feature that was measured and has an expected range.
struct Outlier {
    name: &'static str,
    share: f64,
    deviation: f64,
    seen: f64,
    expected: f64,
}

impl Outlier {
    fn of(feature: &FeatureView) -> Option<Self> {
        let (seen, low, high) = (feature.seen?, feature.expected_low?, feature.expected_high?);
        let (expected, half) = (f64::midpoint(low, high), (high - low) / 2.0);
        let deviation = (half > 0.0).then(|| (seen - expected) / half)?;
        Some(Self { name: feature_name(&feature.name)?, share: feature.share, deviation, seen, expected })
    }
}

/// The features with the largest shares, the largest first.
fn outliers(pod: &PodReport) -> Vec<Outlier> {
    let mut outliers: Vec<Outlier> = pod.features.iter().filter_map(Outlier::of).collect();
    outliers.sort_by(|a, b| b.share.total_cmp(&a.share));
    outliers.truncate(FEATURES);
    outliers
}

/// The feature with its unit: the values of a family stand in the unit that its label names.
fn feature_name(name: &str) -> Option<&'static str> {
    match name {
        "cpu" => Some("cpu_cores"),
        "memory" => Some("memory_bytes"),
        "receive" => Some("receive_bytes_per_second"),
        "transmit" => Some("transmit_bytes_per_second"),
        "disk" => Some("disk_bytes_per_second"),
        _ => None,
    }
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::example;

    fn usage() -> Usage {
        Usage {
            cpu_seconds: Some(1.5),
            resident_bytes: Some(16_777_216.0),
            virtual_bytes: Some(67_108_864.0),
            open_fds: Some(12.0),
            max_fds: Some(1024.0),
            start_seconds: Some(1_795_350_000.0),
        }
    }

    fn text(snapshot: Option<&Snapshot>, current: bool) -> String {
        String::from_utf8(render(snapshot, &usage(), |_| current, Format::Text)).unwrap()
    }

    #[test]
    fn every_family_of_a_tick_is_shown_with_its_help_and_type() {
        insta::assert_snapshot!(text(Some(&example()), true));
    }

    #[test]
    fn the_same_is_shown_in_open_metrics() {
        let text = render(Some(&example()), &usage(), |_| true, Format::OpenMetrics);
        insta::assert_snapshot!(String::from_utf8(text).unwrap());
    }

    /// A pod that is over its line, with all four features.
    fn bad(name: usize) -> PodReport {
        let mut pod = example().report.pods.remove(1);
        pod.name = format!("churn-{name}");
        pod.features = ["cpu", "memory", "receive", "transmit"]
            .map(|name| FeatureView { name: name.into(), ..pod.features[0].clone() })
            .to_vec();
        pod
    }

    #[test]
    fn a_pod_has_sixteen_series_at_most_and_leaves_none_behind() {
        let mut snapshot = example();
        let mut series = |pods: Vec<PodReport>| {
            snapshot.report.pods = pods;
            text(Some(&snapshot), true).lines().filter(|line| line.starts_with("guard_pod_")).count()
        };
        assert_eq!(series(vec![bad(0)]), 16);
        assert_eq!(series(vec![PodReport { state: State::Ok, since: None, ..bad(0) }]), 6);
        for name in 0..1000 {
            assert_eq!(series(vec![bad(name)]), 16);
        }
        assert_eq!(series(Vec::new()), 0);
    }

    #[test]
    fn the_exporter_has_twenty_six_series_of_its_own_whatever_its_pods_do() {
        let mut snapshot = example();
        snapshot.kubelet_error = Some("certificate");
        for count in [0, 1, 1000] {
            snapshot.report.pods = (0..count).map(bad).collect();
            let text = text(Some(&snapshot), true);
            let own = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("guard_pod_")).count();
            assert_eq!(own, 26, "{count} pods");
        }
    }

    #[test]
    fn a_packed_answer_unpacks_to_the_plain_one() {
        let mut plain = Vec::new();
        let body = render(Some(&example()), &usage(), |_| true, Format::Text);
        let packed = gzip(&body).unwrap();
        assert!(packed.len() < body.len() / 2, "{} of {}", packed.len(), body.len());
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut plain).unwrap();
        assert_eq!(plain, body);
    }

    #[test]
    fn scores_of_a_loop_that_stands_still_are_dropped() {
        let text = text(Some(&example()), false);
        assert!(!text.contains("guard_pod_"), "{text}");
        assert!(text.contains("guard_kubelet_up 1"), "{text}");
    }

    #[test]
    fn a_rejected_certificate_and_a_missing_model_show() {
        let mut snapshot = example();
        snapshot.report.kubelet.up = false;
        snapshot.kubelet_error = Some("certificate");
        snapshot.report.model.error = Some("no such file".to_owned());
        let text = text(Some(&snapshot), true);
        for line in [
            "guard_kubelet_up 0\n",
            "guard_kubelet_tls_verified 0\n",
            "guard_kubelet_error_info{kind=\"certificate\"} 1\n",
            "guard_model_loaded 0\n",
        ] {
            assert!(text.contains(line), "{line} not in {text}");
        }
        assert!(!text.contains("no such file"), "{text}");
    }

    #[test]
    fn before_the_first_tick_only_the_process_shows() {
        let text = text(None, true);
        assert!(text.contains("guard_exporter_build_info") && text.contains("process_open_fds 12"), "{text}");
        assert!(!text.contains("guard_model"), "{text}");
    }

    #[test]
    fn control_characters_do_not_reach_a_label() {
        let mut snapshot = example();
        snapshot.report.model.name = "a\u{1b}[31m\nb\u{9b}\"\\".to_owned();
        let text = text(Some(&snapshot), true);
        assert!(text.contains(r#"guard_model_info{name="a[31mb\"\\""#), "{text}");
    }
}
