//! A file of metrics, scored as an exporter would have scored it: a table of `pod_metrics.csv`'s form, or a recording.
//!
//! file ([`input`]) -> samples -> the scorer that ships -> a line of scores for each row ([`lines`]) and what stood out
//! ([`insights`]). One tick is in memory at a time, however long the file is.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::sync::mpsc::sync_channel;
use std::{panic, thread};

use guard_model::detector::Detector;
use guard_model::incident::Tracker;
use guard_model::recording::RecordingError;
use guard_model::replay::{self, NodeSamples};
use guard_model::report::PodReport;
use guard_model::sample::PodFacts;
use guard_model::scorer::{Scorer, Settings, Verdict};
use guard_model::table;
use jiff::{SignedDuration, Timestamp};

mod document;
pub mod input;
pub mod insights;
pub mod lines;
mod pod;
mod ticks;

pub use document::Document;
use insights::Insights;
use lines::Lines;
use ticks::{Forgetting, Tick, Ticks};

/// A row of a table that grows may be this much ahead of the clock, or so many intervals where that is more: clocks of two machines differ.
const AHEAD: SignedDuration = SignedDuration::from_mins(1);
const AHEAD_INTERVALS: f64 = 3.0;
/// Handfuls of ticks that are read before those before them are scored.
const HANDFULS: usize = 2;

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
    Write(#[from] io::Error),
    /// There is no second thread to read on.
    #[error("starting a thread failed: {0}")]
    Thread(#[source] io::Error),
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows, or samples of a recording.
    pub rows: u64,
    /// Rows that were not newer than the one before of their pod, and so have no score.
    pub skipped: u64,
    /// Rows whose time is still to come, in a table that grows: they have no score either.
    pub ahead: u64,
}

impl Counts {
    /// Rows that have no score.
    pub fn unscored(self) -> u64 {
        self.skipped + self.ahead
    }

    /// What is to be said of rows that have no score, a line each.
    pub fn warnings(self) -> impl Iterator<Item = String> {
        let said = |count: u64, text: &str| (count > 0).then(|| format!("{count} of {} rows {text}", self.rows));
        let skipped = "were not newer than the row before of their pod and have no score: is the table sorted by time?";
        let ahead = "are of a time that is still to come and have no score: are the clocks right, here and where they were written?";
        said(self.skipped, skipped).into_iter().chain(said(self.ahead, ahead))
    }
}

/// The latest time that a row may have, at `now`, in a table that grows: what is further ahead is wrong, or the clock was.
pub fn latest_credible(settings: Settings, now: Timestamp) -> Timestamp {
    let intervals = SignedDuration::try_from_secs_f64(AHEAD_INTERVALS * settings.interval_seconds).unwrap_or(AHEAD);
    now.checked_add(intervals.max(AHEAD)).unwrap_or(Timestamp::MAX)
}

/// Where results go.
pub struct Sink<'a, W: Write> {
    /// A line for each row, if somebody wants them.
    pub lines: Option<Lines<W>>,
    /// What stood out.
    pub insights: &'a mut Insights,
    /// The latest report of each pod, if somebody wants them.
    pub latest: Option<&'a mut Latest>,
    /// The only namespace that is wanted, if it is only one.
    pub namespace: Option<&'a str>,
    /// When pods went over their lines and under them, if somebody wants to know.
    pub tracker: Option<&'a mut Tracker>,
}

/// What was last made of each pod, by namespace and name.
pub type Latest = BTreeMap<(String, String), Seen>;

/// What was last made of a pod.
pub struct Seen {
    /// Of which sample.
    pub at: Timestamp,
    /// Where it ran, if that is known.
    pub node: Option<String>,
    /// The report.
    pub report: PodReport,
}

impl<W: Write> Sink<'_, W> {
    fn take(&mut self, at: Timestamp, node: Option<&str>, verdict: &Verdict<'_>) -> Result<(), AnalyzeError> {
        let facts = verdict.facts();
        if !self.wants(facts) {
            return Ok(());
        }
        if let Some(lines) = &mut self.lines {
            lines.write(at, facts, Some(verdict))?;
        }
        self.insights.take(at, verdict);
        if let Some(tracker) = &mut self.tracker {
            tracker.take(at, node, &verdict.report());
        }
        if let Some(latest) = &mut self.latest {
            let seen = Seen { at, node: node.map(str::to_owned), report: verdict.report() };
            latest.insert((facts.namespace.clone(), facts.name.clone()), seen);
        }
        Ok(())
    }

    /// At the end of a tick: the model may have had no number for some of the pods that are wanted.
    fn miss(&mut self, at: Timestamp, scorer: &Scorer) {
        if let Some(trouble) = scorer.model().trouble() {
            self.insights.miss(at, trouble);
        }
    }

    fn wants(&self, pod: &PodFacts) -> bool {
        self.namespace.is_none_or(|namespace| pod.namespace == namespace)
    }

    /// A row without a score.
    fn skip(&mut self, at: Timestamp, pod: &PodFacts) -> Result<(), AnalyzeError> {
        if !self.wants(pod) {
            return Ok(());
        }
        self.lines.as_mut().map_or(Ok(()), |lines| lines.write(at, pod, None)).map_err(AnalyzeError::from)
    }
}

