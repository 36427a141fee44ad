//! Which part of the data trains, and which judges: never the same hours, or never the same application.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use anyhow::Result;
use guard_train::data::{APPLICATIONS, Series};
use guard_train::{Memory, Plan, Source, encode, train};

use crate::area::{Area, Labelled};
use crate::calibration::{self, Cell};
use crate::day::{Day, Fault, RECORDINGS, Test};
use crate::drift::{no_faults, slow_faults};
use crate::judge::{judge, line_for};
use crate::naming::{self, Named};
use crate::record::{Fold, Outcome, Scheme};
use crate::scores::{self, LINE, Said, Scored};
use crate::synthetic::disturb;

/// Every detector but the one that ships gets the line at which it cries this often a pod-day in the calm training time.
pub(crate) const BUDGET: f64 = 1.0;
/// So many losses are recorded.
pub(crate) const LOSSES: usize = 5;

/// Names of the score that ships, of the same at the line of the budget, of its network alone, and of networks of the
/// same shape that were trained without memory, or to look at windows of plain levels.
pub(crate) const GUARD: &str = "kubectl guard at 0.7";
const GUARD_IN_BUDGET: &str = "the same score, line fitted";
pub(crate) const NETWORK: &str = "its network alone";
pub(crate) const WITHOUT_MEMORY: &str = "the same without memory";
const WINDOWED: &str = "an LSTM over windows";

/// The recordings are read at each so many of their ticks, too.
const STEPS: [usize; 3] = [2, 3, 6];

/// Seeds of the synthetic faults: each puts one into every pod.
const SYNTHETIC: [u64; 2] = [11, 12];

/// The days, twice: as training sees them and as they are judged.
pub(crate) struct Data {
    series: Vec<Series>,
    days: Vec<Day>,
    /// Of each day, its calm time with synthetic faults.
    disturbed: Vec<Vec<Day>>,
    /// Of each day, the same with slow faults, and with what is none.
    drifting: Vec<Vec<Day>>,
    recordings: Vec<Day>,
    /// The recordings once more, at each of [`STEPS`].
    thinned: Vec<Vec<Day>>,
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
        let drifting = days.iter().map(drifting).collect();
        let recorded = |step: usize| -> Result<Vec<Day>> {
            RECORDINGS.iter().map(|recording| Day::recording(models, *recording, step)).collect()
        };
        let recordings = recorded(1)?;
        let thinned = STEPS.into_iter().map(recorded).collect::<Result<_>>()?;
        Ok(Data { series: series.collect::<Result<_>>()?, days, disturbed, drifting, recordings, thinned })
    }

    /// The days as they were, and the recordings.
    pub(crate) fn real(&self) -> impl Iterator<Item = &Day> {
        self.days.iter().chain(&self.recordings)
    }

    /// Everything that is judged.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Day> {
        self.real().chain(self.disturbed.iter().flatten()).chain(self.drifting.iter().flatten())
    }
}

fn drifting(day: &Day) -> Vec<Day> {
    SYNTHETIC.iter().flat_map(|&seed| [slow_faults(day, seed), no_faults(day, seed)]).collect()
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
    let memory = Split {
        tests: data.drifting[judged].iter().map(Test::whole).collect(),
        calm: real.calm.clone(),
        ..Split::new(format!("slow faults and jobs in {name}"), Scheme::Memory)
    };
    Trial { sources, splits: vec![real, synthetic, memory] }
}

/// Each recording, for the model that ships.
pub(crate) fn recordings(data: &Data) -> impl Iterator<Item = Split<'_>> {
    data.recordings.iter().map(|recording| Split {
        tests: vec![Test::whole(recording)],
        calm: data.days.iter().map(|day| (day, day.calm.clone())).collect(),
        ..Split::new(recording.name.to_owned(), Scheme::Cluster)
    })
}

