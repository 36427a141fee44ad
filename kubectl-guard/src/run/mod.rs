//! `run`: collecting, scoring and proposing in one program.
//!
//! kubelets -> [`collect`] -> pod_metrics.csv -> [`score`] -> pod_insights.json and the latest reports -> [`propose`] ->
//! remediation_history.json. The table lies between the first two, so that either can be restarted, or run alone, and
//! nothing is lost. [`agents`] gives incidents to programs of the user's and takes what they say; [`explain`] says in words
//! what an incident is, with a language model's opinion if one is asked. [`serve`] shows the latest reports in a browser,
//! [`notices`] tells of them elsewhere. [`supervise`] keeps the parts going; [`log`] has what they do; [`state`] has how
//! they are. No part writes to a cluster: a proposal is carried out by `fix`, or by a person at a [`crate::desk`], each
//! with an approval of its own.

use std::sync::Arc;
use std::time::Duration;

use guard_model::mute::Mute;
use guard_model::report::NodeReport;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::approve::Screen;
use crate::commands::fix::desk::ClusterDesk;
use crate::config::{self, AgentMode, Config};
use crate::connect::Connection;
use crate::console::Console;
use crate::desk::Turns;
use crate::scores::{Source, portforward};
use crate::sink::Sink;

pub mod agents;
pub mod carried;
pub mod claim;
pub mod collect;
#[cfg(unix)]
pub mod control;
pub mod due;
pub mod explain;
pub mod history;
mod known;
pub mod log;
pub mod notices;
pub mod propose;
pub mod score;
pub mod serve;
pub mod silence;
pub mod state;
pub mod steer;
pub mod supervise;
pub mod written;

/// A part of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What keeps the others going.
    Run,
    /// Writes the table of metrics.
    Collect,
    /// Scores the table.
    Score,
    /// Proposes fixes.
    Propose,
    /// Gives incidents to programs of the user's.
    Agents,
    /// Says what incidents are.
    Explain,
    /// Tells of incidents elsewhere.
    Notify,
    /// Serves the dashboard.
    Serve,
}

impl Part {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Part::Run => "run",
            Part::Collect => "collect",
            Part::Score => "score",
            Part::Propose => "propose",
            Part::Agents => "agents",
            Part::Explain => "explain",
            Part::Notify => "notify",
            Part::Serve => "serve",
        }
    }

    /// The file of its log, by the older tool's name.
    fn log_file(self) -> &'static str {
        match self {
            Part::Run => "k8s_multi_agent.log",
            Part::Collect => "k8s_monitoring.log",
            Part::Score => "dataset_generator_agent.log",
            Part::Propose => "k8s_remediation.log",
            Part::Agents => "k8s_agents.log",
            Part::Explain => "k8s_explain.log",
            Part::Notify => "k8s_notices.log",
            Part::Serve => "k8s_ui.log",
        }
    }
}

/// The parts that a configuration asks for, in the order of travel.
pub fn parts(config: &Config) -> Vec<Part> {
    let mut parts = match (config.run.only, config.run.agent_mode) {
        (Some(config::Part::Collect), _) => return vec![Part::Collect],
        (Some(config::Part::Analyze | config::Part::Detect), _) => return vec![Part::Score],
        (None, AgentMode::Full) => vec![Part::Collect, Part::Score, Part::Propose],
        (None, AgentMode::Monitoring) => vec![Part::Collect, Part::Score],
        (None, AgentMode::Remediation) => vec![Part::Score, Part::Propose],
    };
    if !config.agents.programs.is_empty() {
        parts.push(Part::Agents);
    }
    if config.llm.enabled {
        parts.push(Part::Explain);
    }
    if config.notices.anybody() {
        parts.push(Part::Notify);
    }
    parts
}

/// What was scored last, one report a node.
pub type Reports = Arc<Vec<NodeReport>>;

/// A look at mutes that could not be read is made again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Waits for the next reports, and no longer than `longest`.
async fn next_reports(reports: &mut watch::Receiver<Reports>, longest: Option<Duration>) {
    let changed = async {
        if reports.changed().await.is_err() {
            // Scoring and its channel live as long as the program.
            std::future::pending::<()>().await;
        }
    };
    match longest {
        Some(longest) => drop(tokio::time::timeout(longest, changed).await),
        None => changed.await,
    }
}

