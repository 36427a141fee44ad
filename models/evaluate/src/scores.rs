//! A day's samples through a detector, or through the scorer that ships: what each pod scored at each time.

use std::collections::VecDeque;

use anyhow::{Context, Result, ensure};
use guard_model::cause::Cause;
use guard_model::engine::{Engine, HIDDEN, Outputs};
use guard_model::features::{INPUTS, Normaliser, signals};
use guard_model::scorer::{Scorer, Settings};
use guard_train::WINDOW;
use jiff::Timestamp;

use crate::day::Day;
use crate::detectors::{BASELINES, Detector, Make};

/// The line of the score that ships.
pub(crate) const LINE: f64 = 0.7;
/// The network alone keeps silent for as many samples as the scorer lets it.
const LEARNING: u32 = 20;

/// A score that changes by less is that of the tick before.
const HELD: f64 = 1e-3;

/// Time (Unix seconds) and score of each sample of a pod.
pub(crate) type PodScores = Vec<(f64, f64)>;
/// Those of all pods, in the order of [`Day::pods`].
pub(crate) type Scores = Vec<PodScores>;

/// The causes that a pod's reasons name, sample by sample, the strongest first.
pub(crate) type PodCauses = Vec<Vec<Cause>>;

/// What a detector scored on some days.
pub(crate) struct Scored<'a>(Vec<(&'a Day, Scores)>);

impl<'a> Scored<'a> {
    /// Scores each of the days once.
    ///
    /// # Errors
    /// What `score` returns.
    pub(crate) fn of(
        days: impl Iterator<Item = &'a Day>,
        mut score: impl FnMut(&'a Day) -> Result<Scores>,
    ) -> Result<Scored<'a>> {
        let mut scored: Vec<(&Day, Scores)> = Vec::new();
        for day in days {
            if !scored.iter().any(|(other, _)| std::ptr::eq(*other, day)) {
                scored.push((day, score(day)?));
            }
        }
        Ok(Scored(scored))
    }

    /// Of a day that is among them; of any other, nothing.
    pub(crate) fn day(&self, day: &Day) -> &[PodScores] {
        self.0.iter().find(|(other, _)| std::ptr::eq(*other, day)).map_or(&[], |(_, scores)| scores)
    }
}

/// All baselines with their names, side by side.
pub(crate) fn baselines<'a>(days: &[&'a Day]) -> Vec<(&'static str, Scored<'a>)> {
    std::thread::scope(|scope| {
        let score = |make: Make| move || Scored(days.iter().map(|day| (*day, by_detector(day, make))).collect());
        let threads = BASELINES.map(|make| (make.0, scope.spawn(score(make))));
        threads.into_iter().map(|(name, thread)| (name, thread.join().expect("a detector that ends"))).collect()
    })
}

/// One detector a pod.
fn by_detector(day: &Day, (_, make): Make) -> Scores {
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

/// What the product says of a day.
pub(crate) struct Said {
    pub(crate) scores: Scores,
    /// The causes that it names, sample by sample.
    pub(crate) causes: Vec<PodCauses>,
    /// Its first reason in words, for each pod and time at which the score is over the line.
    pub(crate) words: Vec<Vec<(f64, String)>>,
}

/// The score that ships: network, saturation and facts, as `guard-exporter` mixes them, once for each reading and for each change
/// between two; and the reasons that it gives.
///
/// # Errors
/// If the model cannot be loaded.
pub(crate) fn by_scorer(day: &Day, onnx: &[u8]) -> Result<Said> {
    let index = day.index();
    let settings = Settings { threshold: LINE, interval_seconds: day.interval };
    let mut node = Scorer::new(settings, Some(Engine::load(onnx)?.into()));
    let pods = day.pods.len();
    let mut said =
        Said { scores: vec![Vec::new(); pods], causes: vec![Vec::new(); pods], words: vec![Vec::new(); pods] };
    for tick in &day.ticks {
        let at = Timestamp::from_second(tick.at as i64).context("a time out of range")?;
        for (report, sample) in node.tick(at, &tick.samples).into_iter().zip(&tick.samples) {
            let pod = index[report.name.as_str()];
            let score = report.score.unwrap_or(0.0);
            // As all other detectors: what is measured once counts once, unless another fact speaks.
            let held = |&(_, before): &(f64, f64)| !sample.fresh && (before - score).abs() < HELD;
            if said.scores[pod].last().is_some_and(held) {
                continue;
            }
            said.scores[pod].push((tick.at, score));
            said.causes[pod].push(report.reasons.iter().map(|reason| reason.cause).collect());
            if let Some(first) = report.reasons.first().filter(|_| score >= LINE) {
                said.words[pod].push((tick.at, first.text.clone()));
            }
        }
    }
    Ok(said)
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
            let probability = whole(engine.step(1, &features.input, h, c)?)?[0];
            let speaks = normaliser.seen() >= LEARNING;
            scores[pod].push((tick.at, if speaks { f64::from(probability) } else { 0.0 }));
        }
    }
    Ok(scores)
}

