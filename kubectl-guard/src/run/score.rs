//! Scores the table as it grows, says what begins and ends to misbehave, and writes what stood out.
//!
//! What was learnt outlives this part, which begins anew at each reload, pause and failure: of a table that was rotated meanwhile
//! the part before could not be read again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use guard_model::detector::Detector;
use guard_model::report::{KubeletState, ModelInfo, NodeReport, PodReport, State, VERSION};
use guard_model::scorer::Settings;
use jiff::{SignedDuration, Timestamp};

use super::{Part, Shared};
use crate::analyze::input::Tail;
use crate::analyze::insights::Insights;
use crate::analyze::{Counts, Latest, Sink, Table, latest_credible};
use crate::config::{self, Config};
use crate::error::Error;
use crate::files::unreadable;
use crate::model;
use crate::sanitise;

/// A pod without a row for so many intervals has gone.
const GONE_INTERVALS: u32 = 5;

/// What it is learnt from, and how.
#[derive(Clone, Debug, PartialEq)]
struct Basis {
    table: PathBuf,
    model: config::Model,
    threshold: f64,
    interval: Duration,
}

impl Basis {
    fn of(config: &Config) -> Self {
        Self {
            table: config.dataset_generator.output_file.clone(),
            model: config.model.clone(),
            threshold: config.agents.alert_threshold,
            interval: config.dataset_generator.interval,
        }
    }
}

/// What was learnt from the table so far.
pub struct Learnt {
    basis: Basis,
    /// It is what `tail` has given; not so behind what could not be read.
    whole: bool,
    tail: Option<Tail>,
    model: ModelInfo,
    settings: Settings,
    table: Table,
    insights: Insights,
    latest: Latest,
    anomalous: BTreeSet<(String, String)>,
    /// What had been read when that was last said, and how much of it was new then.
    said: (Counts, Counts),
}

impl Learnt {
    fn new(config: &Config, detector: Detector) -> Self {
        let interval_seconds = config.dataset_generator.interval.as_secs_f64();
        let settings = Settings { threshold: config.agents.alert_threshold, interval_seconds };
        let model = detector.info();
        let table = Table::new(settings, Some(detector));
        let (insights, latest, anomalous) = (Insights::default(), Latest::new(), BTreeSet::new());
        let said = (Counts::default(), Counts::default());
        let basis = Basis::of(config);
        Self { basis, whole: true, tail: None, model, settings, table, insights, latest, anomalous, said }
    }
}

/// Everything that scoring carries.
struct Scoring<'a> {
    config: &'a Config,
    shared: &'a Shared<'a>,
    learnt: &'a mut Learnt,
}

/// Scores until it is let go.
///
/// # Errors
/// If the table or the model cannot be used, or the insights cannot be written.
pub async fn score(config: &Config, shared: &Shared<'_>) -> Result<(), Error> {
    let mut kept = shared.learnt.lock().await;
    if kept.as_ref().is_some_and(|learnt| !learnt.whole || learnt.basis != Basis::of(config)) {
        *kept = None;
    }
    let learnt = match &mut *kept {
        Some(learnt) => learnt,
        none => {
            let detector = config.model.detector.detector(|| model::load(config.model.path.as_deref()))?;
            none.insert(Learnt::new(config, detector))
        }
    };
    if learnt.tail.is_none() {
        learnt.tail = Some(opened(&learnt.basis.table, config.agents.watch_interval, shared).await?);
    }
    // What the part before has read, and had no time or no place to tell.
    let mut new = learnt.table.counts().rows > 0;
    let mut scoring = Scoring { config, shared, learnt };
    loop {
        while scoring.read_more(Timestamp::now())? {
            new = true;
            // A table of days is read in pieces: others have their turn between them.
            tokio::task::yield_now().await;
        }
        if std::mem::take(&mut new) {
            scoring.tell(Timestamp::now()).await?;
        }
        tokio::time::sleep(config.agents.watch_interval).await;
    }
}

/// The table, once there is one: the part before this one may have to begin it.
async fn opened(path: &Path, pause: Duration, shared: &Shared<'_>) -> Result<Tail, Error> {
    let mut said = false;
    loop {
        match Tail::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let waiting = sanitise::line(&format!("waiting for {}", path.display()));
                if !said {
                    shared.log.info(Part::Score, &waiting);
                    shared.state.did(Part::Score, &waiting);
                }
                said = true;
                tokio::time::sleep(pause.min(Duration::from_secs(2))).await;
            }
            opened => return opened.map_err(|source| unreadable(path, source)),
        }
    }
}