/// A table on its way through the scorer, in one piece or as it grows.
pub struct Table {
    ticks: Ticks,
    scoring: Scoring,
}

/// What is behind the ticks.
struct Scoring {
    scorer: Scorer,
    forgetting: Forgetting,
    counts: Counts,
}

impl Table {
    /// A table of which nothing was read yet.
    pub fn new(settings: Settings, detector: Option<Detector>) -> Self {
        let (forgetting, counts) = (Forgetting::default(), Counts::default());
        Self {
            ticks: Ticks::default(),
            scoring: Scoring { scorer: Scorer::new(settings, detector), forgetting, counts },
        }
    }

    /// Scores `input`, titles first, to its end.
    ///
    /// # Errors
    /// If a row is not what it should be (named by line and column), or the scores cannot be written. What stands before a
    /// bad row is scored all the same.
    pub fn read<W: Write>(&mut self, input: impl Read + Send, sink: &mut Sink<'_, W>) -> Result<(), AnalyzeError> {
        let Self { ticks, scoring } = self;
        thread::scope(|scope| {
            let (sender, handed) = sync_channel(HANDFULS);
            let read = move || ticks.read(input, |ticks| sender.send(ticks).is_ok());
            let reading = thread::Builder::new().spawn_scoped(scope, read).map_err(AnalyzeError::Thread)?;
            // Whoever leaves here early takes no more, and so ends the other thread.
            for tick in handed.into_iter().flatten() {
                scoring.score(&tick, sink)?;
            }
            Ok(reading.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))?)
        })
    }

    /// Leaves rows of a later time than this out from now on: each would make all later ones of its pod old.
    pub fn leave_out_after(&mut self, latest: Timestamp) {
        self.ticks.leave_out_after(latest);
    }

    /// How much was read.
    pub fn counts(&self) -> Counts {
        self.scoring.counts
    }
}

impl Scoring {
    fn score<W: Write>(&mut self, tick: &Tick, sink: &mut Sink<'_, W>) -> Result<(), AnalyzeError> {
        self.counts.rows += tick.rows() as u64;
        self.counts.skipped += (tick.skipped.len() - tick.ahead) as u64;
        self.counts.ahead += tick.ahead as u64;
        let mut skipped = tick.skipped.iter().peekable();
        // No sample, no time: that of rows that are left out is not to be believed.
        if tick.samples.is_empty() {
            return skipped.try_for_each(|(_, pod)| sink.skip(tick.at, pod));
        }
        let mut scored = 0;
        self.scorer.judge(tick.at, &tick.samples, |verdict| {
            while let Some((_, pod)) = skipped.next_if(|(before, _)| *before <= scored) {
                sink.skip(tick.at, pod)?;
            }
            scored += 1;
            sink.take(tick.at, verdict.facts().node.as_deref(), &verdict)
        })?;
        sink.miss(tick.at, &self.scorer);
        skipped.try_for_each(|(_, pod)| sink.skip(tick.at, pod))?;
        if let Some(before) = self.forgetting.is_due(tick) {
            self.scorer.forget_before(before);
        }
        Ok(())
    }
}

/// Scores a recording to its end; `detector` makes one for each of its nodes.
///
/// # Errors
/// If the recording is not what it should be, or the scores cannot be written.
pub fn recording<W: Write>(
    input: impl Read,
    settings: Settings,
    mut detector: impl FnMut() -> Option<Detector>,
    sink: &mut Sink<'_, W>,
) -> Result<Counts, AnalyzeError> {
    let mut counts = Counts::default();
    let mut scorers: HashMap<String, Scorer> = HashMap::new();
    replay::samples(input, |moment| {
        sink.insights.take_events(moment.tick.events.as_deref());
        for NodeSamples { node, samples, .. } in &moment.nodes {
            let scorer = scorers.entry(node.clone()).or_insert_with(|| Scorer::new(settings, detector()));
            scorer.forget_others(samples);
            scorer.judge(moment.at, samples, |verdict| sink.take(moment.at, Some(node), &verdict))?;
            sink.miss(moment.at, scorer);
            counts.rows += samples.len() as u64;
        }
        Ok::<(), AnalyzeError>(())
    })?;
    Ok(counts)
}

#[cfg(test)]
mod tests;