/// The probabilities of a step, each of which must be one.
fn whole(outputs: &Outputs) -> Result<&[f32]> {
    ensure!(outputs.unusable.is_empty(), "the network gives no usable number");
    Ok(&outputs.probability)
}

/// The probability of a network that sees the last [`WINDOW`] samples of each pod, and nothing before; until there are so many
/// it keeps silent.
///
/// # Errors
/// If the model cannot be loaded or run.
pub(crate) fn by_windows(day: &Day, onnx: &[u8]) -> Result<Scores> {
    let index = day.index();
    let mut engine = Engine::load(onnx)?;
    let mut pods = vec![(Normaliser::default(), VecDeque::<[f32; INPUTS]>::new()); day.pods.len()];
    let mut scores = vec![Vec::new(); day.pods.len()];
    for tick in &day.ticks {
        let mut full = Vec::new();
        for sample in tick.samples.iter().filter(|sample| sample.fresh) {
            let pod = index[sample.facts.name.as_str()];
            let (normaliser, window) = &mut pods[pod];
            window.push_back(normaliser.step(sample.at, &signals(sample)).input);
            if window.len() > WINDOW {
                window.pop_front();
            }
            if window.len() == WINDOW { full.push(pod) } else { scores[pod].push((tick.at, 0.0)) }
        }
        let mut state = [vec![0.0; full.len() * HIDDEN], vec![0.0; full.len() * HIDDEN]];
        let mut probability = Vec::new();
        for step in 0..if full.is_empty() { 0 } else { WINDOW } {
            let x: Vec<f32> = full.iter().flat_map(|&pod| pods[pod].1[step]).collect();
            let [h, c] = &mut state;
            probability = whole(engine.step(full.len(), &x, h, c)?)?.to_vec();
        }
        for (pod, probability) in full.into_iter().zip(probability) {
            scores[pod].push((tick.at, f64::from(probability)));
        }
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::day::Tick;
    use guard_model::engine::SHIPPED;
    use guard_model::sample::{Measures, PodFacts, PodSample};

    #[test]
    fn a_network_over_windows_speaks_from_its_first_full_window_on() {
        let facts = PodFacts { name: "pod".to_owned(), ..PodFacts::default() };
        let measures = Measures { cpu_cores: Some(0.1), memory_bytes: Some(2e7), ..Measures::default() };
        let sample =
            |at| PodSample { at, fresh: true, reset: false, facts: facts.clone(), measures, metrics: Vec::new() };
        let tick = |i| Tick { at: 60.0 * f64::from(i), samples: vec![sample(60.0 * f64::from(i))] };
        let ticks = (0..40).map(tick).collect();
        let day = Day { ticks, ..Day::made(&["pod"]) };
        let scores = by_windows(&day, SHIPPED).unwrap().remove(0);
        assert_eq!(scores.len(), 40);
        assert_eq!(scores.iter().position(|(_, score)| *score > 0.0), Some(WINDOW - 1));
    }
}
