//! The exporter's series in Prometheus' text format, made afresh for each scrape from the last snapshot, so that nothing
//! is left of a pod that has gone. Labels hold names and closed lists of words, never free text.

use guard_model::report::{PodReport, State};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

use crate::process::Usage;
use crate::snapshot::Snapshot;

/// The type of the body, as Prometheus 3 insists on it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every series. `current` is false if the snapshot is so old that its scores must not be taken for today's.
pub fn render(snapshot: Option<&Snapshot>, usage: &Usage, current: bool) -> Vec<u8> {
    let mut families = Families::default();
    families.gauge(
        "guard_exporter_build_info",
        "Version of the exporter; always 1.",
        vec![row(&[("version", env!("CARGO_PKG_VERSION"))], 1.0)],
    );
    if let Some(snapshot) = snapshot {
        families.pods(if current { &snapshot.report.pods } else { &[] });
        families.model(snapshot);
        families.kubelet(snapshot);
        families.stages(snapshot);
    }
    families.process(usage);
    families.encode()
}

#[derive(Default)]
struct Families(Vec<MetricFamily>);

impl Families {
    fn pods(&mut self, pods: &[PodReport]) {
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
            "State of the pod's score: ok, anomalous, learning, stale or muted; 1 for the one it is in.",
            pods.iter().map(|pod| row(&[&names(pod)[..], &[("state", state(pod.state))]].concat(), 1.0)).collect(),
        );
        self.gauge(
            "guard_pod_anomaly_since_timestamp_seconds",
            "Since when the pod has been over its line.",
            pods.iter().filter_map(|pod| pod.since.map(|at| row(&names(pod), at.as_second() as f64))).collect(),
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
            "When the kubelet was last read. Sampling has a timer of its own, because a learnt score needs even steps.",
            snapshot.last_sample,
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
        ];
        self.add(
            MetricType::COUNTER,
            "guard_tick_failures_total",
            "How often each stage has failed.",
            stages.map(|(stage, count)| row(&[("stage", stage)], count as f64)).to_vec(),
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

    fn encode(&self) -> Vec<u8> {
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

fn state(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Anomalous => "anomalous",
        State::Learning => "learning",
        State::Stale => "stale",
        State::Muted => "muted",
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
        String::from_utf8(render(snapshot, &usage(), current)).unwrap()
    }

    #[test]
    fn every_family_of_a_tick_is_shown_with_its_help_and_type() {
        insta::assert_snapshot!(text(Some(&example()), true));
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
