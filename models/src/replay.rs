//! A recording through the sampler and the scorer: the same road as in an exporter, without a cluster.

use std::collections::HashMap;
use std::io::Read;

use jiff::Timestamp;

use crate::cadvisor;
use crate::engine::Engine;
use crate::pod;
use crate::recording::{self, NodeFiles, RecordingError, Tick};
use crate::report::{KubeletState, NodeReport, VERSION};
use crate::rules;
use crate::sample::PodFacts;
use crate::sampler::Sampler;
use crate::scorer::{Scorer, Settings};
use crate::summary;

/// Cadvisor is read this often, as an exporter does, although a recording may hold it with every tick.
const CADVISOR_SECONDS: i64 = 60;

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

/// Scores a recording from `reader` tick by tick and gives each moment to `each`. `engine` makes one engine for each node
/// of the recording; `scored_by` is the name and version of the caller.
///
/// # Errors
/// What `each` returns, or why the recording cannot be read on.
pub fn replay<E: From<RecordingError>>(
    reader: impl Read,
    settings: Settings,
    scored_by: &str,
    mut engine: impl FnMut() -> Option<Engine>,
    mut each: impl FnMut(Moment<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut nodes: HashMap<String, Node> = HashMap::new();
    let mut pods: Vec<PodFacts> = Vec::new();
    recording::read(reader, |tick| {
        // A tick without a pod list goes on with the last one, as a watch does.
        if let Some(list) = tick.pods.as_deref().and_then(|body| pod::pods(body).ok()) {
            pods = list;
        }
        let reports = tick.nodes.iter().map(|files| {
            let node = nodes.entry(files.node.clone()).or_insert_with(|| Node {
                sampler: Sampler::default(),
                scorer: Scorer::new(settings, engine()),
                cadvisor_at: None,
            });
            node.report(&tick, files, &pods, settings, scored_by)
        });
        each(Moment { at: tick.at, reports: reports.collect(), tick: &tick })
    })
}

struct Node {
    sampler: Sampler,
    scorer: Scorer,
    cadvisor_at: Option<Timestamp>,
}

impl Node {
    fn report(
        &mut self,
        tick: &Tick,
        files: &NodeFiles,
        pods: &[PodFacts],
        settings: Settings,
        scored_by: &str,
    ) -> NodeReport {
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
        let samples = self.sampler.tick(rules::seconds(tick.at), summary.as_ref(), cadvisor.as_ref(), &mine);
        NodeReport {
            version: VERSION,
            node: files.node.clone(),
            at: tick.at,
            interval_seconds: settings.interval_seconds,
            threshold: settings.threshold,
            scored_by: scored_by.to_owned(),
            pods: self.scorer.tick(tick.at, &samples),
            model: self.scorer.model().clone(),
            kubelet,
        }
    }
}

fn down(error: String) -> KubeletState {
    KubeletState { up: false, verified: true, error: Some(error) }
}
