//! One tick of a node: samples in, a report of every pod out. The only place where the learnt part and the hard facts
//! meet.
//!
//! All fresh samples go through the net in one batch. What is remembered is keyed by the pod's UID and dropped when the
//! pod is gone; a workload's baseline outlives its pods for a day, so that a replaced pod need not be learnt anew.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use jiff::Timestamp;

use crate::alert::Hold;
use crate::cause::{Cause, NAMED_PROBABILITY, Reason};
use crate::detector::Detector;
use crate::engine::{HIDDEN, Outputs};
use crate::explain::{self, Forecast};
use crate::features::{self, Features, INPUTS, SIGNALS};
use crate::habit::Habit;
use crate::metric::{self, Metric};
use crate::report::{ModelInfo, PodReport, State};
use crate::robust;
use crate::rules;
use crate::sample::{self, Phase, PodSample};
use crate::saturation::either;
use crate::series::{Baseline, Seen, Series};
use crate::workload::Workload;

mod verdict;

pub use verdict::Verdict;

/// Baselines of workloads without pods are kept for a day ...
const BASELINE_SECONDS: f64 = 86_400.0;
/// ... and no more of them than this.
const BASELINES: usize = 1000;
/// A learnt feature is named if it has at least this share of the surprise.
const NAMED_SHARE: f64 = 0.15;

/// What the operator of an exporter chooses.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Severity rises at this score, above 0 and up to 1.
    pub threshold: f64,
    /// Seconds between two ticks: what counts as stale depends on it.
    pub interval_seconds: f64,
}

impl Settings {
    /// Without a fresh sample for this long a score says nothing of the present.
    fn stale_after(&self) -> f64 {
        (4.0 * self.interval_seconds).max(60.0)
    }
}

/// Scores the pods of one node, tick after tick.
pub struct Scorer {
    pub(crate) settings: Settings,
    detector: Option<Detector>,
    pub(crate) model: ModelInfo,
    pub(crate) series: HashMap<String, Series>,
    pub(crate) baselines: HashMap<(String, Workload), Baseline>,
    batch: Batch,
}

/// The rows of one inference, kept between ticks so that their memory is too.
#[derive(Default)]
struct Batch {
    rows: Vec<(usize, Features)>,
    x: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
}

impl Scorer {
    /// A scorer that has seen nothing. Without a detector the facts alone speak; `model` of the report then says so.
    pub fn new(settings: Settings, detector: Option<Detector>) -> Self {
        let no_model = || ModelInfo { error: Some("no model loaded".to_owned()), ..ModelInfo::default() };
        let model = detector.as_ref().map_or_else(no_model, Detector::info);
        Self { settings, detector, model, series: HashMap::new(), baselines: HashMap::new(), batch: Batch::default() }
    }

    /// Goes on with another detector: what is normal for each pod stays known, what the one before thought of it does not.
    pub fn replace(&mut self, detector: Detector) {
        self.model = detector.info();
        self.detector = Some(detector);
        self.series.values_mut().for_each(|series| series.fit(false));
    }

    /// Which model scores, and what is wrong with it.
    pub fn model(&self) -> &ModelInfo {
        &self.model
    }

    /// Takes all pods of the node at one tick and gives one report for each, in the same order. A pod that is not among
    /// them is forgotten.
    pub fn tick(&mut self, now: Timestamp, samples: &[PodSample]) -> Vec<PodReport> {
        self.forget_others(samples);
        let mut reports = Vec::with_capacity(samples.len());
        let Ok(()) = self.judge(now, samples, |verdict| {
            reports.push(verdict.report());
            Ok::<(), Infallible>(())
        });
        reports
    }

