//! One tick's computation without its I/O: bytes and facts in, reports out. It runs on a thread of its own, so that the
//! listeners answer meanwhile.

use guard_model::cadvisor::Cadvisor;
use guard_model::detector::Detector;
use guard_model::report::{ModelInfo, PodReport};
use guard_model::sample::{PodFacts, seconds};
use guard_model::sampler::Sampler;
use guard_model::scorer::{Scorer, Settings};
use guard_model::summary;
use jiff::Timestamp;

use crate::kubelet::{self, KubeletError};

/// What a tick brought from outside.
pub struct Readings {
    /// When it was read, by this machine's clock.
    pub at: Timestamp,
    /// Body of the kubelet's `/stats/summary`.
    pub summary: Result<Vec<u8>, KubeletError>,
    /// The kubelet's `/metrics/cadvisor`, if it was due.
    pub cadvisor: Option<Cadvisor>,
    /// The node's pods; `None` until they are known.
    pub pods: Option<Vec<PodFacts>>,
}

/// What became of it.
pub struct Scored {
    /// One report for each pod that has not succeeded.
    pub pods: Vec<PodReport>,
    /// Whether the kubelet gave something that could be understood.
    pub kubelet: Result<(), KubeletError>,
    /// Entries of the summary that were left out.
    pub dropped: usize,
}

/// All that is remembered from tick to tick.
pub struct Pipeline {
    node: String,
    sampler: Sampler,
    scorer: Scorer,
    model_error: Option<String>,
}

impl Pipeline {
    /// A pipeline for `node` that has learnt nothing. Without a detector the facts alone make the scores.
    pub fn new(node: &str, settings: Settings, detector: Result<Detector, String>) -> Self {
        let (detector, model_error) = match detector {
            Ok(detector) => (Some(detector), None),
            Err(error) => (None, Some(error)),
        };
        let scorer = Scorer::new(settings, detector);
        Self { node: node.to_owned(), sampler: Sampler::default(), scorer, model_error }
    }

    /// Which model scores, or why none does.
    pub fn model(&self) -> ModelInfo {
        let model = self.scorer.model().clone();
        ModelInfo { error: self.model_error.clone().or(model.error), ..model }
    }

    /// Goes on with another detector; what is normal for each pod stays known.
    pub fn replace(&mut self, detector: Detector) {
        self.scorer.replace(detector);
        self.model_error = None;
    }

    /// Parses, samples and scores.
    pub fn tick(&mut self, readings: Readings) -> Scored {
        let summary = readings.summary.and_then(|body| self.parse(&body));
        let (summary, kubelet) = match summary {
            Ok(summary) => (Some(summary), Ok(())),
            Err(error) => (None, Err(error)),
        };
        let dropped = summary.as_ref().map_or(0, |summary| summary.dropped);
        // What was learnt is kept by pod and forgotten with it: a list that has not come yet must not look like an empty one.
        let Some(pods) = readings.pods else { return Scored { pods: Vec::new(), kubelet, dropped } };
        let now = seconds(readings.at);
        let samples = self.sampler.tick(now, summary.as_ref(), readings.cadvisor.as_ref(), &pods);
        Scored { pods: self.scorer.tick(readings.at, &samples), kubelet, dropped }
    }

    fn parse(&self, body: &[u8]) -> Result<summary::Summary, KubeletError> {
        let malformed = |cause| KubeletError::Malformed { path: kubelet::SUMMARY, cause };
        let summary = summary::parse(body).map_err(|error| malformed(error.to_string()))?;
        if summary.node == self.node {
            Ok(summary)
        } else {
            Err(malformed(format!("it speaks of node {:?}, not {:?}", summary.node, self.node)))
        }
    }

    /// Everything learnt so far.
    pub fn save(&self, at: Timestamp) -> Vec<u8> {
        self.scorer.save(seconds(at))
    }

