//! Watches what runs, for the screen: reports, proposals, records and the log become a [`Snapshot`]. Reads only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use guard_model::incident::Tracker;
use guard_model::report::NodeReport;
use jiff::{SignedDuration, Timestamp};

use super::snapshot::{Log, Past, Scored, Snapshot, clean, past};
use crate::audit::{Journal, entries};
use crate::config::Config;
use crate::console::Kept;
use crate::incidents::{Fix, fixes};
use crate::run::Shared;
use crate::run::history;
use crate::run::state::Being;
use crate::sanitise;

/// An incident that ended so long ago is no longer shown: `incidents --input-file` has them all.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(12);

/// How long a file was, and when it was changed: whether it has to be read again.
type Stamp = Option<(u64, SystemTime)>;

/// What is watched, and what was seen of it.
pub struct Watch<'a> {
    shared: &'a Shared<'a>,
    kept: Kept,
    folder: Option<String>,
    place: String,
    journal: Option<Journal>,
    history: PathBuf,
    tracker: Tracker,
    scored: Arc<Scored>,
    read: (Stamp, Stamp),
    past: Arc<Vec<Past>>,
    fixes: BTreeMap<String, (usize, Fix)>,
    log: Arc<Log>,
}

impl<'a> Watch<'a> {
    /// Watches this run, whose console keeps its lines in `kept`.
    pub fn new(shared: &'a Shared<'a>, config: &Config, kept: Kept, journal: Option<Journal>) -> Self {
        let table = || format!("no cluster: {}", config.dataset_generator.output_file.display());
        let place = shared.connection.map_or_else(table, |connection| connection.context.clone());
        let folder = config.log.folder.as_ref().map(|folder| sanitise::line(&folder.display().to_string()));
        Self {
            shared,
            kept,
            folder,
            place: sanitise::line(&place),
            journal,
            history: config.remediation.history_file.clone(),
            tracker: Tracker::default(),
            scored: Arc::default(),
            read: (None, None),
            past: Arc::default(),
            fixes: BTreeMap::new(),
            log: Arc::default(),
        }
    }

    /// Takes the latest reports.
    pub fn score(&mut self, reports: &[NodeReport]) {
        self.records();
        self.scored = Arc::new(Scored::of(reports, &mut self.tracker, &self.fixes));
        if let Some(at) = reports.iter().map(|report| report.at).max() {
            let past = |until: Timestamp| at.duration_since(until) > REMEMBERED;
            self.tracker.forget(|anomaly| anomaly.until.is_some_and(past));
        }
    }

    /// What there is to show now.
    pub fn snapshot(&mut self, now: Timestamp) -> Snapshot {
        self.records();
        self.log();
        let state = self.shared.state.now();
        let failing = state.parts.iter().filter(|(_, part)| matches!(part.being, Being::Restarting { .. }));
        Snapshot {
            at: now,
            started: state.started,
            place: self.place.clone(),
            paused: state.parts.values().any(|part| part.being == Being::Paused),
            failing: failing.map(|(part, _)| part.name().to_owned()).collect(),
            scored: Arc::clone(&self.scored),
            waiting: state.proposals.into_iter().map(clean).collect(),
            past: Arc::clone(&self.past),
            log: Arc::clone(&self.log),
        }
    }

    /// Reads the journal and the history, if they have changed. One that cannot be read now is read later.
    fn records(&mut self) {
        let stamp = |path: &Path| fs::metadata(path).ok().and_then(|file| Some((file.len(), file.modified().ok()?)));
        let now = (self.journal.as_ref().and_then(|journal| stamp(journal.path())), stamp(&self.history));
        if now == self.read {
            return;
        }
        let lines = self.journal.as_ref().map(Journal::read);
        let (Ok(lines), Ok(history)) = (lines.unwrap_or(Ok(Vec::new())), history::read(&self.history)) else { return };
        self.fixes = fixes(&lines, self.shared.connection.map(|connection| connection.server.as_str()));
        self.past = Arc::new(past(&history, entries(&lines)));
        self.read = now;
    }

    fn log(&mut self) {
        let count = self.kept.count();
        if self.log.before + self.log.lines.len() as u64 != count || self.log.folder != self.folder {
            let lines: Vec<String> = self.kept.lines().iter().map(|line| sanitise::line(line)).collect();
            let before = count.saturating_sub(lines.len() as u64);
            self.log = Arc::new(Log { before, lines, folder: self.folder.clone() });
        }
    }
}