    /// Takes some pods at one time, as a table of metrics has them, and gives the verdict on each, in the same order. Pods
    /// that are not among them are remembered until [`Self::forget_others`] or [`Self::forget_before`] drops them.
    ///
    /// # Errors
    /// That of `each`: it is not asked again.
    pub fn judge<E>(
        &mut self,
        now: Timestamp,
        samples: &[PodSample],
        mut each: impl FnMut(Verdict<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let seconds = sample::seconds(now);
        self.meet(samples, seconds);
        self.infer(samples);
        for sample in samples {
            let series = match self.series.get_mut(&sample.facts.uid) {
                Some(met) => met,
                // `meet` has made an entry for every sample of this tick.
                None => self.series.entry(sample.facts.uid.clone()).or_insert_with(|| Series::new(sample, None)),
            };
            each(verdict(self.settings, now, sample, series))?;
        }
        self.keep_baselines(samples, seconds);
        Ok(())
    }

    /// Drops what is known of pods that are not among these.
    pub fn forget_others(&mut self, samples: &[PodSample]) {
        let here: HashSet<&str> = samples.iter().map(|s| s.facts.uid.as_str()).collect();
        self.series.retain(|uid, _| here.contains(uid.as_str()));
    }

    /// Drops what is known of pods that were last met before this time (seconds of Unix time).
    pub fn forget_before(&mut self, seconds: f64) {
        self.series.retain(|_, series| series.last_met >= seconds);
    }

    fn meet(&mut self, samples: &[PodSample], now: f64) {
        for sample in samples {
            if let Some(series) = self.series.get_mut(&sample.facts.uid) {
                series.observe(now, sample);
                continue;
            }
            let baseline = key(sample).and_then(|key| self.baselines.get(&key));
            let mut series = Series::new(sample, baseline);
            series.observe(now, sample);
            self.series.insert(sample.facts.uid.clone(), series);
        }
    }

    /// Every fresh sample becomes a row; the rows go through the net together.
    fn infer(&mut self, samples: &[PodSample]) {
        let batch = &mut self.batch;
        batch.rows.clear();
        batch.x.clear();
        batch.h.clear();
        batch.c.clear();
        for (i, sample) in samples.iter().enumerate() {
            let Some(series) = self.series.get_mut(&sample.facts.uid).filter(|_| sample.fresh) else { continue };
            let features = series.normaliser.step(sample.at, &features::signals(sample));
            series.learning_left = series.learning_left.saturating_sub(1);
            batch.x.extend_from_slice(&features.input);
            batch.h.extend_from_slice(&series.h);
            batch.c.extend_from_slice(&series.c);
            batch.rows.push((i, features));
        }
        debug_assert_eq!(batch.x.len(), batch.rows.len() * INPUTS);
        match self.detector.as_mut().filter(|_| !batch.rows.is_empty()) {
            None => miss(batch, &mut self.series, samples),
            Some(Detector::Robust) => self.compare(samples),
            Some(Detector::Network(engine)) => {
                match engine.step(batch.rows.len(), &batch.x, &mut batch.h, &mut batch.c) {
                    Ok(outputs) => {
                        let unusable = unusable(outputs, batch, samples);
                        let is_useless = outputs.unusable.len() == batch.rows.len();
                        (self.model.error, self.model.missed) =
                            if is_useless { (unusable, None) } else { (None, unusable) };
                        take(batch, &mut self.series, samples, outputs);
                    }
                    Err(error) => {
                        (self.model.error, self.model.missed) = (Some(error.to_string()), None);
                        miss(batch, &mut self.series, samples);
                    }
                }
            }
        }
    }

    /// What the rows say without a net: the signal that is furthest from its location speaks.
    fn compare(&mut self, samples: &[PodSample]) {
        for (i, features) in &self.batch.rows {
            let Some(series) = self.series.get_mut(&samples[*i].facts.uid) else { continue };
            let furthest = features.residual.iter().map(|scales| f64::from(scales.abs())).fold(0.0, f64::max);
            let sample = &samples[*i];
            series.suspect(robust::probability(furthest), sample.at, seen(sample, series, features, None));
        }
    }

    /// A calm pod that is past its learning speaks for its workload, but not by how it ends.
    fn keep_baselines(&mut self, samples: &[PodSample], now: f64) {
        for sample in samples.iter().filter(|sample| sample.fresh && !sample.facts.deleting) {
            let Some(key) = key(sample) else { continue };
            let Some(series) = self.series.get(&sample.facts.uid) else { continue };
            if series.learning_left == 0 && series.alert.since().is_none() {
                self.baselines.insert(key, series.baseline(sample, now));
            }
        }
        self.baselines.retain(|_, baseline| now - baseline.at < BASELINE_SECONDS);
        while self.baselines.len() > BASELINES {
            let oldest = self.baselines.iter().min_by(|a, b| a.1.at.total_cmp(&b.1.at)).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.baselines.remove(&key));
        }
    }
}

