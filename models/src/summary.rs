//! The kubelet's `/stats/summary`: the counters and gauges of each pod, as they are.
//!
//! Nearly every field of it may be missing, and each block has its own `time` of one-second resolution.

use std::collections::HashSet;
use std::fmt;

use jiff::Timestamp;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::pod::ParseError;

/// How many bytes a summary may have, which is held whole: twenty times one of 110 pods. A full node's fits with room to spare, and
/// with what else an exporter holds it stays within the memory that its manifest allows.
pub const MAX_BYTES: usize = 8 << 20;
/// A node runs 110 pods by default and 500 at the outside: more is no node but an attack on memory.
pub const MAX_PODS: usize = 1000;
/// Containers of a pod, and network interfaces of a pod.
const MAX_PARTS: usize = 100;

/// One reading of a kubelet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The node's name, as the kubelet gives it.
    pub node: String,
    /// Its pods, at most [`MAX_PODS`].
    pub pods: Vec<PodCounters>,
    /// Pods beyond that, and containers and interfaces beyond 100 a pod, which were left out.
    pub dropped: usize,
}

/// What the kubelet counts of one pod. Times in seconds of Unix time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodCounters {
    /// UID in the kubelet's eyes; of a static pod not the one in the API.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// CPU, if measured.
    pub cpu: Option<Cpu>,
    /// Memory, if measured.
    pub memory: Option<Gauge>,
    /// Network; missing under some runtimes. Of a pod on the host's network it is the node's.
    pub network: Option<Network>,
    /// Processes.
    pub processes: Option<f64>,
    /// When the youngest container started.
    pub started: Option<f64>,
    /// Its containers that run, at most 100.
    pub containers: Vec<ContainerCounters>,
}

/// What the kubelet counts of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerCounters {
    /// Its name.
    pub name: String,
    /// CPU, if measured.
    pub cpu: Option<Cpu>,
    /// Memory, if measured.
    pub memory: Option<Gauge>,
}

/// CPU of a pod or container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cpu {
    /// When it was read.
    pub at: f64,
    /// Use in cores over the kubelet's own last window.
    pub cores: Option<f64>,
    /// Use since its cgroup was made, in core seconds.
    pub total: Option<f64>,
}

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauge {
    /// When it was read.
    pub at: f64,
    /// In the unit of its field.
    pub value: f64,
}

/// Network counters of a pod, all interfaces but loopback.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// When they were read.
    pub at: f64,
    /// Bytes received.
    pub receive: f64,
    /// Bytes sent.
    pub transmit: f64,
    /// Errors of receiving.
    pub receive_errors: Option<f64>,
    /// Errors of sending.
    pub transmit_errors: Option<f64>,
}

impl Network {
    /// Errors, both directions.
    pub fn errors(&self) -> Option<f64> {
        Some(self.receive_errors? + self.transmit_errors?)
    }
}

/// Reads a `/stats/summary` body.
///
/// # Errors
/// If `body` is not the JSON of a summary.
pub fn parse(body: &[u8]) -> Result<Summary, ParseError> {
    let raw: RawSummary =
        serde_json::from_slice(body).map_err(|source| ParseError { what: "the kubelet's summary", source })?;
    let parts = |pod: &RawPod| pod.containers.dropped + pod.network.as_ref().map_or(0, |n| n.interfaces.dropped);
    let dropped = raw.pods.dropped + raw.pods.kept.iter().map(parts).sum::<usize>();
    let mut seen = HashSet::new();
    let pods = raw.pods.kept.into_iter().map(PodCounters::from);
    let pods = pods.filter(|pod| seen.insert(pod.uid.clone())).collect();
    Ok(Summary { node: raw.node.node_name, pods, dropped })
}

