//! The configuration of `run`: defaults, then the files in the order they were named, then the environment, then flags.
//!
//! named files ([`read`], [`tree`]) -> checked against the settings there are ([`schema`]) -> laid over each other with
//! the origin of each value ([`merge`]) -> [`Config`], the types that `run` uses, or `config print` ([`print`]). Nothing
//! is taken from a file that holds a mistake.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use guard_model::detector;
use serde::Deserialize;

pub mod flags;
pub mod merge;
pub mod print;
mod problem;
mod programs;
mod read;
mod schema;
mod shown;
pub mod tighten;
mod tree;

pub use merge::{Merged, Origin};
pub use problem::{ConfigError, Place, Problem};
pub use programs::Program;

/// Everything that `run` can be told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is collected.
    pub dataset_generator: Collecting,
    /// How it is scored.
    pub agents: Scoring,
    /// What may be proposed and done.
    pub remediation: Remediation,
    /// Custom metrics.
    #[serde(default)]
    pub prometheus: Prometheus,
    /// The model.
    pub model: Model,
    /// Which parts run.
    pub run: Parts,
    /// Which language model is asked about incidents, if any.
    pub llm: Llm,
    /// Who is told of incidents.
    pub notices: Notices,
    /// Where logs go.
    pub log: Log,
}

/// What is collected, from where, how often and into which file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Collecting {
    /// The table.
    pub output_file: PathBuf,
    /// Address of Prometheus.
    pub prometheus_url: String,
    /// Which namespace; else that of the context.
    pub namespace: Option<String>,
    /// All of them.
    pub all_namespaces: bool,
    /// Time between two looks.
    #[serde(deserialize_with = "seconds")]
    pub interval: Duration,
}

/// How the table is scored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// Where what stood out is written.
    pub output_file: PathBuf,
    /// Time between two readings of the table.
    #[serde(deserialize_with = "seconds")]
    pub watch_interval: Duration,
    /// Scores from here on are anomalies.
    pub alert_threshold: f64,
    /// Programs of the user's that are told of incidents, by name.
    #[serde(default)]
    pub programs: BTreeMap<String, Program>,
}

/// What may be proposed and done.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remediation {
    /// Approve without a person.
    pub auto_approve: bool,
    /// Change nothing.
    pub dry_run: bool,
    /// How high a score must be for a proposal.
    pub confidence_threshold: f64,
    /// How many proposals may wait at once.
    pub max_proposals: u64,
    /// Where what was proposed and done is kept.
    pub history_file: PathBuf,
}

impl Remediation {
    /// A score is high enough to propose something, and there is room for a proposal.
    pub fn permits(&self, score: f64, waiting: u64) -> bool {
        score >= self.confidence_threshold && waiting < self.max_proposals
    }
}

impl Notices {
    /// Somebody is to be told.
    pub fn anybody(&self) -> bool {
        let webhook = self.webhook_url.is_some() || self.webhook_url_file.is_some();
        webhook || self.slack_url_file.is_some() || self.alertmanager_url.is_some()
    }
}

/// Custom metrics.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prometheus {
    /// A query for each metric.
    #[serde(default)]
    pub queries: BTreeMap<String, String>,
}

/// The model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What scores: the model, or each pod's own past alone.
    pub detector: detector::Kind,
    /// Its file; else the one that ships.
    pub path: Option<PathBuf>,
}

/// Which parts run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// All of them, all but proposing, or proposing alone.
    pub agent_mode: AgentMode,
    /// One part alone.
    pub only: Option<Part>,
}

/// Which parts run, in the older tool's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AgentMode {
    /// Collect, score and propose
    Full,
    /// Collect and score
    Monitoring,
    /// Score a table that something else writes, and propose
    Remediation,
}

/// One part of `run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Write the table of metrics
    Collect,
    /// Score the table, and write the anomalies to a file
    Analyze,
    /// Score the table, and only log the anomalies
    Detect,
}

/// Which language model is asked about incidents, and what that may cost.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Llm {
    /// One is asked.
    pub enabled: bool,
    /// Base of an OpenAI-compatible server.
    pub url: String,
    /// Its name there.
    pub model: String,
    /// A file with the key; else `OPENAI_API_KEY` has it, or none is needed.
    pub api_key_file: Option<PathBuf>,
    /// Time for all tries of one question.
    #[serde(deserialize_with = "seconds")]
    pub timeout: Duration,
    /// Tokens that one answer may have.
    pub max_tokens: u32,
    /// Tokens, sent and received, that may be spent within an hour.
    pub tokens_per_hour: u64,
    /// US dollars for a million tokens sent and received.
    pub price: Option<String>,
}

/// Who is told of incidents.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notices {
    /// Gets the incidents as JSON.
    pub webhook_url: Option<String>,
    /// Holds that address, if it is a secret.
    pub webhook_url_file: Option<PathBuf>,
    /// A bearer token for it.
    pub webhook_token_file: Option<PathBuf>,
    /// Holds the address of an incoming webhook of Slack, or of something that speaks as Slack does: it is a secret.
    pub slack_url_file: Option<PathBuf>,
    /// The base of an Alertmanager.
    pub alertmanager_url: Option<String>,
    /// What begins or ends within this time is told in one message.
    #[serde(deserialize_with = "seconds")]
    pub group_wait: Duration,
}

/// Where logs go.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// What is worth a line.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
    /// The folder of the files; else stderr.
    pub folder: Option<PathBuf>,
    /// A file that has grown to this is put aside.
    pub max_megabytes: u64,
    /// How many that were put aside are kept.
    pub keep: u64,
}

/// What is worth a line in a log, from the least on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything
    Debug,
    /// What is done
    Info,
    /// What may need a look
    Warning,
    /// What went wrong
    Error,
}

impl Level {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// How a line of a log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people
    Text,
    /// One object a line
    Json,
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

/// Variables of the environment that say something, what about, and from the weakest on.
const VARIABLES: [(&str, &str); 7] = [
    ("THRESHOLD", "agents.alert_threshold"),
    ("ANOMALY_THRESHOLD", "agents.alert_threshold"),
    ("K8S_NAMESPACE", "dataset_generator.namespace"),
    ("MODEL_PATH", "model.path"),
    ("OPENAI_BASE_URL", "llm.url"),
    ("OPENAI_MODEL", "llm.model"),
    ("GUARD_LLM_PRICE", "llm.price"),
];

/// What a flag says: the setting's key, the flag, the value.
pub type Flag = (&'static str, &'static str, String);

/// Lays files, environment and flags over the defaults, in this order.
///
/// # Errors
/// If a file is missing, or anything that was said cannot be meant.
pub fn load(
    files: &[PathBuf],
    environment: impl Fn(&str) -> Option<String>,
    flags: &[Flag],
) -> Result<Merged, ConfigError> {
    let mut merged = Merged::defaults();
    files.iter().try_for_each(|file| read::lay(file, &mut merged))?;
    for (name, key) in VARIABLES {
        if let Some(text) = environment(name).filter(|text| !text.trim().is_empty()) {
            merged.give(key, &text, Origin::Environment(name))?;
        }
    }
    for (key, flag, text) in flags {
        merged.give(key, text, Origin::Flag(flag))?;
    }
    Ok(merged)
}

impl Config {
    /// The settings as types.
    ///
    /// # Errors
    /// Never, for what [`load`] made: a property of the tests.
    pub fn of(merged: &Merged) -> Result<Self, ConfigError> {
        serde_json::from_value(merged.tree())
            .map_err(|error| ConfigError::Given { whose: "the configuration".to_owned(), text: error.to_string() })
    }
}

#[cfg(test)]
mod tests;
