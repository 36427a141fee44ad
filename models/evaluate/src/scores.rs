//! A day's samples through a detector, or through the scorer that ships: what each pod scored at each time.

use anyhow::{Context, Result};
use guard_model::engine::{Engine, HIDDEN};
use guard_model::features::{Normaliser, signals};
use guard_model::scorer::{Scorer, Settings};
use jiff::Timestamp;

use crate::day::Day;
use crate::detectors::{Detector, Make};

/// The line of the score that ships.
pub(crate) const LINE: f64 = 0.7;
/// The network alone keeps silent for as many samples as the scorer lets it.
const LEARNING: u32 = 20;

/// Time (Unix seconds) and score of each sample of each pod, in the order of [`Day::pods`].
pub(crate) type Scores = Vec<Vec<(f64, f64)>>;

/// One detector a pod.
pub(crate) fn by_detector(day: &Day, (_, make): Make) -> Scores {
    let index = day.index();
    let mut detectors: Vec<Box<dyn Detector>> = day.pods.iter().map(|_| make()).collect();
    let mut scores = vec![Vec::new(); day.pods.len()];
    for tick in &day.ticks {
        for sample in tick.samples.iter().filter(|sample| sample.fresh) {
            let pod = index[sample.facts.name.as_str()];
            scores[pod].push((tick.at, detectors[pod].score(sample.at, &signals(sample))));
        }
    }
    scores
}

/// The score that ships: network, saturation and facts, as `guard-exporter` mixes them.
///
/// # Errors
/// If the model cannot be loaded.
pub(crate) fn by_scorer(day: &Day, onnx: &[u8]) -> Result<Scores> {
    let index = day.index();
    let settings = Settings { threshold: LINE, interval_seconds: day.interval };
    let mut node = Scorer::new(settings, Some(Engine::load(onnx)?.into()));
    let mut scores = vec![Vec::new(); day.pods.len()];
    for tick in &day.ticks {
        let at = Timestamp::from_second(tick.at as i64).context("a time out of range")?;
        for report in node.tick(at, &tick.samples) {
            scores[index[report.name.as_str()]].push((tick.at, report.score.unwrap_or(0.0)));
        }
    }
    Ok(scores)
}

/// The network's probability alone, without any rule.
///
/// # Errors
/// If the model cannot be loaded or run.
pub(crate) fn by_network(day: &Day, onnx: &[u8]) -> Result<Scores> {
    let index = day.index();
    let mut engine = Engine::load(onnx)?;
    let mut pods = vec![(Normaliser::default(), [0.0; HIDDEN], [0.0; HIDDEN]); day.pods.len()];
    let mut scores = vec![Vec::new(); day.pods.len()];
    for tick in &day.ticks {
        for sample in tick.samples.iter().filter(|sample| sample.fresh) {
            let pod = index[sample.facts.name.as_str()];
            let (normaliser, h, c) = &mut pods[pod];
            let features = normaliser.step(sample.at, &signals(sample));
            let probability = engine.step(1, &features.input, h, c)?.probability[0];
            let speaks = normaliser.seen() >= LEARNING;
            scores[pod].push((tick.at, if speaks { f64::from(probability) } else { 0.0 }));
        }
    }
    Ok(scores)
}
