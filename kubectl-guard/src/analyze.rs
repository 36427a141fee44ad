//! A file of metrics, scored as an exporter would have scored it: a table of `pod_metrics.csv`'s form, or a recording.
//!
//! file ([`input`]) -> samples -> the scorer that ships -> a line of scores for each row ([`lines`]) and what stood out
//! ([`insights`]). One tick is in memory at a time, however long the file is.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use guard_model::detector::Detector;
use guard_model::incident::Tracker;
use guard_model::recording::RecordingError;
use guard_model::report::PodReport;
use guard_model::rows::Rows;
use guard_model::sample::PodSample;
use guard_model::scorer::{Scorer, Settings};
use guard_model::{replay, table};
use jiff::Timestamp;

pub mod input;
pub mod insights;
pub mod lines;

use insights::Insights;
use lines::Lines;

/// A pod of a table that has had no row for this long, by the table's own clock, is forgotten.
const FORGET_SECONDS: f64 = 86_400.0;
/// Looked for that often, in ticks.
const FORGET_EVERY: u64 = 512;
/// Rows of one time that are scored together at most; real ticks are far smaller.
const TICK_ROWS: usize = 4096;

/// Why a file cannot be scored to its end.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzeError {
    /// The table is not what it should be.
    #[error(transparent)]
    Table(#[from] table::TableError),
    /// The recording is not what it should be.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The scores cannot be written.
    #[error("writing the scores failed: {0}")]
    Write(#[from] std::io::Error),
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows, or samples of a recording.
    pub rows: u64,
    /// Rows that were not newer than the one before of their pod, and so have no score.
    pub skipped: u64,
}

/// Where results go.
pub struct Sink<'a, W: Write> {
    /// A line for each row, if somebody wants them.
    pub lines: Option<Lines<W>>,
    /// What stood out.
    pub insights: &'a mut Insights,
    /// The latest report of each pod, if somebody wants them.
    pub latest: Option<&'a mut Latest>,
    /// When pods went over their lines and under them, if somebody wants to know.
    pub tracker: Option<&'a mut Tracker>,
}

/// The latest report of each pod, by namespace and name, and its time.
pub type Latest = BTreeMap<(String, String), (Timestamp, PodReport)>;

impl<W: Write> Sink<'_, W> {
    fn take(&mut self, at: Timestamp, place: &Place, report: Option<&PodReport>) -> Result<(), AnalyzeError> {
        let Place { namespace, pod, node } = place;
        if let Some(lines) = &mut self.lines {
            lines.write(at, namespace, pod, report)?;
        }
        if let Some(report) = report {
            if let Some(tracker) = &mut self.tracker {
                tracker.take(at, node.as_deref(), report);
            }
            self.insights.take(at, report);
            if let Some(latest) = &mut self.latest {
                latest.insert((namespace.clone(), pod.clone()), (at, report.clone()));
            }
        }
        Ok(())
    }
}

/// Where a row or a report belongs.
struct Place {
    namespace: String,
    pod: String,
    node: Option<String>,
}

/// A table on its way through the scorer, in one piece or as it grows.
pub struct Table {
    scorer: Scorer,
    rows: Rows,
    tick: Tick,
    ticks: u64,
    counts: Counts,
}

/// Rows of one time.
#[derive(Default)]
struct Tick {
    at: Option<Timestamp>,
    /// The pod of each row, and whether it has a sample.
    pods: Vec<(Place, bool)>,
    samples: Vec<PodSample>,
}

impl Table {
    /// A table of which nothing was read yet.
    pub fn new(settings: Settings, detector: Option<Detector>) -> Self {
        let scorer = Scorer::new(settings, detector);
        Self { scorer, rows: Rows::default(), tick: Tick::default(), ticks: 0, counts: Counts::default() }
    }

    /// Scores `input`, titles first, to its end.
    ///
    /// # Errors
    /// If a row is not what it should be (named by line and column), or the scores cannot be written. What stands before a
    /// bad row is scored all the same.
    pub fn read<W: Write>(&mut self, input: impl Read, sink: &mut Sink<'_, W>) -> Result<(), AnalyzeError> {
        let read = self.read_rows(input, sink);
        self.score(sink)?;
        read
    }

    /// How much was read.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn read_rows<W: Write>(&mut self, input: impl Read, sink: &mut Sink<'_, W>) -> Result<(), AnalyzeError> {
        for row in table::Reader::new(input)? {
            let row = row?;
            if self.tick.at.is_some_and(|at| at != row.at) || self.tick.pods.len() >= TICK_ROWS {
                self.score(sink)?;
            }
            let sample = self.rows.sample(&row);
            self.counts.rows += 1;
            self.counts.skipped += u64::from(sample.is_none());
            self.tick.at = Some(row.at);
            let place = Place { namespace: row.namespace, pod: row.pod, node: row.node };
            self.tick.pods.push((place, sample.is_some()));
            self.tick.samples.extend(sample);
        }
        Ok(())
    }

    fn score<W: Write>(&mut self, sink: &mut Sink<'_, W>) -> Result<(), AnalyzeError> {
        let Tick { at: Some(at), pods, samples } = std::mem::take(&mut self.tick) else { return Ok(()) };
        let reports = self.scorer.step(at, &samples);
        let mut reports = reports.iter();
        for (place, sampled) in &pods {
            sink.take(at, place, if *sampled { reports.next() } else { None })?;
        }
        self.ticks += 1;
        if self.ticks.is_multiple_of(FORGET_EVERY) {
            let before = at.as_second() as f64 - FORGET_SECONDS;
            self.scorer.forget_before(before);
            self.rows.forget_before(before);
        }
        Ok(())
    }
}

/// Scores a recording to its end.
///
/// # Errors
/// If the recording is not what it should be, or the scores cannot be written.
pub fn recording<W: Write>(
    input: impl Read,
    settings: Settings,
    detector: impl FnMut() -> Option<Detector>,
    sink: &mut Sink<'_, W>,
) -> Result<Counts, AnalyzeError> {
    let mut counts = Counts::default();
    let scored_by = concat!("kubectl-guard ", env!("CARGO_PKG_VERSION"));
    replay::replay(input, settings, scored_by, detector, |moment| {
        sink.insights.take_events(moment.tick.events.as_deref());
        for (node, report) in moment.reports.iter().flat_map(|node| node.pods.iter().map(move |pod| (&node.node, pod)))
        {
            counts.rows += 1;
            let (namespace, pod) = (report.namespace.clone(), report.name.clone());
            sink.take(moment.at, &Place { namespace, pod, node: Some(node.clone()) }, Some(report))?;
        }
        Ok::<(), AnalyzeError>(())
    })?;
    Ok(counts)
}

#[cfg(test)]
mod tests;
