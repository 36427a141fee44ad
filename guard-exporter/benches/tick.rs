//! What a tick costs for a node of 30 pods, and of 110, 250 and 500: parsing, sampling and scoring, and the memory held by them.
//!
//! A recorded reading is multiplied and moved on by 15 s each tick, so that every tick has fresh counters. CPU time is
//! that of the process with the ticks less that without them; the connection to the kubelet and the watch are not in it.

#![expect(clippy::print_stdout, reason = "a bench is run to be read")]

use std::time::Duration;

use guard_exporter::model::Source;
use guard_exporter::pipeline::{Pipeline, Readings};
use guard_exporter::process::Usage;
use guard_model::cadvisor::Reader;
use guard_model::detector::Kind;
use guard_model::pod;
use guard_model::sample::PodFacts;
use guard_model::scorer::Settings;
use jiff::Timestamp;
use serde_json::Value;

/// Fifty minutes of ticks: past the learning time.
const TICKS: u64 = 200;
const INTERVAL: Duration = Duration::from_secs(15);
const TICKS_A_MINUTE: u64 = 4;
/// What a kubelet's cadvisor page has for a pod; the recorded one was cut down to a few families.
const CADVISOR_BYTES: usize = 43_000;

/// A summary's place for pods, while it has none.
const NO_PODS: &str = r#""pods":[]"#;

const SUMMARY: &str = include_str!("../../models/tests/fixtures/summary.json");
const POD: &str = include_str!("../../models/tests/fixtures/pod.json");
const CADVISOR: &str = include_str!("../../models/tests/fixtures/cadvisor.txt");

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    println!("at start: {}", memory()?);
    for pods in [30, 110, 250, 500] {
        let node = Node::new(pods)?;
        let idle = node.run(None)?;
        let settings = Settings { threshold: 0.7, interval_seconds: INTERVAL.as_secs_f64() };
        let mut pipeline = Pipeline::new("node1", settings, Source::new(Kind::Lstm, None).load());
        let model = pipeline.model();
        let busy = node.run(Some(&mut pipeline))?;
        println!(
            "{pods} pods: {:.2} ms of CPU a tick, cadvisor's share of a minute included; {}; model {}",
            (busy - idle) * 1000.0 / TICKS as f64,
            memory()?,
            model.error.unwrap_or(model.version),
        );
    }
    Ok(())
}

/// What is in RAM, and how much of it is the program's own data: the rest is pages of its file, which a small build has
/// fewer of and which the kernel can drop.
fn memory() -> Result<String, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mebibytes = |key: &str| -> Result<f64, Failure> {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).ok_or("/proc does not tell memory")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes / 1024.0)
    };
    Ok(format!("{:.1} MiB resident, {:.1} MiB of it data", mebibytes("VmRSS:")?, mebibytes("RssAnon:")?))
}

/// A node whose kubelet can be asked for any tick.
struct Node {
    facts: Vec<PodFacts>,
    summary: Value,
    pod: Value,
    start: Timestamp,
}

impl Node {
    fn new(pods: usize) -> Result<Self, Failure> {
        let template = pod::facts(&serde_json::from_str(POD)?);
        let facts = (0..pods).map(|index| PodFacts { uid: uid(index), name: name(index), ..template.clone() });
        let mut summary: Value = serde_json::from_str(SUMMARY)?;
        let pod = summary["pods"].get(0).ok_or("the recorded summary has no pod")?.clone();
        let start = pod["cpu"]["time"].as_str().ok_or("the recorded pod has no CPU time")?.parse()?;
        summary["pods"] = Value::Array(Vec::new());
        Ok(Self { facts: facts.collect(), summary, pod, start })
    }

    /// All ticks, through `pipeline` if there is one; CPU time in seconds.
    fn run(&self, mut pipeline: Option<&mut Pipeline>) -> Result<f64, Failure> {
        let before = Usage::read().cpu_seconds.ok_or("/proc does not tell CPU time")?;
        for tick in 0..TICKS {
            let at = self.start + INTERVAL * u32::try_from(tick)?;
            let summary = self.summary(tick, at)?;
            let mut reader = pipeline.as_ref().map(|_| Reader::default());
            let due = tick % TICKS_A_MINUTE == 0;
            if due {
                self.cadvisor(reader.as_mut());
            }
            if let Some(pipeline) = &mut pipeline {
                let cadvisor = reader.filter(|_| due).map(Reader::finish);
                let scored =
                    pipeline.tick(Readings { at, summary: Ok(summary), cadvisor, pods: Some(self.facts.clone()) });
                scored.kubelet?;
                if scored.pods.len() != self.facts.len() {
                    return Err("a pod was not scored".into());
                }
            }
        }
        Ok(Usage::read().cpu_seconds.ok_or("/proc does not tell CPU time")? - before)
    }

    /// The body of a tick, pod by pod: a tree of all pods would take more memory than the exporter that is measured.
    fn summary(&self, tick: u64, at: Timestamp) -> Result<Vec<u8>, Failure> {
        let whole = serde_json::to_string(&self.summary)?;
        let (head, tail) = whole.split_once(NO_PODS).ok_or("the recorded summary has no place for pods")?;
        let mut body = format!(r#"{head}"pods":"#).into_bytes();
        for (index, facts) in self.facts.iter().enumerate() {
            body.push(if index == 0 { b'[' } else { b',' });
            let mut pod = self.pod.clone();
            pod["podRef"]["name"] = facts.name.clone().into();
            pod["podRef"]["namespace"] = facts.namespace.clone().into();
            pod["podRef"]["uid"] = facts.uid.clone().into();
            // Every pod at its own pace, a little unsteady.
            let steps = tick * 10 + (tick + index as u64) % 3;
            for (block, counter, step) in [
                ("cpu", "usageCoreNanoSeconds", 300_000_000),
                ("network", "rxBytes", 40_000),
                ("network", "txBytes", 90_000),
            ] {
                let first = pod[block][counter].as_u64().unwrap_or_default();
                pod[block][counter] = (first + steps * step).into();
            }
            for block in ["cpu", "memory", "network"] {
                pod[block]["time"] = at.to_string().into();
            }
            serde_json::to_writer(&mut body, &pod)?;
        }
        body.push(b']');
        body.extend_from_slice(tail.as_bytes());
        Ok(body)
    }

    /// Reads a page of cadvisor's pod by pod: whole it would be five megabytes that no exporter ever holds. Without a
    /// reader the page is only made.
    fn cadvisor(&self, mut reader: Option<&mut Reader>) {
        for facts in &self.facts {
            let rows = cadvisor_rows(&facts.name);
            for piece in rows.as_bytes().chunks(8192) {
                if let Some(reader) = &mut reader {
                    reader.feed(piece);
                }
            }
        }
    }
}

fn uid(index: usize) -> String {
    format!("12b742d0-6573-41ba-9bc5-{index:012}")
}

fn name(index: usize) -> String {
    format!("cart-59f948d975-{index:05}")
}

/// The recorded rows under a pod's name, then rows of families that nobody wants up to a real page's share of a pod.
fn cadvisor_rows(pod: &str) -> String {
    let rows: Vec<(&str, &str)> = CADVISOR
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (before, after) = line.split_once("pod=\"")?;
            Some((before, after.split_once('"')?.1))
        })
        .collect();
    let mut text = String::with_capacity(CADVISOR_BYTES + 1000);
    let mut prefix = "";
    while text.len() < CADVISOR_BYTES && !rows.is_empty() {
        for (before, after) in &rows {
            text.extend([prefix, before, "pod=\"", pod, "\"", after, "\n"]);
        }
        prefix = "unwanted_";
    }
    text
}
