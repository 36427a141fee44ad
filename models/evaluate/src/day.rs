//! What is judged: samples of all pods over some hours, and when which fault was put into which pod.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use guard_model::recording::RecordingError;
use guard_model::replay;
use guard_model::sample::PodSample;
use guard_train::data;
use jiff::Timestamp;

/// Seconds after a fault in which an alert is neither right nor wrong: queues drain, averages fall.
const SETTLING_SECONDS: f64 = 300.0;
/// A recording's first minutes are pods that start.
const START_UP_SECONDS: f64 = 600.0;
/// Between two ticks of a recording.
pub(crate) const RECORDED_SECONDS: f64 = 10.0;
/// Folders of `data` with a recording each, and the file that holds it.
pub(crate) const RECORDINGS: [(&str, &str); 2] = [("recording", "shop.tar.zst"), ("soak", "soak.tar.zst")];

/// All pods of one application.
pub(crate) struct Day {
    pub(crate) name: &'static str,
    /// Seconds between samples.
    pub(crate) interval: f64,
    /// Names of the pods, in order.
    pub(crate) pods: Vec<String>,
    pub(crate) ticks: Vec<Tick>,
    pub(crate) faults: Vec<Fault>,
    /// Time known to be free of faults, as Unix seconds.
    pub(crate) calm: Vec<Range<f64>>,
    /// What in it looks just like an injected fault, though the source says nothing of it; calm all the same, unless asked.
    pub(crate) unlabelled: Vec<Fault>,
}

/// What all pods showed at one time.
#[derive(Clone)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) samples: Vec<PodSample>,
}

/// One injected fault.
#[derive(Clone)]
pub(crate) struct Fault {
    pub(crate) start: f64,
    pub(crate) end: f64,
    pub(crate) pod: String,
    pub(crate) kind: String,
}

impl Fault {
    /// Whether this time is in the fault's window, which ends one sample after the fault does.
    pub(crate) fn window(&self, interval: f64, at: f64) -> bool {
        at > self.start && at <= self.end + interval
    }

    fn covers(&self, pod: &str, at: f64) -> bool {
        self.pod == pod && at > self.start && at <= self.end + SETTLING_SECONDS
    }
}

impl Day {
    /// A day of `data/nezha`: the session with faults, then the time without.
    ///
    /// # Errors
    /// If a file is missing or cannot be read.
    pub(crate) fn nezha(models: &Path, application: (&'static str, &str)) -> Result<Day> {
        let folder = models.join("data/nezha");
        let disturbed = ticks(data::rows(&folder, "faults", application)?);
        let normal = ticks(data::rows(&folder, "normal", application)?);
        let span = |of: &[Tick]| -> Result<Range<f64>> {
            let (first, last) = of.first().zip(of.last()).context("a file without a row")?;
            Ok(first.at..last.at + 60.0)
        };
        let (session, calm) = (span(&disturbed)?, vec![span(&normal)?]);
        let mut faults = faults(&folder.join("labels.csv"))?;
        faults.retain(|fault| session.contains(&fault.start));
        let day = Day::new(application.0, 60.0, disturbed.into_iter().chain(normal).collect(), faults, calm);
        let mut unlabelled = self::faults(&folder.join("unlabelled.csv"))?;
        unlabelled.retain(|fault| day.pods.contains(&fault.pod));
        Ok(Day { unlabelled, ..day })
    }

    /// A recording of a real cluster, read at every `step`-th of its ticks.
    ///
    /// # Errors
    /// If a file is missing or cannot be read.
    pub(crate) fn recording(models: &Path, (name, file): (&'static str, &str), step: usize) -> Result<Day> {
        let folder = models.join("data").join(name);
        let path = folder.join(file);
        let mut ticks: Vec<Tick> = Vec::new();
        let recorded = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        replay::every::<RecordingError>(step, recorded, |sampled| {
            let samples = sampled.nodes.into_iter().flat_map(|node| node.samples).collect();
            ticks.push(Tick { at: sampled.at.as_second() as f64, samples });
            Ok(())
        })?;
        let faults = faults(&folder.join("labels.csv"))?;
        let (first, last) = ticks.first().zip(ticks.last()).context("a recording without a tick")?;
        let calm = between(first.at + START_UP_SECONDS..last.at, &faults);
        Ok(Day::new(name, RECORDED_SECONDS * step as f64, ticks, faults, calm))
    }

    fn new(name: &'static str, interval: f64, ticks: Vec<Tick>, faults: Vec<Fault>, calm: Vec<Range<f64>>) -> Day {
        let names = ticks.iter().flat_map(|tick| &tick.samples).map(|sample| sample.facts.name.clone());
        let pods = names.collect::<BTreeSet<_>>().into_iter().collect();
        Day { name, interval, pods, ticks, faults, calm, unlabelled: Vec::new() }
    }

    /// Minutes of these pods, in which nothing is known.
    #[cfg(test)]
    pub(crate) fn made(pods: &[&str]) -> Day {
        let pods = pods.iter().map(|&pod| pod.to_owned()).collect();
        Day { pods, ..Day::new("made", 60.0, Vec::new(), Vec::new(), Vec::new()) }
    }

    /// Whether a pod is under one of these faults at this time, or settles after it.
    pub(crate) fn disturbed(&self, pod: &str, at: f64, of: impl Fn(&Fault) -> bool) -> bool {
        self.faults.iter().any(|fault| fault.covers(pod, at) && of(fault))
    }

    /// Whether a pod shows what looks just like a fault at this time, or settles after it.
    pub(crate) fn doubtful(&self, pod: &str, at: f64) -> bool {
        self.unlabelled.iter().any(|fault| fault.covers(pod, at))
    }

    /// Where each pod stands in [`Day::pods`].
    pub(crate) fn index(&self) -> HashMap<&str, usize> {
        self.pods.iter().enumerate().map(|(i, pod)| (pod.as_str(), i)).collect()
    }
}

/// What of a day is judged.
pub(crate) struct Test<'a> {
    pub(crate) day: &'a Day,
    pub(crate) faults: Vec<Fault>,
    pub(crate) calm: Vec<Range<f64>>,
}

impl Test<'_> {
    /// All faults and all calm time of a day.
    pub(crate) fn whole(day: &Day) -> Test<'_> {
        Test { day, faults: day.faults.clone(), calm: day.calm.clone() }
    }

    /// Whether nothing was wrong at this time. A test without calm time is calm but for its faults.
    pub(crate) fn is_calm(&self, at: f64) -> bool {
        self.calm.is_empty() || self.calm.iter().any(|span| span.contains(&at))
    }
}

