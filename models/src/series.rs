//! What is remembered of one pod between two ticks, and of a workload between two of its pods.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Hold};
use crate::cause::{Cause, NAMED_PROBABILITY};
use crate::confirm::{Doubt, confirmed};
use crate::disk::Disk;
use crate::engine::HIDDEN;
use crate::explain::{self, Forecast};
use crate::features::{self, CPU, LEARNING, MEMORY, Normaliser, SIGNALS};
use crate::habit::Habit;
use crate::hush::Hush;
use crate::level::{Level, START_SECONDS};
use crate::metric::Metric;
use crate::recurrence::{Recurrence, Suspect};
use crate::report::{HISTORY, HistoryPoint};
use crate::restarts::Restarts;
use crate::rules::Custom;
use crate::sample::{self, PodSample};
use crate::saturation::either;
use crate::trend::Trend;

/// Fresh samples until it speaks of a new pod of a known workload.
pub(crate) const LEARNING_INHERITED: u32 = 5;

/// CPU and memory at this share of their limits, or more, may be a pod's habit.
const HABIT_CPU_SHARE: f64 = 0.8;
const HABIT_MEMORY_SHARE: f64 = 0.9;

/// What a new pod of a workload starts from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Baseline {
    pub(crate) normaliser: Normaliser,
    pub(crate) cpu_level: Level,
    pub(crate) memory_level: Level,
    #[serde(default)]
    pub(crate) recurrence: Recurrence,
    #[serde(default)]
    disk: Disk,
    #[serde(default)]
    pub(crate) metrics: BTreeMap<String, Metric>,
    pub(crate) revision: Option<String>,
    /// Unix seconds of its last update.
    pub(crate) at: f64,
}

/// What the last fresh sample showed.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Raw values; `None` was not measured.
    pub(crate) values: [Option<f64>; SIGNALS],
    pub(crate) expected: [Option<(f64, f64)>; SIGNALS],
    pub(crate) share: [f64; SIGNALS],
}

/// One pod between two ticks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Series {
    pub(crate) normaliser: Normaliser,
    pub(crate) h: Vec<f32>,
    pub(crate) c: Vec<f32>,
    pub(crate) forecast: Option<Forecast>,
    pub(crate) probability: Option<f64>,
    /// That of the fresh sample before.
    #[serde(default)]
    probability_before: Option<f64>,
    /// When the first sample was measured (Unix seconds) that there is no probability of, nor of any since.
    #[serde(default)]
    missed_since: Option<f64>,
    pub(crate) seen: Seen,
    pub(crate) learning_left: u32,
    pub(crate) alert: Alert,
    pub(crate) cpu_level: Level,
    pub(crate) memory_level: Level,
    memory_trend: Trend,
    #[serde(default)]
    hush: Hush,
    #[serde(default)]
    pub(crate) disk: Disk,
    #[serde(default)]
    recurrence: Recurrence,
    /// Metrics of the user's own, by name.
    #[serde(default)]
    pub(crate) metrics: BTreeMap<String, Metric>,
    pub(crate) history: VecDeque<HistoryPoint>,
    pub(crate) last_fresh: Option<f64>,
    /// When it was last among the pods of a tick, measured or not (Unix seconds).
    #[serde(skip)]
    pub(crate) last_met: f64,
    /// Of the pod, in seconds.
    #[serde(skip)]
    pub(crate) age: f64,
    /// Its template differs from the one its workload's baseline was learnt from.
    pub(crate) rollout: bool,
    /// None before the pod was first seen.
    #[serde(default)]
    restarted: Option<Restarts>,
    /// The strongest fact at the tick before: its cause, and how far it alone would hold an alert.
    #[serde(skip)]
    fact: Option<(Cause, Hold)>,
}