/// The recordings at every interval that there is of them, for the product that ships.
pub(crate) fn intervals(data: &Data) -> impl Iterator<Item = Split<'_>> {
    [&data.recordings].into_iter().chain(&data.thinned).map(|days| Split {
        tests: days.iter().map(Test::whole).collect(),
        ..Split::new(format!("{} s", days.iter().map(|day| day.interval).fold(0.0, f64::max)), Scheme::Interval)
    })
}

/// What a training gives.
pub(crate) struct Trained {
    /// The model, as ONNX.
    pub(crate) onnx: Vec<u8>,
    /// The losses of its first epochs.
    pub(crate) losses: Vec<f64>,
}

/// The networks of a trial.
pub(crate) struct Networks {
    /// As it ships.
    pub(crate) streaming: Trained,
    windowed: Trained,
    forgetful: Trained,
}

/// What a model made of a test.
pub(crate) struct Measured {
    outcomes: Vec<Outcome>,
    calibration: [Vec<Cell>; 2],
    named: Vec<Named>,
}

impl Trial<'_> {
    /// Trains for at most `epochs`, by the plan that ships but for the memory.
    pub(crate) fn train(&self, memory: Memory, epochs: usize) -> Trained {
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

    /// Trains all networks, side by side.
    pub(crate) fn networks(&self, epochs: usize) -> Networks {
        std::thread::scope(|scope| {
            let [windowed, forgetful] =
                [Memory::Window, Memory::None].map(|memory| scope.spawn(move || self.train(memory, epochs)));
            let streaming = self.train(Memory::Streaming, epochs);
            let [windowed, forgetful] =
                [windowed, forgetful].map(|thread| thread.join().expect("a training that ends"));
            Networks { streaming, windowed, forgetful }
        })
    }
}

