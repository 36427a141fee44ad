//! Which part of the data trains, and which judges: never the same hours, or never the same application.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use anyhow::Result;
use guard_train::data::{APPLICATIONS, Series};
use guard_train::{Plan, Source, encode, train};

use crate::day::Day;
use crate::detectors::{BASELINES, Make};
use crate::judge::{Test, judge, line_for};
use crate::record::{Fold, Outcome, Scheme};
use crate::scores::{self, LINE, Scores};
use crate::synthetic::disturb;

/// Every detector but the one that ships gets the line at which it cries this often a pod-day in the calm training time.
pub(crate) const BUDGET: f64 = 1.0;
/// So many losses are recorded.
pub(crate) const LOSSES: usize = 5;

/// Names of the score that ships, of the same at the line of the budget, of its network alone, and of a network of the
/// same shape that was trained without memory.
pub(crate) const GUARD: &str = "kubectl guard at 0.7";
const GUARD_IN_BUDGET: &str = "kubectl guard";
const NETWORK: &str = "its network alone";
const WITHOUT_MEMORY: &str = "the same without memory";

/// Seeds of the synthetic faults: each puts one into every pod.
const SYNTHETIC: [u64; 2] = [11, 12];

/// The days, twice: as training sees them and as they are judged.
pub(crate) struct Data {
    series: Vec<Series>,
    days: Vec<Day>,
    /// Of each day, its calm time with synthetic faults.
    disturbed: Vec<Vec<Day>>,
    recording: Day,
}

impl Data {
    /// Reads everything under `models/data`.
    ///
    /// # Errors
    /// If a file is missing or cannot be read.
    pub(crate) fn read(models: &Path) -> Result<Data> {
        let folder = models.join("data/nezha");
        let series = APPLICATIONS.iter().map(|application| Series::load(&folder, "normal", *application));
        let days =
            APPLICATIONS.iter().map(|application| Day::nezha(models, *application)).collect::<Result<Vec<_>>>()?;
        let disturbed = days.iter().map(|day| SYNTHETIC.map(|seed| disturb(day, seed)).into()).collect();
        Ok(Data { series: series.collect::<Result<_>>()?, days, disturbed, recording: Day::recording(models)? })
    }
}

/// A training, and what its model is judged on.
pub(crate) struct Trial<'a> {
    sources: Vec<Source<'a>>,
    pub(crate) splits: Vec<Split<'a>>,
}

/// What judges, and where the lines come from.
pub(crate) struct Split<'a> {
    pub(crate) name: String,
    pub(crate) scheme: Scheme,
    pub(crate) tests: Vec<Test<'a>>,
    /// Calm training time of each day, on which the lines are chosen.
    calm: Vec<(&'a Day, Vec<Range<f64>>)>,
}

/// What needs a model of its own.
pub(crate) fn trials(data: &Data) -> Vec<Trial<'_>> {
    let times =
        [("first third of each day", 0), ("last third of each day", 1)].map(|(name, half)| by_time(data, name, half));
    let applications = (0..data.days.len()).map(|judged| by_application(data, judged));
    times.into_iter().chain(applications).collect()
}

/// Trains on two thirds of the calm time of each day and is judged on the rest of it, and on half of the faults.
fn by_time<'a>(data: &'a Data, name: &str, half: usize) -> Trial<'a> {
    let mut split = Split::new(name.to_owned(), Scheme::Time);
    let mut sources = Vec::new();
    for (series, day) in data.series.iter().zip(&data.days) {
        let minutes = series.minutes.len();
        let third = minutes / 3;
        let (judged, trained) =
            if half == 0 { (0..third, third..minutes) } else { (minutes - third..minutes, 0..minutes - third) };
        let time = |of: &Range<usize>| series.minutes[of.start]..series.minutes[of.end - 1] + day.interval;
        let (first, second) = day.faults.split_at(day.faults.len() / 2);
        let faults = if half == 0 { first } else { second };
        split.tests.push(Test { day, faults: faults.to_vec(), calm: vec![time(&judged)] });
        split.calm.push((day, vec![time(&trained)]));
        sources.push(Source { series, parts: vec![(trained.start, trained.end)] });
    }
    Trial { sources, splits: vec![split] }
}

