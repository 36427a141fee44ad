//! Scores the table as it grows, says what begins and ends to misbehave, and writes what stood out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use guard_model::detector::Detector;
use guard_model::report::{KubeletState, ModelInfo, NodeReport, PodReport, State, VERSION};
use guard_model::scorer::Settings;
use jiff::Timestamp;

use super::{Part, Shared};
use crate::analyze::input::Tail;
use crate::analyze::insights::Insights;
use crate::analyze::{Latest, Sink, Table};
use crate::collect::file::unwritable;
use crate::config::{self, Config};
use crate::error::Error;
use crate::files::unreadable;
use crate::model;
use crate::{files, sanitise};

/// A pod without a row for so many intervals has gone.
const GONE_INTERVALS: i32 = 5;

/// Everything that scoring carries.
struct Scoring<'a> {
    config: &'a Config,
    shared: &'a Shared<'a>,
    model: ModelInfo,
    settings: Settings,
    table: Table,
    insights: Insights,
    latest: Latest,
    anomalous: BTreeSet<(String, String)>,
}

/// Scores until it is let go.
///
/// # Errors
/// If the table or the model cannot be used, or the insights cannot be written.
pub async fn score(config: &Config, shared: &Shared<'_>) -> Result<(), Error> {
    let path = &config.dataset_generator.output_file;
    let detector = config.model.detector.detector(|| model::load(config.model.path.as_deref()))?;
    let mut scoring = Scoring::new(config, shared, detector);
    let mut tail = opened(path, config.agents.watch_interval, shared).await?;
    loop {
        let mut new = false;
        while let Some(input) = tail.more().map_err(|source| unreadable(path, source))? {
            scoring.read(&input)?;
            new = true;
            // A table of days is read in pieces: others have their turn between them.
            tokio::task::yield_now().await;
        }
        if new {
            scoring.tell()?;
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

impl<'a> Scoring<'a> {
    fn new(config: &'a Config, shared: &'a Shared<'a>, detector: Detector) -> Self {
        let interval_seconds = config.dataset_generator.interval.as_secs_f64();
        let settings = Settings { threshold: config.agents.alert_threshold, interval_seconds };
        let model = detector.info();
        let table = Table::new(settings, Some(detector));
        let (insights, latest, anomalous) = (Insights::default(), Latest::new(), BTreeSet::new());
        Self { config, shared, model, settings, table, insights, latest, anomalous }
    }

    fn read(&mut self, input: &[u8]) -> Result<(), Error> {
        let mut sink: Sink<'_, Box<dyn Write>> = Sink {
            lines: None,
            insights: &mut self.insights,
            latest: Some(&mut self.latest),
            namespace: None,
            tracker: None,
        };
        self.table.read(input, &mut sink).map_err(|error| Error::BadFile {
            path: self.config.dataset_generator.output_file.clone(),
            problem: sanitise::line(&error.to_string()),
            hint: "correct the line, or move the table away: it is begun anew".to_owned(),
        })
    }

    /// Says what has changed, and hands on the reports.
    fn tell(&mut self) -> Result<(), Error> {
        self.forget_gone();
        self.say_changes();
        if self.config.run.only != Some(config::Part::Detect) {
            self.write()?;
        }
        let counts = self.table.counts();
        let done = format!(
            "{} rows scored, {} of {} pods over the line",
            counts.rows,
            self.anomalous.len(),
            self.latest.len()
        );
        self.shared.log.debug(Part::Score, &done);
        self.shared.state.did(Part::Score, &done);
        self.shared.state.set_anomalous(self.anomalous.len());
        self.shared.reports.send_replace(Arc::new(self.reports()));
        Ok(())
    }

    fn forget_gone(&mut self) {
        let Some(newest) = self.newest() else { return };
        let longest = self.config.dataset_generator.interval * GONE_INTERVALS.unsigned_abs();
        self.latest.retain(|_, seen| newest.duration_since(seen.at).unsigned_abs() <= longest);
    }

    fn say_changes(&mut self) {
        let over: BTreeSet<_> = self
            .latest
            .iter()
            .filter(|(_, seen)| seen.report.state == State::Anomalous)
            .map(|(key, _)| key.clone())
            .collect();
        for key in over.difference(&self.anomalous) {
            if let Some(seen) = self.latest.get(key) {
                self.shared.log.warn(Part::Score, &alert(&seen.report));
            }
        }
        for key in self.anomalous.difference(&over) {
            let what = if self.latest.contains_key(key) { "is no longer over its line" } else { "has gone" };
            self.shared.log.info(Part::Score, &format!("{}/{} {what}", key.0, key.1));
        }
        self.anomalous = over;
    }

    /// Writes what stood out, as a whole or not at all.
    fn write(&self) -> Result<(), Error> {
        let source = self.config.dataset_generator.output_file.display().to_string();
        let document = self.insights.document(&source, &self.model, self.settings.threshold);
        let state = self.shared.state.now();
        let document = document.explained(state.explanations, state.patterns);
        let path = &self.config.agents.output_file;
        let text = serde_json::to_string_pretty(&document).map_err(|error| unwritable(path, error.into()))?;
        files::replace(path, &(text + "\n")).map_err(|source| unwritable(path, source))
    }

    /// When the newest row was measured; `None` if there is none.
    fn newest(&self) -> Option<Timestamp> {
        self.latest.values().map(|seen| seen.at).max()
    }

    /// What the table says of all pods, as the exporters of their nodes would; those of no known node are under no name.
    fn reports(&self) -> Vec<NodeReport> {
        // A table is as old as its newest row, whichever node that is of.
        let Some(at) = self.newest() else { return Vec::new() };
        let mut nodes: BTreeMap<&str, Vec<PodReport>> = BTreeMap::new();
        for seen in self.latest.values() {
            nodes.entry(seen.node.as_deref().unwrap_or_default()).or_default().push(seen.report.clone());
        }
        let report = |(node, pods): (&str, Vec<PodReport>)| NodeReport {
            version: VERSION,
            node: node.to_owned(),
            at,
            interval_seconds: self.settings.interval_seconds,
            threshold: self.settings.threshold,
            scored_by: concat!("kubectl-guard ", env!("CARGO_PKG_VERSION")).to_owned(),
            model: self.model.clone(),
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
mod tests {
    use guard_model::mute::{Mute, Target};
    use guard_model::silence::Silence;

    use super::*;
    use crate::console::capture::console;
    use crate::run::due::heeding;
    use crate::run::log::Log;

    #[test]
    fn a_table_is_told_node_by_node_so_that_a_node_can_be_muted() {
        let (console, _) = console(80);
        let config = Config::of(&config::load(&[], |_| None, &[]).unwrap()).unwrap();
        let shared = Shared::new(Log::open(&console, &config.log).unwrap(), None, &console);
        let mut scoring = Scoring::new(&config, &shared, Detector::Robust);
        let row = |pod: &str, node: &str| format!("2026-11-23T10:00:00Z,shop,{pod},{node},Failed\n");
        let table = [
            "timestamp,namespace,pod,node,phase\n".to_owned(),
            row("a", "n1"),
            row("b", "n2"),
            row("c", "n1"),
            row("d", ""),
        ];
        scoring.read(table.concat().as_bytes()).unwrap();
        let told = |reports: &[NodeReport]| -> Vec<(String, String)> {
            let of = |report: &NodeReport| report.pods.iter().map(|pod| pod.name.clone()).collect::<String>();
            reports.iter().map(|report| (report.node.clone(), of(report))).collect()
        };
        let reports = scoring.reports();
        assert_eq!(
            told(&reports),
            [("", "d"), ("n1", "ac"), ("n2", "b")].map(|(node, pods)| (node.into(), pods.into()))
        );
        let silence = Silence { until: Timestamp::MAX, reason: String::new(), by: String::new() };
        let mute = Mute { target: Target::Node { name: "n1".into() }, since: Timestamp::UNIX_EPOCH, silence };
        let muted = heeding(&Arc::new(reports), &[mute]);
        let silent: Vec<&str> = muted
            .iter()
            .flat_map(|report| &report.pods)
            .filter(|pod| pod.state == State::Muted)
            .map(|pod| pod.name.as_str())
            .collect();
        assert_eq!(silent, ["a", "c"]);
    }
}