impl<'a> Split<'a> {
    fn new(name: String, scheme: Scheme) -> Split<'a> {
        Split { name, scheme, tests: Vec::new(), calm: Vec::new() }
    }

    /// The days that the split needs scores of.
    fn days(&self) -> impl Iterator<Item = &'a Day> {
        self.calm.iter().map(|(day, _)| *day).chain(self.tests.iter().map(|test| test.day))
    }

    /// What the baselines make of the test.
    pub(crate) fn baselines(&self, scored: &[(&str, Scored)]) -> Vec<Outcome> {
        scored.iter().map(|(name, scored)| self.in_budget(name, scored)).collect()
    }

    /// What this model makes of the test.
    ///
    /// # Errors
    /// If the model cannot be loaded or run.
    pub(crate) fn model(&self, onnx: &[u8]) -> Result<Measured> {
        let (mut named, mut words) = (Vec::new(), Vec::new());
        let guard = Scored::of(self.days(), |day| {
            let Said { scores, causes, words: own } = scores::by_scorer(day, onnx)?;
            words.extend(day.pods.iter().cloned().zip(own));
            let faults = self.tests.iter().filter(|test| std::ptr::eq(test.day, day)).flat_map(|test| &test.faults);
            let sought = faults.filter(|fault| self.scheme.seeks(&fault.kind));
            named.extend(sought.filter_map(|fault| naming::named(day, fault, &scores, &causes)));
            Ok(scores)
        })?;
        let network = Scored::of(self.days(), |day| scores::by_network(day, onnx))?;
        let real = matches!(self.scheme, Scheme::Time | Scheme::Application);
        let mut served = self.at_line(GUARD, LINE, &guard);
        for alert in served.false_alerts.iter_mut().filter(|_| real) {
            let own = words.iter().filter(|(pod, _)| *pod == alert.pod).flat_map(|(_, own): &(_, Vec<_>)| own);
            let told =
                own.filter(|(at, _)| (at - alert.at).abs() < 1.0).map(|(_, text): &(_, String)| text.clone()).next();
            alert.told = told.unwrap_or_default();
        }
        let outcomes = vec![served, self.in_budget(GUARD_IN_BUDGET, &guard), self.in_budget(NETWORK, &network)];
        let labelled = || self.labelled(&guard).filter(|_| real);
        let all: Vec<Labelled> = labelled().collect();
        let without: Vec<Labelled> = labelled().map(Labelled::without_doubtful).collect();
        let calibration = [all, without].map(|tests| calibration::cells(tests.iter()));
        Ok(Measured { outcomes, calibration, named })
    }

    /// What the product makes of the test, with its own model and at its own line.
    ///
    /// # Errors
    /// If the model cannot be loaded.
    pub(crate) fn served(&self, onnx: &[u8]) -> Result<Fold> {
        let guard = Scored::of(self.days(), |day| Ok(scores::by_scorer(day, onnx)?.scores))?;
        let outcomes = vec![self.at_line(GUARD, LINE, &guard)];
        let measured = Measured { outcomes, calibration: [Vec::new(), Vec::new()], named: Vec::new() };
        Ok(self.fold(Vec::new(), measured, &[]))
    }

    /// What all networks of a trial make of the test, side by side.
    ///
    /// # Errors
    /// If one of them cannot be loaded or run.
    pub(crate) fn networks(&self, networks: &Networks) -> Result<Measured> {
        let Networks { streaming, windowed, forgetful } = networks;
        std::thread::scope(|scope| {
            let windowed = scope.spawn(|| Scored::of(self.days(), |day| scores::by_windows(day, &windowed.onnx)));
            let forgetful = scope.spawn(|| Scored::of(self.days(), |day| scores::by_network(day, &forgetful.onnx)));
            let mut measured = self.model(&streaming.onnx)?;
            for (name, scored) in [(WITHOUT_MEMORY, forgetful), (WINDOWED, windowed)] {
                measured.outcomes.push(self.in_budget(name, &scored.join().expect("scoring that ends")?));
            }
            Ok(measured)
        })
    }

    /// Everything measured, as it is recorded.
    pub(crate) fn fold(&self, losses: Vec<f64>, measured: Measured, baselines: &[(&str, Scored)]) -> Fold {
        let Measured { mut outcomes, calibration, named } = measured;
        outcomes.extend(self.baselines(baselines));
        let [calibration, calibration_without] = calibration;
        let (name, scheme) = (self.name.clone(), self.scheme);
        Fold { name, scheme, losses, outcomes, calibration, calibration_without, named }
    }

    fn in_budget(&self, name: &str, scored: &Scored) -> Outcome {
        let calm: Vec<_> = self.calm.iter().map(|(day, spans)| (*day, scored.day(day), spans.clone())).collect();
        self.at_line(name, line_for(&calm, BUDGET), scored)
    }

    fn at_line(&self, name: &str, line: f64, scored: &Scored) -> Outcome {
        let mut all = Outcome {
            detector: name.to_owned(),
            line,
            faults: Vec::new(),
            false_alerts: Vec::new(),
            false_seconds: 0.0,
            calm_seconds: 0.0,
            area: Area::mean(self.labelled(scored).filter_map(|test| test.area())),
            area_without: self.area_without(scored),
        };
        for test in &self.tests {
            let one = judge(test, scored.day(test.day), name, line);
            all.faults.extend(one.faults);
            all.false_alerts.extend(one.false_alerts);
            all.false_seconds += one.false_seconds;
            all.calm_seconds += one.calm_seconds;
        }
        all
    }

    /// Without what looks just like a fault; none where nothing does.
    fn area_without(&self, scored: &Scored) -> Option<Area> {
        let doubtful = self.tests.iter().any(|test| !test.day.unlabelled.is_empty());
        let tests = self.labelled(scored).map(Labelled::without_doubtful);
        doubtful.then(|| Area::mean(tests.filter_map(|test| test.area()))).flatten()
    }

    fn labelled(&self, scored: &Scored) -> impl Iterator<Item = Labelled> {
        let sought = |fault: &Fault| self.scheme.seeks(&fault.kind);
        self.tests.iter().map(move |test| Labelled::of(test, scored.day(test.day), sought))
    }
}