/// What is to be said of a pod, and remembered of this tick.
fn verdict<'a>(settings: Settings, now: Timestamp, sample: &'a PodSample, series: &'a mut Series) -> Verdict<'a> {
    let facts = &sample.facts;
    let stale_after = settings.stale_after();
    let line = facts.opt_out.threshold.unwrap_or(settings.threshold);
    let seconds = sample::seconds(now);
    let silent = series.last_fresh.is_some_and(|at| seconds - at > stale_after);
    // A pod that drains serves nobody any more: it is to fall silent, and nothing speaks against it.
    let unjudged = silent || facts.deleting;
    let measured = either_known(series.learnt(), series.suspected_others()).filter(|_| !unjudged);
    let custom = series.custom();
    let mut reasons = rules::reasons(facts, &sample.measures, custom, seconds);
    let excuse = series.excuse(sample, load(measured, &reasons));
    if let Some(habit) = excuse {
        reasons = rules::reasons(facts, &sample.measures, custom.excused_by(habit), seconds);
    }
    let believed = |p: f64| if excuse.is_some() { p * rules::HABIT_SHARE } else { p };
    let fact = reasons.first().map(|reason| reason.score);
    let held = reasons.first().map(|reason| (reason.cause, Hold::of(reason.score, line)));
    if !unjudged {
        reasons.extend(learnt_reasons(series, series.learnt().map(believed), excuse));
        reasons.extend(disk_reason(series, believed, excuse));
        reasons.extend(metric_reasons(series, believed, excuse));
    }
    rank(&mut reasons, line, |reason| series.is_as_expected(reason.cause));
    let score = match (measured.map(believed), fact) {
        // Two excuses are no suspicion.
        (Some(p), Some(fact)) if excuse.is_some() => Some(p.max(fact)),
        (Some(p), fact) => Some(either(p, fact.unwrap_or(0.0))),
        (None, fact) => fact,
    };
    let stepped = score.or(at_rest(series, unjudged));
    if stepped.is_none() && (unjudged || series.missed(seconds) > stale_after) {
        series.alert = crate::alert::Alert::default();
    }
    // A kubelet reads every 10 to 15 s, and ticks may be closer: what was measured once is no second sign of calm.
    let is_again = !series.has_news(held) && measured.is_some() && !sample.fresh;
    if !is_again {
        series.alert.step(now, stepped, line, &reasons);
    }
    series.remember(now, score);
    let state = match () {
        () if facts.opt_out.ignore || facts.muted.is_some() => State::Muted,
        () if series.alert.since().is_some() => State::Anomalous,
        // Nobody will measure a pod that has failed.
        () if facts.phase == Phase::Failed => State::Ok,
        () if silent => State::Stale,
        () if series.learning_left > 0 => State::Learning,
        () => State::Ok,
    };
    Verdict { sample, series, score, state, reasons }
}

/// Puts what is stated at the line or over it first, then what is unlike itself, and then the strongest. A fact that comes to less
/// than half of the line, such as a kill of long ago, is not put before what was learnt.
fn rank(reasons: &mut [Reason], line: f64, is_as_expected: impl Fn(&Reason) -> bool) {
    let rank = |r: &Reason| {
        let is_fact = r.cause.is_fact();
        let speaks = if is_fact { r.score >= line / 2.0 } else { !is_as_expected(r) };
        (is_fact && r.score >= line, speaks)
    };
    reasons.sort_by(|a, b| rank(b).cmp(&rank(a)).then(b.score.total_cmp(&a.score)));
}

/// Hands each row's outputs and new state to its pod.
fn take(batch: &Batch, all: &mut HashMap<String, Series>, samples: &[PodSample], outputs: &Outputs) {
    for (row, (i, features)) in batch.rows.iter().enumerate() {
        let sample = &samples[*i];
        let Some(series) = all.get_mut(&sample.facts.uid) else { continue };
        series.h.copy_from_slice(&batch.h[row * HIDDEN..][..HIDDEN]);
        series.c.copy_from_slice(&batch.c[row * HIDDEN..][..HIDDEN]);
        let mut next = Forecast::default();
        next.mean.copy_from_slice(&outputs.mean[row * SIGNALS..][..SIGNALS]);
        next.log_variance.copy_from_slice(&outputs.log_variance[row * SIGNALS..][..SIGNALS]);
        if outputs.unusable.binary_search(&row).is_ok() {
            series.miss(seen(sample, series, features, None), sample.at);
            continue;
        }
        let last = series.forecast.replace(next);
        let seen = seen(sample, series, features, last.as_ref());
        series.suspect(f64::from(outputs.probability[row]), sample.at, seen);
    }
}