impl Scoring<'_> {
    /// Reads a piece of the table; false if there is nothing new.
    fn read_more(&mut self, now: Timestamp) -> Result<bool, Error> {
        let Some(tail) = &mut self.learnt.tail else { return Ok(false) };
        self.learnt.whole = false;
        let input = tail.more().map_err(|source| unreadable(&self.learnt.basis.table, source))?;
        if let Some(input) = &input {
            self.read(input, now)?;
        }
        self.learnt.whole = true;
        Ok(input.is_some())
    }

    fn read(&mut self, input: &[u8], now: Timestamp) -> Result<(), Error> {
        self.learnt.table.leave_out_after(latest_credible(self.learnt.settings, now));
        let mut sink: Sink<'_, Box<dyn Write>> = Sink {
            lines: None,
            insights: &mut self.learnt.insights,
            latest: Some(&mut self.learnt.latest),
            namespace: None,
            tracker: None,
        };
        let read = self.learnt.table.read(input, &mut sink);
        self.learnt.insights.forget_past();
        read.map_err(|error| Error::BadFile {
            path: self.config.dataset_generator.output_file.clone(),
            problem: sanitise::line(&error.to_string()),
            hint: "correct the line, or move the table away: it is begun anew".to_owned(),
        })
    }

    /// Says what has changed, hands on the reports, and writes what stood out: nobody else waits for the disk.
    async fn tell(&mut self, now: Timestamp) -> Result<(), Error> {
        self.forget_gone(now);
        self.say_unscored();
        self.say_changes();
        let counts = self.learnt.table.counts();
        let without = match counts.unscored() {
            0 => String::new(),
            rows => format!(", {rows} without a score"),
        };
        let done = format!(
            "{} rows scored{without}, {} of {} pods over the line",
            counts.rows - counts.unscored(),
            self.learnt.anomalous.len(),
            self.learnt.latest.len()
        );
        self.shared.log.debug(Part::Score, &done);
        self.shared.state.did(Part::Score, &done);
        self.shared.state.set_anomalous(self.learnt.anomalous.len());
        self.shared.reports.send_replace(Arc::new(self.reports(now)));
        if self.config.run.only == Some(config::Part::Detect) {
            return Ok(());
        }
        self.write().await
    }

    fn forget_gone(&mut self, now: Timestamp) {
        // What a clock that was set back made future is no more: the pod has rows again, or has gone.
        let latest = latest_credible(self.learnt.settings, now);
        self.learnt.latest.retain(|_, seen| seen.at <= latest);
        let Some(newest) = self.newest(now) else { return };
        let longest = SignedDuration::try_from(self.config.dataset_generator.interval * GONE_INTERVALS)
            .unwrap_or(SignedDuration::MAX);
        self.learnt.latest.retain(|_, seen| newest.duration_since(seen.at) <= longest);
    }

    /// Warns of rows without a score: at the first of them, not at each reading that has some.
    fn say_unscored(&mut self) {
        let (before, new_before) = self.learnt.said;
        let counts = self.learnt.table.counts();
        let new = Counts {
            rows: counts.rows - before.rows,
            skipped: counts.skipped - before.skipped,
            ahead: counts.ahead - before.ahead,
        };
        let first = |new: u64, before: u64| if before == 0 { new } else { 0 };
        let (skipped, ahead) = (first(new.skipped, new_before.skipped), first(new.ahead, new_before.ahead));
        Counts { skipped, ahead, ..new }.warnings().for_each(|warning| self.shared.log.warn(Part::Score, &warning));
        self.learnt.said = (counts, new);
    }

    fn say_changes(&mut self) {
        let over: BTreeSet<_> = self
            .learnt
            .latest
            .iter()
            .filter(|(_, seen)| seen.report.state == State::Anomalous)
            .map(|(key, _)| key.clone())
            .collect();
        for key in over.difference(&self.learnt.anomalous) {
            if let Some(seen) = self.learnt.latest.get(key) {
                self.shared.log.warn(Part::Score, &alert(&seen.report));
            }
        }
        for key in self.learnt.anomalous.difference(&over) {
            let what = if self.learnt.latest.contains_key(key) { "is no longer over its line" } else { "has gone" };
            self.shared.log.info(Part::Score, &format!("{}/{} {what}", key.0, key.1));
        }
        self.learnt.anomalous = over;
    }

    /// Writes what stood out, as a whole or not at all.
    async fn write(&self) -> Result<(), Error> {
        let source = self.config.dataset_generator.output_file.display().to_string();
        let document = self.learnt.insights.document(&source, &self.learnt.model, self.learnt.settings.threshold);
        let state = self.shared.state.now();
        let document = document.explained(state.explanations, state.patterns);
        self.shared.insights.put(&self.config.agents.output_file, document).await
    }

    /// When the newest row was measured; `None` if there is none. One that is a little ahead of the clock makes no other pod old.
    fn newest(&self, now: Timestamp) -> Option<Timestamp> {
        self.learnt.latest.values().map(|seen| seen.at.min(now)).max()
    }

    /// What the table says of all pods, as the exporters of their nodes would; those of no known node are under no name.
    fn reports(&self, now: Timestamp) -> Vec<NodeReport> {
        // A table is as old as its newest row, whichever node that is of.
        let Some(at) = self.newest(now) else { return Vec::new() };
        let mut nodes: BTreeMap<&str, Vec<PodReport>> = BTreeMap::new();
        for seen in self.learnt.latest.values() {
            nodes.entry(seen.node.as_deref().unwrap_or_default()).or_default().push(seen.report.clone());
        }
        let report = |(node, pods): (&str, Vec<PodReport>)| NodeReport {
            version: VERSION,
            node: node.to_owned(),
            at,
            interval_seconds: self.learnt.settings.interval_seconds,
            threshold: self.learnt.settings.threshold,
            scored_by: concat!("kubectl-guard ", env!("CARGO_PKG_VERSION")).to_owned(),
            model: self.learnt.model.clone(),
            kubelet: KubeletState::default(),
            certificate_ends: None,
            pods,
        };
        nodes.into_iter().map(report).collect()
    }
}

/// One line for a pod that begins to misbehave.
fn alert(pod: &PodReport) -> String {
    let score = pod.score.map_or_else(String::new, |score| format!(" {score:.2}"));
    let reason = pod.reasons.first().map_or_else(String::new, |reason| format!(": {}", reason.text));
    format!("{}/{} is over its line{score}{reason}", pod.namespace, pod.name)
}

#[cfg(test)]
mod tests;