#[derive(Deserialize)]
struct RawSummary {
    node: RawNode,
    #[serde(default)]
    pods: Capped<RawPod, MAX_PODS>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawNode {
    #[serde(default)]
    node_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPod {
    pod_ref: RawRef,
    #[serde(default)]
    containers: Capped<RawContainer, MAX_PARTS>,
    cpu: Option<RawCpu>,
    memory: Option<RawMemory>,
    network: Option<RawNetwork>,
    #[serde(rename = "process_stats")]
    processes: Option<RawProcesses>,
}

#[derive(Deserialize)]
struct RawRef {
    name: String,
    namespace: String,
    uid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContainer {
    #[serde(default)]
    name: String,
    #[serde(default)]
    start_time: Time,
    cpu: Option<RawCpu>,
    memory: Option<RawMemory>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCpu {
    #[serde(default)]
    time: Time,
    usage_nano_cores: Option<f64>,
    usage_core_nano_seconds: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMemory {
    #[serde(default)]
    time: Time,
    working_set_bytes: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawNetwork {
    #[serde(default)]
    time: Time,
    rx_bytes: Option<f64>,
    tx_bytes: Option<f64>,
    rx_errors: Option<f64>,
    tx_errors: Option<f64>,
    #[serde(default)]
    interfaces: Capped<RawInterface, MAX_PARTS>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawInterface {
    #[serde(default)]
    name: String,
    rx_bytes: Option<f64>,
    tx_bytes: Option<f64>,
}

#[derive(Deserialize)]
struct RawProcesses {
    #[serde(rename = "process_count")]
    count: Option<f64>,
}

impl From<RawPod> for PodCounters {
    fn from(raw: RawPod) -> Self {
        let started = raw.containers.kept.iter().filter_map(|c| c.start_time.0).reduce(f64::max);
        Self {
            uid: raw.pod_ref.uid,
            namespace: raw.pod_ref.namespace,
            name: raw.pod_ref.name,
            cpu: raw.cpu.as_ref().and_then(cpu),
            memory: raw.memory.as_ref().and_then(memory),
            network: raw.network.as_ref().and_then(network),
            processes: raw.processes.and_then(|p| p.count),
            started,
            containers: raw.containers.kept.into_iter().map(ContainerCounters::from).collect(),
        }
    }
}

impl From<RawContainer> for ContainerCounters {
    fn from(raw: RawContainer) -> Self {
        Self { name: raw.name, cpu: raw.cpu.as_ref().and_then(cpu), memory: raw.memory.as_ref().and_then(memory) }
    }
}

impl PodCounters {
    /// When the pod was read: the time of its first block.
    pub fn at(&self) -> Option<f64> {
        let blocks = [self.cpu.map(|c| c.at), self.memory.map(|m| m.at), self.network.map(|n| n.at)];
        blocks.into_iter().flatten().next()
    }
}

/// The first `MAX` elements of a list that may be `null`; the others are counted and never held.
struct Capped<T, const MAX: usize> {
    kept: Vec<T>,
    dropped: usize,
}

impl<T, const MAX: usize> Default for Capped<T, MAX> {
    fn default() -> Self {
        Self { kept: Vec::new(), dropped: 0 }
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Capped<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self::default())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Capped<T, MAX> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while self.kept.len() < MAX {
            let Some(element) = list.next_element()? else { return Ok(self) };
            self.kept.push(element);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            self.dropped += 1;
        }
        Ok(self)
    }
}

/// Seconds of Unix time, read where it stands: a summary has some twenty times a pod. What is missing or no time is
/// `None`, and so is Go's zero time, the year 1: no reading was made.
#[derive(Clone, Copy, Default)]
struct Time(Option<f64>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self(None))
    }
}

impl Visitor<'_> for Time {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self, E> {
        let at = text.parse().ok().filter(|at: &Timestamp| at.as_second() > 0);
        Ok(Self(at.map(|at| at.as_millisecond() as f64 / 1000.0)))
    }
}

fn cpu(raw: &RawCpu) -> Option<Cpu> {
    let cores = raw.usage_nano_cores.map(|n| n / 1e9);
    let total = raw.usage_core_nano_seconds.map(|n| n / 1e9);
    let at = raw.time.0?;
    (cores.is_some() || total.is_some()).then_some(Cpu { at, cores, total })
}

/// A running container holds some memory: the zero that the kubelet shows of one that has just started is not measured
/// yet, and taken for a level it would make everything after it look enormous.
fn memory(raw: &RawMemory) -> Option<Gauge> {
    Some(Gauge { at: raw.time.0?, value: raw.working_set_bytes.filter(|&bytes| bytes > 0.0)? })
}

/// The top level is the default interface only: a pod with a second one would hide its traffic there.
fn network(raw: &RawNetwork) -> Option<Network> {
    let at = raw.time.0?;
    let interfaces: Vec<&RawInterface> = raw.interfaces.kept.iter().filter(|i| i.name != "lo").collect();
    let sum = |of: fn(&RawInterface) -> Option<f64>| interfaces.iter().map(|i| of(i)).sum::<Option<f64>>();
    let (receive, transmit) = if interfaces.is_empty() {
        (raw.rx_bytes?, raw.tx_bytes?)
    } else {
        (sum(|i| i.rx_bytes)?, sum(|i| i.tx_bytes)?)
    };
    Some(Network { at, receive, transmit, receive_errors: raw.rx_errors, transmit_errors: raw.tx_errors })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &[u8] = include_bytes!("../tests/fixtures/summary.json");

    #[test]
    fn recorded_bytes_give_the_counters_of_each_pod() {
        let summary = parse(RECORDED).unwrap();
        assert_eq!((summary.node.as_str(), summary.pods.len(), summary.dropped), ("node1", 2, 0));
        let pod = &summary.pods[0];
        assert_eq!(pod.name, "loadgen-65cddccd49-bnppp");
        let cpu = pod.cpu.unwrap();
        assert!((cpu.cores.unwrap() - 0.011_377_655).abs() < 1e-12);
        assert!((cpu.total.unwrap() - 26.487_309_914).abs() < 1e-9);
        assert!((pod.memory.unwrap().value - 13_148_160.0).abs() < 0.5);
        let network = pod.network.unwrap();
        assert!((network.receive - 257_682_963.0).abs() < 0.5 && (network.transmit - 12_587_886.0).abs() < 0.5);
        assert!((network.at - cpu.at - 3.0).abs() < 1e-9, "each block has its own time");
        let [main] = &pod.containers[..] else { unreachable!("it has one container") };
        assert_eq!(main.name, "main");
        assert!((main.memory.unwrap().value - 13_172_736.0).abs() < 0.5);
        assert!((main.cpu.unwrap().total.unwrap() - 26.399_876_445).abs() < 1e-9);
        assert_eq!(pod.started, "2026-11-22T13:10:23Z".parse::<Timestamp>().ok().map(|t| t.as_second() as f64));
    }

    #[test]
    fn a_missing_block_is_unknown_and_not_zero() {
        let body = br#"{"node": {"nodeName": "n"}, "pods": [{"podRef": {"name": "a", "namespace": "b", "uid": "c"},
            "containers": null, "cpu": {"time": null, "usageNanoCores": 5}, "memory": {"time": "0001-01-01T00:00:00Z",
            "workingSetBytes": 7}, "network": {"time": "2026-11-22T14:02:01Z", "name": "", "interfaces": []}}]}"#;
        let pod = &parse(body).unwrap().pods[0];
        assert_eq!((pod.cpu, pod.memory, pod.network, pod.started), (None, None, None, None));
    }

    #[test]
    fn no_memory_at_all_is_not_measured_yet() {
        let body = br#"{"node": {}, "pods": [{"podRef": {"name": "a", "namespace": "b", "uid": "c"},
            "memory": {"time": "2026-11-22T14:02:01Z", "workingSetBytes": 0}}]}"#;
        assert_eq!(parse(body).unwrap().pods[0].memory, None);
    }

    #[test]
    fn the_traffic_of_all_interfaces_counts() {
        let body = br#"{"node": {}, "pods": [{"podRef": {"name": "a", "namespace": "b", "uid": "c"},
            "network": {"time": "2026-11-22T14:02:01Z", "rxBytes": 1, "txBytes": 2, "interfaces": [
            {"name": "eth0", "rxBytes": 1, "txBytes": 2}, {"name": "net1", "rxBytes": 10, "txBytes": 20},
            {"name": "lo", "rxBytes": 100, "txBytes": 100}]}}]}"#;
        let network = parse(body).unwrap().pods[0].network.unwrap();
        assert!((network.receive - 11.0).abs() < 1e-9 && (network.transmit - 22.0).abs() < 1e-9);
    }

    #[test]
    fn garbage_is_an_error_that_names_what_was_read() {
        for body in [&b"{\"node\":{},\"pods\":[{\"podR"[..], b"<html>", b"", b"[]", b"{\"pods\": []}"] {
            let error = parse(body).unwrap_err().to_string();
            assert!(error.starts_with("the kubelet's summary cannot be read: "), "{error}");
        }
    }

    #[test]
    fn more_pods_than_a_node_can_run_are_counted_and_left_out() {
        let pod = |i: usize| format!(r#"{{"podRef":{{"name":"p{i}","namespace":"n","uid":"{i}"}}}}"#);
        let pods: Vec<String> = (0..MAX_PODS + 5).map(pod).collect();
        let summary = parse(format!(r#"{{"node":{{}},"pods":[{}]}}"#, pods.join(",")).as_bytes()).unwrap();
        assert_eq!((summary.pods.len(), summary.dropped), (MAX_PODS, 5));
    }
    #[test]
    fn lists_may_be_null() {
        let body = br#"{"node": {"nodeName": "n"}, "pods": null}"#;
        assert_eq!(parse(body).unwrap().pods, []);
        let body = br#"{"node": {}, "pods": [{"podRef": {"name": "a", "namespace": "b", "uid": "c"},
            "containers": null, "network": {"time": "2026-11-22T14:02:01Z", "interfaces": null}}]}"#;
        assert_eq!(parse(body).unwrap().pods[0].network, None);
    }

    #[test]
    fn more_containers_than_a_pod_can_have_are_counted_and_left_out() {
        let containers = vec![r#"{"name":"c","startTime":"2026-11-22T13:10:23Z"}"#; MAX_PARTS + 2].join(",");
        let body = format!(
            r#"{{"node":{{}},"pods":[{{"podRef":{{"name":"p","namespace":"n","uid":"u"}},"containers":[{containers}]}}]}}"#
        );
        assert_eq!(parse(body.as_bytes()).unwrap().dropped, 2);
    }
}
