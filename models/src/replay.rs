//! A recording through the sampler, and on through the scorer: the same road as in an exporter, without a cluster.

use std::collections::HashMap;
use std::io::Read;

use jiff::Timestamp;

use crate::cadvisor;
use crate::detector::Detector;
use crate::pod;
use crate::recording::{self, NodeFiles, RecordingError, Tick};
use crate::report::{KubeletState, NodeReport, VERSION};
use crate::sample::{self, PodFacts, PodSample};
use crate::sampler::Sampler;
use crate::scorer::{Scorer, Settings};
use crate::summary;

/// Cadvisor is read this often, as an exporter does, although a recording may hold it with every tick.
const CADVISOR_SECONDS: i64 = 60;

/// All nodes of a recording at one tick, read but not scored.
#[derive(Debug)]
pub struct Sampled<'a> {
    /// When it was recorded.
    pub at: Timestamp,
    /// What each node gave.
    pub nodes: Vec<NodeSamples>,
    /// The files it comes from.
    pub tick: &'a Tick,
}

/// The pods of one node at one tick.
#[derive(Debug)]
pub struct NodeSamples {
    /// The node's name.
    pub node: String,
    /// One sample for each pod that has not succeeded.
    pub samples: Vec<PodSample>,
    /// Whether its kubelet gave a summary.
    pub kubelet: KubeletState,
}

/// All nodes of a recording at one tick.
#[derive(Debug)]
pub struct Moment<'a> {
    /// When it was recorded.
    pub at: Timestamp,
    /// One report a node.
    pub reports: Vec<NodeReport>,
    /// The files it comes from.
    pub tick: &'a Tick,
}

/// Scores a recording from `reader` tick by tick and gives each moment to `each`. `detector` makes one for each node
/// of the recording; `scored_by` is the name and version of the caller.
///
/// # Errors
/// What `each` returns, or why the recording cannot be read on.
pub fn replay<E: From<RecordingError>>(
    reader: impl Read,
    settings: Settings,
    scored_by: &str,
    mut detector: impl FnMut() -> Option<Detector>,
    mut each: impl FnMut(Moment<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut scorers: HashMap<String, Scorer> = HashMap::new();
    samples(reader, |sampled| {
        let at = sampled.at;
        let reports = sampled.nodes.into_iter().map(|NodeSamples { node, samples, kubelet }| {
            let scorer = scorers.entry(node.clone()).or_insert_with(|| Scorer::new(settings, detector()));
            NodeReport {
                version: VERSION,
                node,
                at,
                interval_seconds: settings.interval_seconds,
                threshold: settings.threshold,
                scored_by: scored_by.to_owned(),
                pods: scorer.tick(at, &samples),
                model: scorer.model().clone(),
                kubelet,
                certificate_ends: None,
            }
        });
        each(Moment { at, reports: reports.collect(), tick: sampled.tick })
    })
}

/// Reads a recording from `reader` tick by tick and gives the samples of all nodes to `each`.
///
/// # Errors
/// What `each` returns, or why the recording cannot be read on.
pub fn samples<E: From<RecordingError>>(
    reader: impl Read,
    each: impl FnMut(Sampled<'_>) -> Result<(), E>,
) -> Result<(), E> {
    every(1, reader, each)
}

/// The same of the first tick and of each `step`-th (1 and more) after it, as an exporter reads them whose interval is longer.
///
/// # Errors
/// As [`samples`].
pub fn every<E: From<RecordingError>>(
    step: usize,
    reader: impl Read,
    mut each: impl FnMut(Sampled<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut nodes: HashMap<String, Node> = HashMap::new();
    let mut pods: Vec<PodFacts> = Vec::new();
    let mut ticks = 0..;
    recording::read(reader, |tick| {
        // A tick without a pod list goes on with the last one, as a watch does.
        if let Some(list) = tick.pods.as_deref().and_then(|body| pod::pods(body).ok()) {
            pods = list;
        }
        if ticks.next().is_some_and(|tick: usize| !tick.is_multiple_of(step)) {
            return Ok(());
        }
        let read =
            tick.nodes.iter().map(|files| nodes.entry(files.node.clone()).or_default().sample(&tick, files, &pods));
        each(Sampled { at: tick.at, nodes: read.collect(), tick: &tick })
    })
}

#[derive(Default)]
struct Node {
    sampler: Sampler,
    cadvisor_at: Option<Timestamp>,
}

impl Node {
    fn sample(&mut self, tick: &Tick, files: &NodeFiles, pods: &[PodFacts]) -> NodeSamples {
        let mine = |pod: &&PodFacts| pod.node.as_deref() == Some(&files.node);
        let mine: Vec<PodFacts> = pods.iter().filter(mine).cloned().collect();
        let (kubelet, summary) = match files.summary.as_deref().map(summary::parse) {
            Some(Ok(summary)) => (KubeletState { up: true, verified: true, error: None }, Some(summary)),
            Some(Err(error)) => (down(error.to_string()), None),
            None => (down("the recording has no summary of this tick".to_owned()), None),
        };
        let due = self.cadvisor_at.is_none_or(|at| tick.at.as_second() - at.as_second() >= CADVISOR_SECONDS);
        let cadvisor = files.cadvisor.as_deref().filter(|_| due).map(|body| {
            self.cadvisor_at = Some(tick.at);
            let mut reader = cadvisor::Reader::default();
            reader.feed(body);
            reader.finish()
        });
        let samples = self.sampler.tick(sample::seconds(tick.at), summary.as_ref(), cadvisor.as_ref(), &mine);
        NodeSamples { node: files.node.clone(), samples, kubelet }
    }
}

fn down(error: String) -> KubeletState {
    KubeletState { up: false, verified: true, error: Some(error) }
}
