//! Scores from a recording: the same sampler, scorer and model as in an exporter, without a cluster.

use std::io::Read;

use guard_model::detector::Detector;
use guard_model::pod;
use guard_model::recording::{RecordingError, Tick};
use guard_model::replay::{Moment, replay};
use guard_model::sample::PodFacts;
use guard_model::scorer::Settings;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::pods;
use crate::scores::{Scores, sanitised};
use crate::version::VERSION;

/// A cluster as it was at the last tick of a recording.
#[derive(Debug, Default)]
pub struct Recorded {
    /// When that was.
    pub at: Timestamp,
    /// When the recording begins.
    pub from: Timestamp,
    /// How many ticks it has.
    pub ticks: usize,
    /// What the exporters would have said.
    pub scores: Scores,
    /// The pods as facts, sanitised.
    pub facts: Vec<PodFacts>,
    /// The pods as objects.
    pub pods: Vec<Pod>,
    /// The Deployments.
    pub deployments: Vec<Deployment>,
    /// The events.
    pub events: Vec<Event>,
}

/// Replays a recording to its end. `detector` makes one a node; without one the facts alone speak.
///
/// # Errors
/// If the recording cannot be read, or holds no tick.
pub fn read(
    reader: impl Read,
    settings: Settings,
    detector: impl FnMut() -> Option<Detector>,
) -> Result<Recorded, Error> {
    let mut recorded = Recorded::default();
    let mut last = Tick::default();
    let scored_by = format!("kubectl-guard {VERSION}");
    replay(reader, settings, &scored_by, detector, |moment: Moment| {
        if recorded.ticks == 0 {
            recorded.from = moment.at;
        }
        recorded.ticks += 1;
        recorded.at = moment.at;
        recorded.scores.reports = moment.reports.into_iter().map(sanitised).collect();
        keep(&mut last.pods, moment.tick.pods.as_ref());
        keep(&mut last.events, moment.tick.events.as_ref());
        keep(&mut last.deployments, moment.tick.deployments.as_ref());
        Ok::<(), RecordingError>(())
    })?;
    recorded.pods = items(last.pods.as_deref());
    recorded.events = items(last.events.as_deref());
    recorded.deployments = items(last.deployments.as_deref());
    recorded.facts = recorded.pods.iter().map(|object| pods::sanitised(pod::facts(object))).collect();
    Ok(recorded)
}

/// Not every tick holds every list: the latest one counts.
fn keep(kept: &mut Option<Vec<u8>>, new: Option<&Vec<u8>>) {
    if let Some(new) = new {
        *kept = Some(new.clone());
    }
}

/// The items of a list in JSON; none if it is missing or is no such list.
fn items<T: DeserializeOwned>(body: Option<&[u8]>) -> Vec<T> {
    #[derive(Deserialize)]
    struct List<T> {
        items: Vec<T>,
    }
    body.and_then(|body| serde_json::from_slice::<List<T>>(body).ok()).map(|list| list.items).unwrap_or_default()
}