/// Trains on every other application and is judged on all of this one, with its own faults and with synthetic ones.
fn by_application(data: &Data, judged: usize) -> Trial<'_> {
    let name = data.days[judged].name;
    let mut real = Split::new(format!("application {name}"), Scheme::Application);
    let mut sources = Vec::new();
    for (i, (series, day)) in data.series.iter().zip(&data.days).enumerate() {
        if i == judged {
            real.tests.push(Test::whole(day));
        } else {
            real.calm.push((day, day.calm.clone()));
            sources.push(Source::whole(series));
        }
    }
    let synthetic = Split {
        tests: data.disturbed[judged].iter().map(Test::whole).collect(),
        calm: real.calm.clone(),
        ..Split::new(format!("synthetic faults in {name}"), Scheme::Synthetic)
    };
    Trial { sources, splits: vec![real, synthetic] }
}

/// The recording, for the model that ships.
pub(crate) fn recording(data: &Data) -> Split<'_> {
    Split {
        tests: vec![Test::whole(&data.recording)],
        calm: data.days.iter().map(|day| (day, day.calm.clone())).collect(),
        ..Split::new("recording of a test cluster".to_owned(), Scheme::Cluster)
    }
}

/// What a training gives.
pub(crate) struct Trained {
    /// The model, as ONNX.
    pub(crate) onnx: Vec<u8>,
    /// The losses of its first epochs.
    pub(crate) losses: Vec<f64>,
}

impl Trial<'_> {
    /// Trains for at most `epochs`, by the plan that ships, with or without memory.
    pub(crate) fn train(&self, memory: bool, epochs: usize) -> Trained {
        let mut losses = Vec::new();
        let plan = Plan { memory, ..Plan::SHIPPED };
        let net = train(&self.sources, plan, &mut |epoch, loss| {
            if losses.len() < LOSSES {
                losses.push(loss);
            }
            if epoch + 1 < epochs { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        Trained { onnx: encode(&net, "guard-lstm"), losses }
    }
}

impl<'a> Split<'a> {
    fn new(name: String, scheme: Scheme) -> Split<'a> {
        Split { name, scheme, tests: Vec::new(), calm: Vec::new() }
    }

    /// What the baselines make of the test.
    pub(crate) fn baselines(&self) -> Vec<Outcome> {
        // Without a model nothing can fail.
        let outcome = |make: Make| self.in_budget(make.0, |day| Ok(scores::by_detector(day, make))).ok();
        BASELINES.into_iter().filter_map(outcome).collect()
    }

    /// What this model makes of the test.
    ///
    /// # Errors
    /// If the model cannot be loaded or run.
    pub(crate) fn model(&self, onnx: &[u8]) -> Result<Vec<Outcome>> {
        Ok(vec![
            self.at_line(GUARD, LINE, |day| scores::by_scorer(day, onnx))?,
            self.in_budget(GUARD_IN_BUDGET, |day| scores::by_scorer(day, onnx))?,
            self.in_budget(NETWORK, |day| scores::by_network(day, onnx))?,
        ])
    }

    /// What a network without memory makes of the test.
    ///
    /// # Errors
    /// If the model cannot be loaded or run.
    pub(crate) fn ablation(&self, onnx: &[u8]) -> Result<Outcome> {
        self.in_budget(WITHOUT_MEMORY, |day| scores::by_network(day, onnx))
    }

    /// Everything measured, as it is recorded.
    pub(crate) fn fold(&self, losses: Vec<f64>, model: Vec<Outcome>) -> Fold {
        let outcomes = model.into_iter().chain(self.baselines()).collect();
        Fold { name: self.name.clone(), scheme: self.scheme, losses, outcomes }
    }

    fn in_budget(&self, name: &str, score: impl Fn(&Day) -> Result<Scores>) -> Result<Outcome> {
        let scored: Vec<Scores> = self.calm.iter().map(|(day, _)| score(day)).collect::<Result<_>>()?;
        let calm: Vec<_> =
            self.calm.iter().zip(&scored).map(|((day, spans), scores)| (*day, scores, spans.clone())).collect();
        self.at_line(name, line_for(&calm, BUDGET), score)
    }

    fn at_line(&self, name: &str, line: f64, score: impl Fn(&Day) -> Result<Scores>) -> Result<Outcome> {
        let mut all = Outcome {
            detector: name.to_owned(),
            line,
            faults: Vec::new(),
            false_alerts: Vec::new(),
            false_seconds: 0.0,
            calm_seconds: 0.0,
        };
        for test in &self.tests {
            let one = judge(test, &score(test.day)?, name, line);
            all.faults.extend(one.faults);
            all.false_alerts.extend(one.false_alerts);
            all.false_seconds += one.false_seconds;
            all.calm_seconds += one.calm_seconds;
        }
        Ok(all)
    }
}
