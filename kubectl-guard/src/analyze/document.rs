//! The form of `pod_insights.json`.
//!
//! Its schema is `kubectl-guard/insights.schema.json`. Fields are added, never given another meaning.

use std::collections::BTreeMap;

use guard_model::cause::Reason;
use guard_model::report::PodReport;
use jiff::Timestamp;
use serde::Serialize;

use crate::llm::{Explained, Pattern};
use crate::sanitise;
use crate::side::Side;
use crate::suggest::suggest;

/// Version of the document.
pub(super) const VERSION: u32 = 1;

/// The whole document.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Document {
    /// Version of the document: readers ignore fields that they don't know.
    pub(super) version: u32,
    /// The file that was read.
    pub(super) source: String,
    /// Name, version and SHA-256 of the model; absent if hard facts alone made the scores.
    pub(super) model: Option<String>,
    /// When and why the model did not score all pods: hard facts alone made their scores then. Absent if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model_missed: Option<String>,
    /// Scores from here on are anomalies.
    pub(super) threshold: f64,
    /// Time of the first row.
    pub(super) from: Option<Timestamp>,
    /// Time of the last row.
    pub(super) to: Option<Timestamp>,
    /// Pods that were seen; of a table that is followed, within its last day.
    pub(super) pods_watched: usize,
    /// Pods that misbehaved, or have events, by namespace and name.
    pub(super) pods: Vec<PodInsights>,
    /// What incidents are, in words: of `run --enable-llm` only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(default))]
    pub(super) explanations: Vec<Explained>,
    /// Which of them a model thinks belong together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(default))]
    pub(super) patterns: Vec<Pattern>,
}

impl Document {
    /// The same with what incidents are, in words.
    #[must_use]
    pub fn explained(self, explanations: Vec<Explained>, patterns: Vec<Pattern>) -> Self {
        Self { explanations, patterns, ..self }
    }
}

/// One pod.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PodInsights {
    pub(super) namespace: String,
    pub(super) pod: String,
    /// `Kind/name` of its controller, if known.
    pub(super) workload: Option<String>,
    /// State at the end of the file: `ok`, `anomalous`, `learning`, `stale` or `muted`.
    pub(super) state: String,
    /// Score at the end of the file, 0 to 1.
    pub(super) score: Option<f64>,
    /// Severity at the end of the file: `none`, `warning` or `critical`.
    pub(super) severity: String,
    /// The highest score in the file.
    pub(super) highest_score: f64,
    /// How often which event was reported of it, by reason.
    pub(super) event_counts: BTreeMap<String, u64>,
    /// Times in which it misbehaved, the first of them first.
    pub(super) insights: Vec<Insight>,
    /// How many more there were.
    pub(super) more_insights: u64,
}

/// One time in which a pod misbehaved.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Insight {
    /// When the alert rose.
    pub(super) from: Timestamp,
    /// When it was over; absent if it went on at the end of the file.
    pub(super) to: Option<Timestamp>,
    /// The highest score, 0 to 1; causes and evidence are those of that moment.
    pub(super) highest_score: f64,
    /// The worst severity: `warning` or `critical`.
    pub(super) severity: String,
    /// The strongest first.
    pub(super) likely_causes: Vec<LikelyCause>,
    /// Each learnt feature, seen against expected.
    pub(super) evidence: Vec<Evidence>,
    /// What may help.
    pub(super) recommended_action: Option<Recommendation>,
}

/// Why.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct LikelyCause {
    /// `cpu`, `crash_loop`, ...
    pub(super) cause: String,
    /// How sure this cause alone makes us, 0 to 1.
    pub(super) score: f64,
    /// The figures that matter.
    pub(super) text: String,
}

/// One feature.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Evidence {
    pub(super) feature: String,
    /// `cores`, `bytes` or `bytes_per_second`.
    pub(super) unit: String,
    pub(super) seen: Option<f64>,
    pub(super) expected_low: Option<f64>,
    pub(super) expected_high: Option<f64>,
    /// Share of the learnt score that it explains, 0 to 1.
    pub(super) share: f64,
}

/// What may help.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Recommendation {
    /// An action of `kubectl guard fix`; absent if none of them helps.
    pub(super) action: Option<String>,
    /// In a few words.
    pub(super) summary: String,
    /// In a sentence.
    pub(super) advice: String,
}

impl Insight {
    /// That of a pod that misbehaves; it began at `from`.
    pub(super) fn of(from: Timestamp, report: &PodReport) -> Insight {
        let cause = |reason: &Reason| LikelyCause {
            cause: reason.cause.name().to_owned(),
            score: reason.score,
            text: sanitise::line(&reason.text),
        };
        let features = report.features.iter().filter(|feature| feature.seen.is_some());
        let suggestion = suggest(&report.reasons, Side::leading(report), report.workload.as_ref());
        Insight {
            from,
            to: None,
            highest_score: report.score.unwrap_or(0.0),
            severity: name(report.severity),
            likely_causes: report.reasons.iter().map(cause).collect(),
            evidence: features
                .map(|feature| Evidence {
                    feature: feature.name.to_string(),
                    unit: feature.unit.to_string(),
                    seen: feature.seen,
                    expected_low: feature.expected_low,
                    expected_high: feature.expected_high,
                    share: feature.share,
                })
                .collect(),
            recommended_action: suggestion.map(|suggestion| Recommendation {
                action: suggestion.action.map(|action| action.name().to_owned()),
                summary: suggestion.words.to_owned(),
                advice: suggestion.advice.to_owned(),
            }),
        }
    }
}

/// A state or severity as it stands in JSON and CSV.
pub(super) fn name(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../../insights.schema.json");

    /// `GUARD_BLESS=1 cargo test -p kubectl-guard` writes the file anew.
    #[test]
    fn the_committed_schema_is_that_of_the_document() {
        let made = serde_json::to_string_pretty(&schemars::schema_for!(Document)).unwrap() + "\n";
        if std::env::var_os("GUARD_BLESS").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/insights.schema.json"), &made).unwrap();
        }
        assert_eq!(made, SCHEMA, "kubectl-guard/insights.schema.json is out of date");
    }
}
