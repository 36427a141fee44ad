//! One tick of a node: samples in, a report of every pod out. The only place where the learnt part and the hard facts
//! meet.
//!
//! All fresh samples go through the net in one batch. What is remembered is keyed by the pod's UID and dropped when the
//! pod is gone; a workload's baseline outlives its pods for a day, so that a replaced pod need not be learnt anew.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use crate::cause::{Cause, Reason};
use crate::engine::{Engine, HIDDEN};
use crate::explain::{self, Forecast, SIGNAL_CAUSES};
use crate::features::{self, Features, INPUTS, SIGNALS};
use crate::report::{ModelInfo, PodReport, State};
use crate::rules::{self, Habit};
use crate::sample::{Phase, PodSample};
use crate::saturation::either;
use crate::series::{Baseline, Seen, Series};
use crate::workload::Workload;

/// Baselines of workloads without pods are kept for a day ...
const BASELINE_SECONDS: f64 = 86_400.0;
/// ... and no more of them than this.
const BASELINES: usize = 1000;
/// A pod younger than this, of a template that its baseline does not know, is part of a rollout.
const ROLLOUT_SECONDS: f64 = 600.0;
/// A learnt feature is named if it has at least this share of the surprise.
const NAMED_SHARE: f64 = 0.15;
/// A learnt probability under this is no reason for anything.
const NAMED_PROBABILITY: f64 = 0.1;

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
    engine: Option<Engine>,
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
    /// A scorer that has seen nothing. Without an engine the facts alone speak; `model` of the report then says so.
    pub fn new(settings: Settings, engine: Option<Engine>) -> Self {
        let no_model = || ModelInfo { error: Some("no model loaded".to_owned()), ..ModelInfo::default() };
        let model = engine.as_ref().map_or_else(no_model, |engine| engine.info().clone());
        Self { settings, engine, model, series: HashMap::new(), baselines: HashMap::new(), batch: Batch::default() }
    }

    /// Which model scores, and what is wrong with it.
    pub fn model(&self) -> &ModelInfo {
        &self.model
    }

    /// Takes all pods of the node at one tick and gives one report for each, in the same order. A pod that is not among
    /// them is forgotten.
    pub fn tick(&mut self, now: Timestamp, samples: &[PodSample]) -> Vec<PodReport> {
        let here: HashSet<&str> = samples.iter().map(|s| s.facts.uid.as_str()).collect();
        self.series.retain(|uid, _| here.contains(uid.as_str()));
        self.step(now, samples)
    }

    /// Takes some pods at one time, as a table of metrics has them, and gives one report for each, in the same order. Pods
    /// that are not among them are remembered until [`Self::forget_before`] drops them.
    pub fn step(&mut self, now: Timestamp, samples: &[PodSample]) -> Vec<PodReport> {
        let seconds = rules::seconds(now);
        self.meet(samples, seconds);
        self.infer(samples);
        let reports = samples.iter().map(|sample| self.report(now, sample)).collect();
        self.keep_baselines(samples, seconds);
        reports
    }

    /// Drops what is known of pods that were last measured before this time (seconds of Unix time).
    pub fn forget_before(&mut self, seconds: f64) {
        self.series.retain(|_, series| series.last_fresh.is_some_and(|at| at >= seconds));
    }

    fn meet(&mut self, samples: &[PodSample], now: f64) {
        for sample in samples {
            if !self.series.contains_key(&sample.facts.uid) {
                let baseline = key(sample).and_then(|key| self.baselines.get(&key));
                self.series.insert(sample.facts.uid.clone(), Series::new(sample, baseline));
            }
            if let Some(series) = self.series.get_mut(&sample.facts.uid) {
                series.observe(now, sample);
            }
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
        let Some(engine) = self.engine.as_mut().filter(|_| !batch.rows.is_empty()) else { return };
        let outputs = match engine.step(batch.rows.len(), &batch.x, &mut batch.h, &mut batch.c) {
            Ok(outputs) => outputs,
            Err(error) => {
                self.model.error = Some(error.to_string());
                self.series.values_mut().for_each(|series| series.probability = None);
                return;
            }
        };
        self.model.error = None;
        for (row, (i, features)) in batch.rows.iter().enumerate() {
            let sample = &samples[*i];
            let Some(series) = self.series.get_mut(&sample.facts.uid) else { continue };
            series.h.copy_from_slice(&batch.h[row * HIDDEN..][..HIDDEN]);
            series.c.copy_from_slice(&batch.c[row * HIDDEN..][..HIDDEN]);
            let mut next = Forecast::default();
            next.mean.copy_from_slice(&outputs.mean[row * SIGNALS..][..SIGNALS]);
            next.log_variance.copy_from_slice(&outputs.log_variance[row * SIGNALS..][..SIGNALS]);
            let last = series.forecast.replace(next);
            series.suspect(f64::from(outputs.probability[row]));
            series.seen = seen(sample, series, features, last.as_ref());
        }
    }

    fn report(&mut self, now: Timestamp, sample: &PodSample) -> PodReport {
        let facts = &sample.facts;
        let stale_after = self.settings.stale_after();
        let line = facts.opt_out.threshold.unwrap_or(self.settings.threshold);
        let seconds = rules::seconds(now);
        // `meet` has made an entry for every sample of this tick.
        let series = self.series.entry(facts.uid.clone()).or_insert_with(|| Series::new(sample, None));
        let silent = series.last_fresh.is_some_and(|at| seconds - at > stale_after);
        let learnt = series.learnt().filter(|_| !silent);
        let custom = series.custom();
        let mut reasons = rules::reasons(facts, &sample.measures, custom, seconds);
        let excuse = series.excuse(sample, load(learnt, &reasons), line);
        if let Some(habit) = excuse {
            reasons = rules::reasons(facts, &sample.measures, custom.excused_by(habit), seconds);
        }
        let learnt = learnt.map(|p| if excuse.is_some() { p * rules::HABIT_SHARE } else { p });
        let fact = reasons.first().map(|reason| reason.score);
        reasons.extend(learnt_reasons(series, learnt, excuse));
        let stated = |r: &Reason| r.cause.is_fact() && r.score >= line;
        reasons.sort_by(|a, b| stated(b).cmp(&stated(a)).then(b.score.total_cmp(&a.score)));
        let score = match (learnt, fact) {
            // Two excuses are no suspicion.
            (Some(p), Some(fact)) if excuse.is_some() => Some(p.max(fact)),
            (Some(p), fact) => Some(either(p, fact.unwrap_or(0.0))),
            (None, fact) => fact,
        };
        if silent && score.is_none() {
            series.alert = crate::alert::Alert::default();
        }
        series.alert.step(now, score, line, &reasons);
        series.remember(now, score);
        let state = match () {
            () if facts.opt_out.ignore => State::Muted,
            () if series.alert.since().is_some() => State::Anomalous,
            () if silent => State::Stale,
            () if series.learning_left > 0 && facts.phase != Phase::Failed => State::Learning,
            () => State::Ok,
        };
        let age = facts.created.map_or(f64::INFINITY, |at| seconds - rules::seconds(at));
        PodReport {
            namespace: facts.namespace.clone(),
            name: facts.name.clone(),
            uid: facts.uid.clone(),
            workload: facts.workload.clone(),
            score,
            state,
            severity: series.alert.severity(),
            since: series.alert.since(),
            reasons,
            learning_left: series.learning_left,
            deploy: series.rollout && age < ROLLOUT_SECONDS,
            containers_ready: facts.containers_ready,
            containers_total: facts.containers_total,
            restarts: facts.restarts,
            features: views(&series.seen),
            history: series.history.iter().copied().collect(),
        }
    }

    /// A calm pod that is past its learning speaks for its workload.
    fn keep_baselines(&mut self, samples: &[PodSample], now: f64) {
        for sample in samples.iter().filter(|sample| sample.fresh) {
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

fn key(sample: &PodSample) -> Option<(String, Workload)> {
    Some((sample.facts.namespace.clone(), sample.facts.workload.clone()?))
}

fn seen(sample: &PodSample, series: &Series, features: &Features, last: Option<&Forecast>) -> Seen {
    let values = features::signals(sample).values;
    Seen {
        values: values.map(|v| (!v.is_nan()).then_some(v)),
        // The pod's own baseline, not the forecast: what stays wrong for an hour is still not what is expected.
        expected: std::array::from_fn(|signal| series.normaliser.expected(signal, 0.0, 0.0)),
        share: explain::shares(&features.residual, &features.known, last),
    }
}

/// How much the pod's load alone speaks against it.
fn load(learnt: Option<f64>, facts: &[Reason]) -> f64 {
    let at_limit = |r: &&Reason| matches!(r.cause, Cause::CpuAtLimit | Cause::MemoryNearLimit);
    either(learnt.unwrap_or(0.0), facts.iter().find(at_limit).map_or(0.0, |r| r.score))
}

fn learnt_reasons(series: &Series, learnt: Option<f64>, excuse: Option<Habit>) -> Vec<Reason> {
    let Some(probability) = learnt.filter(|&p| p >= NAMED_PROBABILITY) else { return Vec::new() };
    let seen = &series.seen;
    let top = seen.share.iter().copied().fold(0.0, f64::max);
    let named = |signal: &usize| seen.share[*signal] >= NAMED_SHARE;
    let reason = |signal: usize| {
        let value = seen.values[signal]?;
        let mut text = explain::text(signal, value, seen.expected[signal]);
        if let Some(habit) = excuse {
            text += ", ";
            text += &habit.words();
        }
        Some(Reason { cause: SIGNAL_CAUSES[signal], score: probability * seen.share[signal] / top, text })
    };
    (0..SIGNALS).filter(named).filter_map(reason).collect()
}

fn views(seen: &Seen) -> Vec<crate::report::FeatureView> {
    (0..SIGNALS)
        .map(|signal| {
            let value = seen.values[signal].unwrap_or(f64::NAN);
            explain::view(signal, value, seen.expected[signal], seen.share[signal])
        })
        .collect()
}

#[cfg(test)]
mod tests;
