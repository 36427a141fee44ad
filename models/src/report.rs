//! What an exporter tells about its node: the contract between exporter and plugin, `GET /v1/report`.
//!
//! Readers ignore fields they don't know, leave out reasons of a cause that they don't know, and take what an older writer
//! does not say for unknown; a field is added, with a default, and never given another meaning. [`VERSION`] rises only
//! with a change that an old reader would misread, such as one more state.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::cause::Reason;
use crate::silence::Silence;
use crate::workload::Workload;

/// Version of the report that this code writes.
pub const VERSION: u32 = 1;

/// How many samples of history a pod carries for its sparkline.
pub const HISTORY: usize = 40;

/// Everything an exporter says of its node at one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NodeReport {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// The node's name.
    pub node: String,
    /// When the tick ended.
    pub at: Timestamp,
    /// Seconds between two ticks; 0 if the writer does not say.
    #[serde(default)]
    pub interval_seconds: f64,
    /// Severity rises at this score, unless a pod has a line of its own.
    pub threshold: f64,
    /// The version of the exporter or tool that scored; empty if the writer does not say.
    #[serde(default)]
    pub scored_by: String,
    /// What scored.
    #[serde(default)]
    pub model: ModelInfo,
    /// How the kubelet was read.
    pub kubelet: KubeletState,
    /// When the certificate that the exporter serves its metrics with ends; `None` if it has none, or does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_ends: Option<Timestamp>,
    /// Every pod of the node that has not succeeded.
    pub pods: Vec<PodReport>,
}

/// Which model scored, if any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ModelInfo {
    /// Its name, from its metadata.
    pub name: String,
    /// Its version, from its metadata.
    pub version: String,
    /// Lower-case hex of the SHA-256 of the file.
    pub sha256: String,
    /// Why it is not in use, if so: facts alone then make the scores.
    pub error: Option<String>,
    /// Which of the pods it had no usable number for when it last scored, if any: facts alone then make their scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<String>,
}

impl ModelInfo {
    /// Why facts alone make the scores, of all pods or of some.
    pub fn trouble(&self) -> Option<&String> {
        self.error.as_ref().or(self.missed.as_ref())
    }
}

/// How the last reading of the kubelet went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KubeletState {
    /// The last reading succeeded.
    pub up: bool,
    /// Its certificate is verified; false only by explicit choice.
    pub verified: bool,
    /// What went wrong, and what to do about it.
    pub error: Option<String>,
}

/// The state of a pod's score; one at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Under its line.
    #[default]
    Ok,
    /// Over its line, with hysteresis.
    Anomalous,
    /// Too new for the learnt part; facts speak already.
    Learning,
    /// No fresh sample for several ticks.
    Stale,
    /// Its owner, or a mute, asked for silence.
    Muted,
}

/// How bad it is; rises and falls once for an incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing to do.
    #[default]
    None,
    /// Over the line.
    Warning,
    /// Far over the line, or out of service by a hard fact.
    Critical,
}

/// One pod of the report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PodReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its controller.
    pub workload: Option<Workload>,
    /// Probability, 0 to 1, that it does not behave as it should; `None` while it is learnt, no longer measured or deleted, and no
    /// fact speaks.
    pub score: Option<f64>,
    /// The state of that score.
    pub state: State,
    /// How bad it is.
    pub severity: Severity,
    /// Since when it has been over its line.
    pub since: Option<Timestamp>,
    /// Why, the strongest first; empty if nothing stands out.
    #[serde(default, deserialize_with = "known_reasons")]
    pub reasons: Vec<Reason>,
    /// What led when it went over its line; `None` if it is under it, or if nobody saw that.
    #[serde(default, deserialize_with = "known_reason", skip_serializing_if = "Option::is_none")]
    pub began: Option<Reason>,
    /// Samples still needed until the learnt part speaks; 0 when it does, or if the writer does not say.
    #[serde(default)]
    pub learning_left: u32,
    /// Who muted it, until when and why; `None` if nobody did, or only its owner by an annotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<Silence>,
    /// It was made by a rollout a short while ago: its baseline is its workload's.
    #[serde(default)]
    pub deploy: bool,
    /// Ready containers.
    #[serde(default)]
    pub containers_ready: u32,
    /// Containers in all.
    #[serde(default)]
    pub containers_total: u32,
    /// Restarts of all containers.
    #[serde(default)]
    pub restarts: u32,
    /// Each learnt feature with what was seen and what was expected.
    #[serde(default)]
    pub features: Vec<FeatureView>,
    /// The latest scores, oldest first, at most [`HISTORY`].
    #[serde(default)]
    pub history: Vec<HistoryPoint>,
}

/// One feature of a pod: seen against expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FeatureView {
    /// `cpu`, `memory`, `receive`, `transmit`, `disk` where that is measured, or the name of a metric of the user's own.
    pub name: Cow<'static, str>,
    /// `cores`, `bytes`, `bytes_per_second`; empty if it is not known.
    pub unit: Cow<'static, str>,
    /// The value of this tick; `None` if it was not measured.
    pub seen: Option<f64>,
    /// Lower end of what nine of ten samples of this pod would show.
    pub expected_low: Option<f64>,
    /// Upper end of that range.
    pub expected_high: Option<f64>,
    /// Share of the measured score that this feature explains, 0 to 1; 0 for all if nothing is known of it.
    #[serde(default)]
    pub share: f64,
}

/// One earlier sample, for sparklines and trends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HistoryPoint {
    /// Unix time in seconds.
    pub at: i64,
    /// The score then.
    pub score: Option<f32>,
    /// CPU in cores.
    pub cpu: Option<f32>,
    /// Memory in bytes.
    pub memory: Option<f32>,
    /// Received bytes per second.
    pub receive: Option<f32>,
    /// Sent bytes per second.
    pub transmit: Option<f32>,
}

/// The reasons whose cause this version has a name for: a newer writer may know more of them.
fn known_reasons<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Reason>, D::Error> {
    let told: Vec<Told> = Vec::deserialize(deserializer)?;
    Ok(told.into_iter().filter_map(Told::known).collect())
}

/// The same for the one that began it.
fn known_reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Reason>, D::Error> {
    Ok(Option::<Told>::deserialize(deserializer)?.and_then(Told::known))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Known(Reason),
    Unknown(serde::de::IgnoredAny),
}

impl Told {
    fn known(self) -> Option<Reason> {
        if let Told::Known(reason) = self { Some(reason) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../report.schema.json");

    /// `GUARD_BLESS=1 cargo test -p guard-model` writes the file anew.
    #[test]
    fn the_committed_schema_is_that_of_the_types() {
        // As a writer of this version makes it: readers may count on every field.
        let settings = schemars::generate::SchemaSettings::default().for_serialize();
        let schema = settings.into_generator().into_root_schema_for::<NodeReport>();
        let made = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os("GUARD_BLESS").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/report.schema.json"), &made).unwrap();
        }
        assert_eq!(made, SCHEMA, "models/report.schema.json is out of date");
    }

    #[test]
    fn a_reader_ignores_what_a_newer_writer_adds() {
        let text = r#"{"up": true, "verified": true, "error": null, "since": "later"}"#;
        let state: KubeletState = serde_json::from_str(text).unwrap();
        assert!(state.up && state.verified);
    }
}