/// What all parts share.
pub struct Shared<'a> {
    /// The log.
    pub log: log::Log<'a>,
    /// How the parts are.
    pub state: state::Shown,
    /// The latest reports, from scoring to proposing.
    pub reports: watch::Sender<Reports>,
    /// What scoring has learnt; it outlives the part that scores.
    pub learnt: tokio::sync::Mutex<Option<score::Learnt>>,
    /// Who asked for silence.
    pub silence: silence::Silence,
    /// What was told elsewhere; it outlives the part that tells, which begins anew at each reload.
    pub told: tokio::sync::Mutex<notices::Book>,
    /// Whose plan is being carried out; it outlives the parts that show it.
    pub turns: Turns,
    /// What is told of plans that are carried out at its screens.
    pub carried: carried::Carried,
    /// What programs of the user's propose, until it is looked at.
    pub asks: agents::Asks,
    /// What stood out, as it was written last; it outlives the part that writes it, and so may a writing.
    pub insights: written::Written,
    /// What incidents were said to be; it outlives the part that says so.
    pub opinions: tokio::sync::Mutex<explain::Opinions>,
    /// The cluster, for the parts that need one.
    pub connection: Option<&'a Connection>,
    /// For the parts of `fix` that are used here.
    pub console: &'a Console,
    /// Where the journal of what is approved here is told as well, and whether nothing may be changed without it.
    pub sink: Option<(Sink, bool)>,
}

impl<'a> Shared<'a> {
    /// What is shared when nothing has run yet.
    pub fn new(log: log::Log<'a>, connection: Option<&'a Connection>, console: &'a Console) -> Self {
        Self {
            log,
            state: state::Shown::new(Timestamp::now()),
            reports: watch::Sender::default(),
            learnt: tokio::sync::Mutex::default(),
            silence: silence::Silence::default(),
            told: tokio::sync::Mutex::default(),
            turns: Turns::default(),
            carried: carried::Carried::default(),
            asks: agents::Asks::default(),
            insights: written::Written::default(),
            opinions: tokio::sync::Mutex::default(),
            connection,
            console,
            sink: None,
        }
    }

    /// The latest reports, with the mutes that hold; `None` before the first look at the table, and while nobody can know what
    /// is muted.
    async fn heard(
        &self,
        connection: &Connection,
        reports: &mut watch::Receiver<Reports>,
    ) -> Option<(Reports, Vec<Mute>)> {
        let latest = Reports::clone(&reports.borrow_and_update());
        if latest.is_empty() {
            return None;
        }
        let mutes = self.silence.holding(connection, &self.log).await?;
        Some((latest, mutes))
    }

    /// A desk of this run. Scores behind an approval are the exporter's, read anew: those of the run come from a table that
    /// anybody may write.
    pub fn desk(&self, connection: &Connection, screen: Screen) -> ClusterDesk {
        let source = Source::Exporters { namespace: portforward::NAMESPACE.to_owned() };
        let desk = ClusterDesk::new(connection.clone(), source, screen, self.turns.clone());
        desk.telling(self.sink.clone()).logged_by(self.carried.teller())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &[(&'static str, &'static str, &str)]) -> Config {
        let flags: Vec<config::Flag> = yaml.iter().map(|(key, flag, text)| (*key, *flag, (*text).to_owned())).collect();
        Config::of(&config::load(&[], |_| None, &flags).unwrap()).unwrap()
    }

    #[test]
    fn there_are_notices_where_somebody_is_to_be_told() {
        let told = ("notices.alertmanager_url", "", "http://localhost:9093");
        assert_eq!(parts(&config(&[told])).last(), Some(&Part::Notify));
        assert_eq!(parts(&config(&[told, ("run.only", "only", "detect")])), [Part::Score]);
    }

    #[test]
    fn each_mode_of_the_older_tool_runs_its_parts() {
        use Part::{Collect, Propose, Score};
        for (mode, expected) in [
            ("full", vec![Collect, Score, Propose]),
            ("monitoring", vec![Collect, Score]),
            ("remediation", vec![Score, Propose]),
        ] {
            assert_eq!(parts(&config(&[("run.agent_mode", "agent-mode", mode)])), expected, "{mode}");
        }
        for (only, expected) in [("collect", Collect), ("analyze", Score), ("detect", Score)] {
            let config = config(&[("run.only", "only", only), ("run.agent_mode", "agent-mode", "full")]);
            assert_eq!(parts(&config), [expected], "{only}");
        }
    }
}