impl Series {
    /// A pod seen for the first time, from its workload's baseline if there is one.
    pub(crate) fn new(sample: &PodSample, baseline: Option<&Baseline>) -> Self {
        let other_template =
            |b: &Baseline| matches!((&b.revision, &sample.facts.revision), (Some(old), Some(new)) if old != new);
        let heir = |(name, metric): (&String, &Metric)| (name.clone(), metric.inherited());
        Self {
            normaliser: baseline.map(|b| b.normaliser.inherited()).unwrap_or_default(),
            h: vec![0.0; HIDDEN],
            c: vec![0.0; HIDDEN],
            forecast: None,
            probability: None,
            probability_before: None,
            missed_since: None,
            seen: Seen::default(),
            learning_left: if baseline.is_some() { LEARNING_INHERITED } else { LEARNING },
            alert: Alert::default(),
            cpu_level: baseline.map(|b| b.cpu_level.inherited()).unwrap_or_default(),
            memory_level: baseline.map(|b| b.memory_level.inherited()).unwrap_or_default(),
            memory_trend: Trend::default(),
            hush: Hush::default(),
            disk: baseline.map(|b| b.disk.inherited()).unwrap_or_default(),
            recurrence: baseline.map(|b| b.recurrence.clone()).unwrap_or_default(),
            metrics: baseline.map(|b| b.metrics.iter().map(heir).collect()).unwrap_or_default(),
            history: VecDeque::new(),
            last_fresh: None,
            last_met: 0.0,
            age: 0.0,
            rollout: baseline.is_some_and(other_template),
            restarted: None,
            fact: None,
        }
    }

    /// Counts restarts and watches levels; before the rules are asked.
    pub(crate) fn observe(&mut self, now: f64, sample: &PodSample) {
        self.last_met = now;
        self.age = sample.facts.begun().map_or(f64::INFINITY, |at| now - sample::seconds(at));
        match &mut self.restarted {
            Some(restarted) => restarted.step(&sample.facts, now),
            // Those before the pod was first seen are known from its status alone.
            None => self.restarted = Some(Restarts::of_status(&sample.facts, now)),
        }
        if sample.fresh {
            self.last_fresh = Some(now);
            self.cpu_level.step(sample.at, sample.measures.cpu_limit_share, self.alert.since().is_some());
            // Whoever fills its memory and goes on for hours shows that it may; one at its CPU limit is late all the time.
            self.memory_level.step(sample.at, sample.measures.memory_limit_share, false);
            self.disk.step(sample.at, sample.measures.disk_bytes_per_second);
            self.memory_trend.step(sample.at, sample.measures.memory_bytes, sample.reset);
            for (name, value) in &sample.metrics {
                match self.metrics.get_mut(&**name) {
                    Some(metric) => metric.step(sample.at, *value),
                    None => self.metrics.entry(name.to_string()).or_default().step(sample.at, *value),
                }
            }
            let is_reported =
                |name: &str| sample.metrics.iter().any(|(reported, value)| **reported == *name && value.is_finite());
            let missing = self.metrics.iter_mut().filter(|(name, _)| !is_reported(name));
            missing.for_each(|(_, metric)| metric.miss(sample.at));
        }
    }

    /// What this pod's own past excuses or tells.
    pub(crate) fn custom(&self) -> Custom {
        Custom {
            cpu_at_limit: self.cpu_level.habit(HABIT_CPU_SHARE),
            // At its memory limit the next byte kills a pod, however it got there: only a long habit excuses that.
            memory_near_limit: self.memory_level.habit(HABIT_MEMORY_SHARE).filter(|habit| *habit == Habit::Always),
            memory_growth: self.memory_trend.growth(),
            recent_restarts: self.restarted.as_ref().map_or(0, Restarts::most),
        }
    }

    /// Why load that brings the score to `load` is no news, if that is none; asked once for each sample.
    pub(crate) fn excuse(&mut self, sample: &PodSample, load: f64) -> Option<Habit> {
        if sample.facts.is_batch() {
            return Some(Habit::Batch);
        }
        if sample.facts.begun().is_some_and(|begun| sample.at - sample::seconds(begun) < START_SECONDS) {
            return Some(Habit::WhileStarting);
        }
        let values = features::signals(sample).values.map(|v| (!v.is_nan()).then_some(v));
        let unlike = load >= NAMED_PROBABILITY;
        if !unlike {
            return None;
        }
        let suspects = self.suspects();
        let period = self.recurrence.excursion(sample.at, &values, &self.seen.expected, &suspects)?;
        Some(Habit::Every(period.round() as u32))
    }

    /// What is suspected beside the signals.
    fn suspects(&self) -> Vec<Suspect> {
        let is_suspected = |suspicion: Option<f64>| suspicion.is_some_and(|p| p >= NAMED_PROBABILITY);
        let disk = self.disk.rate.filter(|_| is_suspected(self.disk.suspicion()));
        let disk = disk.map(|rate| (Cause::Disk.name().to_owned(), rate, self.disk.expected));
        let metrics = self.metrics.iter().filter(|(_, metric)| is_suspected(metric.suspicion()));
        // A metric may well be called disk.
        let metrics =
            metrics.filter_map(|(name, m)| Some((format!("{} {name}", Cause::Metric.name()), m.value?, m.expected)));
        disk.into_iter().chain(metrics).collect()
    }