    /// Goes on from what [`Pipeline::save`] gave.
    ///
    /// # Errors
    /// In words, why that cannot be used; everything is then as it was.
    pub fn restore(&mut self, learnt: &[u8], at: Timestamp) -> Result<(), String> {
        self.scorer.restore(learnt, seconds(at)).map(|_| ()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &[u8] = include_bytes!("../../models/tests/fixtures/summary.json");
    const UID: &str = "c7cd61ad-1841-4d15-9be0-6901add31d9b";

    fn pipeline() -> Pipeline {
        Pipeline::new("node1", Settings { threshold: 0.7, interval_seconds: 15.0 }, Err("no model".to_owned()))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_356_130 + second).unwrap()
    }

    fn readings(at: Timestamp, pods: Option<Vec<PodFacts>>) -> Readings {
        Readings { at, summary: Ok(SUMMARY.to_vec()), cadvisor: None, pods }
    }

    fn pod() -> PodFacts {
        PodFacts {
            uid: UID.to_owned(),
            namespace: "shop".to_owned(),
            name: "loadgen".to_owned(),
            ..PodFacts::default()
        }
    }

    fn remembers(pipeline: &Pipeline) -> bool {
        String::from_utf8(pipeline.save(at(60))).unwrap().contains(UID)
    }

    #[test]
    fn a_list_that_has_not_come_is_not_an_empty_list() {
        let mut first = pipeline();
        assert_eq!(first.tick(readings(at(0), Some(vec![pod()]))).pods.len(), 1);
        let learnt = first.save(at(30));
        let mut second = pipeline();
        second.restore(&learnt, at(45)).unwrap();
        assert!(second.tick(readings(at(60), None)).pods.is_empty());
        assert!(remembers(&second));
        second.tick(readings(at(75), Some(Vec::new())));
        assert!(!remembers(&second));
    }

    #[test]
    fn what_cannot_be_restored_changes_nothing() {
        let mut pipeline = pipeline();
        pipeline.tick(readings(at(0), Some(vec![pod()])));
        for learnt in [&b""[..], b"{}", b"\xff", b"[1, 2"] {
            assert!(pipeline.restore(learnt, at(0)).is_err(), "{learnt:?}");
            assert!(remembers(&pipeline));
        }
    }

    /// What the kubelet says at `at`, after so many readings: a little is done in each, a little unsteadily.
    fn measured(at: Timestamp, readings: u64) -> Vec<u8> {
        let mut summary: serde_json::Value = serde_json::from_slice(SUMMARY).unwrap();
        let pod = &mut summary["pods"][0];
        let steps = readings * 10 + readings % 3;
        for (block, counter, step) in [
            ("cpu", "usageCoreNanoSeconds", 300_000_000),
            ("network", "rxBytes", 40_000),
            ("network", "txBytes", 90_000),
        ] {
            let first = pod[block][counter].as_u64().unwrap();
            pod[block][counter] = (first + steps * step).into();
        }
        for block in ["cpu", "memory", "network"] {
            pod[block]["time"] = at.to_string().into();
        }
        serde_json::to_vec(&summary).unwrap()
    }

    /// The machine's clock is the kubelet's and ours.
    #[test]
    fn a_clock_that_steps_by_an_hour_either_way_accuses_nobody() {
        let detector = crate::model::Source::new(guard_model::detector::Kind::Lstm, None).load();
        let mut pipeline = Pipeline::new("node1", Settings { threshold: 0.7, interval_seconds: 15.0 }, detector);
        let (mut clock, mut read) = (0, 0);
        for step in 0..20 {
            let mut last = None;
            for tick in 0..40 {
                let now = at(clock);
                let summary = Ok(measured(now, read));
                let scored = pipeline.tick(Readings { at: now, summary, cadvisor: None, pods: Some(vec![pod()]) });
                scored.kubelet.unwrap();
                let pod = &scored.pods[0];
                assert_ne!(pod.state, guard_model::report::State::Anomalous, "step {step}, tick {tick}: {pod:?}");
                last = Some(pod.state);
                (clock, read) = (clock + 15, read + 1);
            }
            assert_eq!(last, Some(guard_model::report::State::Ok), "step {step}");
            // Forth and back, and twice forth now and then.
            clock += if step % 3 == 1 { -3600 } else { 3600 };
        }
    }

    #[test]
    fn a_summary_of_another_node_is_not_believed() {
        let other = Pipeline { node: "node2".to_owned(), ..pipeline() };
        let error = other.parse(SUMMARY).unwrap_err();
        assert_eq!(error.kind(), "malformed");
        assert!(error.to_string().contains(r#"it speaks of node "node1", not "node2""#), "{error}");
    }

    #[test]
    fn why_there_is_no_model_is_told_until_there_is_one() {
        let mut pipeline = pipeline();
        assert_eq!(pipeline.model().error.as_deref(), Some("no model"));
        pipeline.replace(Detector::Robust);
        assert_eq!(pipeline.model().error, None);
    }
}