/// Rows in the order of their minutes.
fn ticks(rows: Vec<guard_model::table::Row>) -> Vec<Tick> {
    let mut minutes: BTreeMap<i64, Vec<PodSample>> = BTreeMap::new();
    for row in rows {
        let minute = (row.at.as_second() as f64 / 60.0).round() as i64;
        minutes.entry(minute).or_default().push(row.into_sample());
    }
    minutes.into_iter().map(|(minute, samples)| Tick { at: minute as f64 * 60.0, samples }).collect()
}

/// What lies outside the faults and the time in which they settle.
fn between(span: Range<f64>, faults: &[Fault]) -> Vec<Range<f64>> {
    let mut from = span.start;
    let mut calm = Vec::new();
    for fault in faults {
        if fault.start > from {
            calm.push(from..fault.start);
        }
        from = from.max(fault.end + SETTLING_SECONDS);
    }
    calm.extend((span.end > from).then_some(from..span.end));
    calm
}

/// All lines of a `labels.csv` in the order of their start; the last column is the kind.
fn faults(path: &Path) -> Result<Vec<Fault>> {
    let mut csv = csv::Reader::from_path(path).with_context(|| format!("opening {}", path.display()))?;
    let mut faults = Vec::new();
    for record in csv.records() {
        let record = record?;
        let cell = |i: usize| record.get(i).with_context(|| format!("a short line in {}", path.display()));
        let time = |i: usize| -> Result<f64> { Ok(cell(i)?.parse::<Timestamp>()?.as_second() as f64) };
        let kind = cell(record.len() - 1)?.to_owned();
        faults.push(Fault { start: time(0)?, end: time(1)?, pod: cell(3)?.to_owned(), kind });
    }
    faults.sort_by(|a, b| a.start.total_cmp(&b.start));
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calm_is_what_lies_between_faults_that_have_settled() {
        let fault = |start: f64, end: f64| Fault { start, end, pod: String::new(), kind: String::new() };
        let faults = [fault(100.0, 200.0), fault(250.0, 300.0), fault(900.0, 950.0)];
        assert_eq!(between(0.0..2000.0, &faults), [0.0..100.0, 600.0..900.0, 1250.0..2000.0]);
    }
}