    /// Takes what the net says of a sample, and what it showed.
    pub(crate) fn suspect(&mut self, probability: f64, at: f64, seen: Seen) {
        let hushed = self.hush.step(at, &seen.values, &self.seen.expected);
        self.probability_before = self.probability.replace(probability.max(hushed));
        self.missed_since = None;
        self.seen = seen;
    }

    /// Takes what a sample measured at `at` (Unix seconds) showed, where nothing says what that is worth.
    pub(crate) fn miss(&mut self, seen: Seen, at: f64) {
        (self.probability, self.probability_before, self.forecast) = (None, None, None);
        self.missed_since.get_or_insert(at);
        self.seen = seen;
    }

    /// The last fresh sample has no probability.
    pub(crate) fn is_missed(&self) -> bool {
        self.missed_since.is_some()
    }

    /// For how many seconds, at `now`, no sample has had a probability.
    pub(crate) fn missed(&self, now: f64) -> f64 {
        self.missed_since.map_or(0.0, |since| now - since)
    }

    /// The learnt probability, once it may speak.
    pub(crate) fn learnt(&self) -> Option<f64> {
        let probability = self.probability.filter(|_| self.learning_left == 0)?;
        let before = self.probability_before.unwrap_or(0.0);
        let (cpu_share, memory_share) = (self.seen.share[CPU], self.seen.share[MEMORY]);
        Some(confirmed(probability, Doubt { before, cpu_share, memory_share, age: self.age }))
    }

    /// Whether the signal of this cause lies where the pod itself is expected to be; what is no signal has no such place.
    pub(crate) fn is_as_expected(&self, cause: Cause) -> bool {
        let signal = explain::CAUSES[..SIGNALS].iter().position(|of| *of == cause);
        let seen = signal.and_then(|signal| self.seen.values[signal].zip(self.seen.expected[signal]));
        seen.is_some_and(|(value, (low, high))| (low..=high).contains(&value))
    }

    /// The probability that disk traffic or one of the user's own metrics is wrong; `None` while none of them may speak.
    pub(crate) fn suspected_others(&self) -> Option<f64> {
        self.disk.suspicion().into_iter().chain(self.metrics.values().filter_map(Metric::suspicion)).reduce(either)
    }

    /// Takes the strongest fact at this tick, by its cause and how far it alone would hold an alert, and says whether that has
    /// changed: one that fades says nothing new at each tick.
    pub(crate) fn has_news(&mut self, fact: Option<(Cause, Hold)>) -> bool {
        std::mem::replace(&mut self.fact, fact) != fact
    }

    /// Keeps this tick for sparklines and trends.
    pub(crate) fn remember(&mut self, at: Timestamp, score: Option<f64>) {
        let value = |signal: usize| self.seen.values[signal].map(|v| v as f32);
        let point = HistoryPoint {
            at: at.as_second(),
            score: score.map(|s| s as f32),
            cpu: value(0),
            memory: value(1),
            receive: value(2),
            transmit: value(3),
        };
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(point);
    }

    /// Makes restored state safe to go on with: the net's state belongs to its model, and a file may hold anything.
    pub(crate) fn fit(&mut self, same_model: bool) {
        let whole = |state: &[f32]| state.len() == HIDDEN && state.iter().all(|v| v.is_finite());
        if !same_model || !whole(&self.h) || !whole(&self.c) {
            self.h = vec![0.0; HIDDEN];
            self.c = vec![0.0; HIDDEN];
            self.forecast = None;
            self.probability = None;
            self.probability_before = None;
            self.learning_left = self.learning_left.max(LEARNING_INHERITED);
        }
        self.recurrence.fit();
        self.history.truncate(HISTORY);
    }

    /// What a new pod of the same workload may start from.
    pub(crate) fn baseline(&self, sample: &PodSample, now: f64) -> Baseline {
        Baseline {
            normaliser: self.normaliser.clone(),
            cpu_level: self.cpu_level,
            memory_level: self.memory_level,
            recurrence: self.recurrence.clone(),
            disk: self.disk.clone(),
            metrics: self.metrics.clone(),
            revision: sample.facts.revision.clone(),
            at: now,
        }
    }
}
