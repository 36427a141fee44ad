//! What the pods of a target use now and used before, from the exporters' reports. Pure.

use std::collections::BTreeMap;

use guard_model::quantity::Quantity;
use guard_model::report::{HistoryPoint, NodeReport, PodReport, State};
use jiff::SignedDuration;

use crate::plan::{Resource, TargetName, is_of};
use crate::scores::prometheus::Used;

/// What one pod of a target uses, the highest of its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// At the last tick; what was not measured is missing.
    pub now: BTreeMap<Resource, Quantity>,
    /// The most that was recorded.
    pub peak: BTreeMap<Resource, Quantity>,
    /// How long the longest record of a pod is.
    pub recorded: SignedDuration,
    /// The container whose record it is; `None` for that of whole pods.
    pub container: Option<String>,
}

impl Usage {
    /// What the reports say of one target; nothing if they hold no pod of it.
    pub fn of(reports: &[NodeReport], namespace: &str, target: &TargetName) -> Self {
        let mut usage = Self::default();
        let pods = reports.iter().flat_map(|report| &report.pods);
        for pod in pods.filter(|pod| pod.namespace == namespace && is_of(pod, target) && pod.state != State::Stale) {
            for resource in Resource::ALL {
                usage.take(pod, resource);
            }
        }
        usage
    }

    /// The same, with the record of one container in place of that of whole pods.
    #[must_use]
    pub fn with_record(self, container: &str, used: Option<&Used>) -> Self {
        let mut peak = BTreeMap::new();
        for (resource, most) in used.iter().flat_map(|used| &used.peak) {
            raise(&mut peak, *resource, Some(*most));
        }
        let recorded = used.map(|used| used.recorded).unwrap_or_default();
        Self { peak, recorded, container: Some(container.to_owned()), ..self }
    }

    fn take(&mut self, pod: &PodReport, resource: Resource) {
        let seen = pod.features.iter().find(|feature| feature.name == resource.name()).and_then(|feature| feature.seen);
        raise(&mut self.now, resource, seen);
        let points = || pod.history.iter().filter_map(|point| Some((point.at, value(point, resource)?)));
        for (_, value) in points() {
            raise(&mut self.peak, resource, Some(value));
        }
        let times = || points().map(|(at, _)| at);
        if let (Some(first), Some(last)) = (times().min(), times().max()) {
            self.recorded = self.recorded.max(SignedDuration::from_secs(last.saturating_sub(first)));
        }
    }
}

fn value(point: &HistoryPoint, resource: Resource) -> Option<f64> {
    match resource {
        Resource::Cpu => point.cpu.map(f64::from),
        Resource::Memory => point.memory.map(f64::from),
    }
}

fn raise(amounts: &mut BTreeMap<Resource, Quantity>, resource: Resource, value: Option<f64>) {
    let Some(value) = value.filter(|value| value.is_finite() && *value >= 0.0) else { return };
    // Rounded up; what is larger than any number of bytes is as good as the largest.
    let amount = match resource {
        Resource::Cpu => Quantity::thousandths((value * 1000.0).ceil() as u64),
        Resource::Memory => Quantity::bytes(value.ceil() as u64),
    };
    let highest = amounts.entry(resource).or_insert(amount);
    *highest = (*highest).max(amount);
}

#[cfg(test)]
mod tests {
    use guard_model::report::FeatureView;
    use guard_model::workload::Workload;

    use super::*;

    fn pod(name: &str, cpu: Option<f64>, history: &[(i64, f32)]) -> PodReport {
        let point = |(at, memory): &(i64, f32)| HistoryPoint {
            at: *at,
            score: None,
            cpu: None,
            memory: Some(*memory),
            receive: None,
            transmit: None,
        };
        PodReport {
            namespace: "shop".into(),
            name: name.into(),
            uid: name.into(),
            workload: Some(Workload::new("Deployment", "web")),
            containers_ready: 1,
            containers_total: 1,
            features: vec![FeatureView {
                name: "cpu".into(),
                unit: "cores".into(),
                seen: cpu,
                expected_low: None,
                expected_high: None,
                share: 0.0,
            }],
            history: history.iter().map(point).collect(),
            ..PodReport::default()
        }
    }

    fn usage(pods: Vec<PodReport>) -> Usage {
        let report = NodeReport {
            version: 1,
            node: "n1".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            interval_seconds: 15.0,
            threshold: 0.7,
            scored_by: "0.1.0".into(),
            model: guard_model::report::ModelInfo::default(),
            kubelet: guard_model::report::KubeletState::default(),
            certificate_ends: None,
            pods,
        };
        Usage::of(&[report], "shop", &"deployment/web".parse().unwrap())
    }

    #[test]
    fn the_highest_pod_and_the_longest_record_count() {
        let mut other = pod("other", Some(9.0), &[(0, 9e9)]);
        other.workload = Some(Workload::new("Deployment", "other"));
        let mut stale = pod("c", Some(9.0), &[(0, 9e9)]);
        stale.state = State::Stale;
        let seen = usage(vec![
            pod("a", Some(0.1004), &[(0, 1_048_576.0), (600, 2_097_152.0)]),
            pod("b", Some(0.05), &[(500, 1.0)]),
            other,
            stale,
        ]);
        assert_eq!(seen.now[&Resource::Cpu].to_string(), "101m");
        assert_eq!(seen.now.get(&Resource::Memory), None, "not measured is not nothing");
        assert_eq!(seen.peak[&Resource::Memory].to_string(), "2Mi");
        assert_eq!(seen.recorded, SignedDuration::from_mins(10));
    }

    #[test]
    fn a_record_of_a_container_takes_the_place_of_that_of_whole_pods() {
        let of_pods = usage(vec![pod("a", Some(0.1), &[(0, 1.0), (7200, 9e9)])]);
        let used = Used { peak: [(Resource::Memory, 1_048_576.0)].into(), recorded: SignedDuration::from_hours(3) };
        let known = of_pods.clone().with_record("web", Some(&used));
        assert_eq!((known.peak[&Resource::Memory].to_string(), known.recorded), ("1Mi".into(), used.recorded));
        assert_eq!((known.now, known.container.as_deref()), (of_pods.now.clone(), Some("web")));
        let unknown = of_pods.with_record("web", None);
        assert!(unknown.peak.is_empty() && unknown.recorded.is_zero());
    }

    #[test]
    fn numbers_that_are_none_are_not_taken() {
        for odd in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(usage(vec![pod("a", Some(odd), &[])]).now.is_empty(), "{odd}");
        }
        assert_eq!(usage(Vec::new()), Usage::default());
    }
}