/// The samples of these rows were seen, and there is nothing that says what they are worth.
fn miss(batch: &Batch, all: &mut HashMap<String, Series>, samples: &[PodSample]) {
    for (i, features) in &batch.rows {
        let sample = &samples[*i];
        let Some(series) = all.get_mut(&sample.facts.uid) else { continue };
        series.miss(seen(sample, series, features, None), sample.at);
    }
}

/// Which pods the model gives no usable number for, if there are any.
fn unusable(outputs: &Outputs, batch: &Batch, samples: &[PodSample]) -> Option<String> {
    let facts = &samples[batch.rows[*outputs.unusable.first()?].0].facts;
    let (found, of) = (outputs.unusable.len(), batch.rows.len());
    Some(format!("it gave no usable number for {found} of {of} pods, such as {}/{}", facts.namespace, facts.name))
}

fn key(sample: &PodSample) -> Option<(String, Workload)> {
    Some((sample.facts.namespace.clone(), sample.facts.workload.clone()?))
}

fn seen(sample: &PodSample, series: &Series, features: &Features, last: Option<&Forecast>) -> Seen {
    let values = features::signals(sample).values;
    Seen {
        values: values.map(|v| (!v.is_nan()).then_some(v)),
        // The pod's own baseline, not the forecast: what stays wrong for an hour is still not what is expected.
        expected: std::array::from_fn(|signal| series.normaliser.expected(signal)),
        share: explain::shares(&features.residual, &features.known, last),
    }
}

/// The score that stands for a fact that is over where nothing is measured yet, or ever without a model: the alert it raised
/// would never end.
fn at_rest(series: &Series, unjudged: bool) -> Option<f64> {
    series.alert.began().filter(|began| began.cause.is_fact() && !unjudged).map(|_| 0.0)
}

/// How much the pod's load alone speaks against it.
fn load(learnt: Option<f64>, facts: &[Reason]) -> f64 {
    let at_limit = |r: &&Reason| matches!(r.cause, Cause::CpuAtLimit | Cause::MemoryNearLimit);
    either(learnt.unwrap_or(0.0), facts.iter().find(at_limit).map_or(0.0, |r| r.score))
}

/// [`either`] of what is known.
fn either_known(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.zip(b).map(|(a, b)| either(a, b)).or(a).or(b)
}

fn learnt_reasons(series: &Series, learnt: Option<f64>, excuse: Option<Habit>) -> Vec<Reason> {
    let Some(probability) = learnt.filter(|&p| p >= NAMED_PROBABILITY) else { return Vec::new() };
    let seen = &series.seen;
    let top = seen.share.iter().copied().fold(0.0, f64::max);
    let named = |signal: &usize| seen.share[*signal] >= NAMED_SHARE;
    let reason = |signal: usize| {
        let text = explain::text(signal, seen.values[signal]?, seen.expected[signal]);
        let score = probability * seen.share[signal] / top;
        Some(Reason { cause: explain::CAUSES[signal], score, text: excused(text, excuse) })
    };
    (0..SIGNALS).filter(named).filter_map(reason).collect()
}

fn disk_reason(series: &Series, believed: impl Fn(f64) -> f64, excuse: Option<Habit>) -> Option<Reason> {
    let score = believed(series.disk.suspicion()?);
    let text = excused(series.disk.text(), excuse);
    (score >= NAMED_PROBABILITY).then_some(Reason { cause: Cause::Disk, score, text })
}

fn metric_reasons(series: &Series, believed: impl Fn(f64) -> f64, excuse: Option<Habit>) -> Vec<Reason> {
    let reason = |(name, metric): (&String, &Metric)| {
        let score = believed(metric.suspicion()?);
        let text = excused(metric::text(name, metric), excuse);
        (score >= NAMED_PROBABILITY).then_some(Reason { cause: Cause::Metric, score, text })
    };
    series.metrics.iter().filter_map(reason).collect()
}

fn excused(text: String, excuse: Option<Habit>) -> String {
    match excuse {
        Some(habit) => text + ", " + &habit.words(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
