//! The raw record of a measurement: every fault with what each detector made of it. RESULTS.md is drawn from it alone.

use serde::{Deserialize, Serialize};

use crate::area::Area;
use crate::calibration::Cell;
use crate::naming::Named;

/// Everything measured, in the order of its making.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// SHA-256 of the features' definition.
    pub(crate) features: String,
    pub(crate) seed: u64,
    pub(crate) epochs: usize,
    pub(crate) folds: Vec<Fold>,
}

/// One model, and what it was tried on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fold {
    pub(crate) name: String,
    pub(crate) scheme: Scheme,
    /// Loss of the first epochs of the model that was judged: training it again must give the same.
    pub(crate) losses: Vec<f64>,
    pub(crate) outcomes: Vec<Outcome>,
    /// Scores of the product beside the truth; on real days only, for how common synthetic faults are is not chance.
    pub(crate) calibration: Vec<Cell>,
    /// The same without what looks just like a fault in calm time.
    pub(crate) calibration_without: Vec<Cell>,
    /// What the product named as the reason of each sought fault.
    pub(crate) named: Vec<Named>,
}

/// What training and test have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scheme {
    /// The same applications, at another time.
    Time,
    /// Another application.
    Application,
    /// Another application, with synthetic faults.
    Synthetic,
    /// Another application, with what only somebody with a memory can tell apart.
    Memory,
    /// The model that ships, on recordings of another cluster.
    Cluster,
    /// The same at one interval of several, for the product alone.
    Interval,
}

/// Faults that show in CPU use: what the source's other kinds do, they do inside the application.
pub(crate) const CPU_KINDS: [&str; 2] = ["cpu_contention", "cpu_consumed"];

impl Scheme {
    /// Whether its folds judge models that were trained for them.
    pub(crate) fn needs_training(self) -> bool {
        !matches!(self, Scheme::Cluster | Scheme::Interval)
    }

    /// Whether a detector can be asked to find a fault of this kind. The source of the real days has kinds that hardly show.
    pub(crate) fn seeks(self, kind: &str) -> bool {
        !matches!(self, Scheme::Time | Scheme::Application) || CPU_KINDS.contains(&kind)
    }
}

/// What one detector made of one fold's test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) detector: String,
    /// Scores from here on are alerts.
    pub(crate) line: f64,
    pub(crate) faults: Vec<Found>,
    /// Alerts that rose in calm time.
    pub(crate) false_alerts: Vec<FalseAlert>,
    /// Pod-seconds under alert in calm time.
    pub(crate) false_seconds: f64,
    /// Calm time, in pod-seconds.
    pub(crate) calm_seconds: f64,
    /// How well its scores set faults apart, whatever the line; the mean of the fold's tests.
    pub(crate) area: Option<Area>,
    /// The same without what looks just like a fault in calm time; none if there is nothing that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) area_without: Option<Area>,
}

/// One fault with what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) kind: String,
    pub(crate) pod: String,
    /// Unix seconds.
    pub(crate) start: f64,
    /// Seconds until the alert; none if it was not found in its window.
    pub(crate) after: Option<f64>,
    /// Place of the pod among it and the pods without a fault, by the highest score in the window, from 1; equals share the
    /// last place.
    pub(crate) rank: usize,
}

/// An alert that rose without a fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FalseAlert {
    pub(crate) pod: String,
    /// Unix seconds.
    pub(crate) at: f64,
    /// What the product said then; of other detectors, nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) told: String,
    /// The pod shows what looks just like a fault then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unlabelled: bool,
}
