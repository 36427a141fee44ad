//! The clock of the exporter: every interval it reads the kubelet, has the readings scored, and publishes the result.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use guard_model::cadvisor::{Cadvisor, Reader};
use guard_model::report::{KubeletState, NodeReport, VERSION};
use guard_model::sample::seconds;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::config::Config;
use crate::health::Heartbeat;
use crate::kubelet::{self, Kubelet, KubeletError};
use crate::model::Source;
use crate::mutes::Mutes;
use crate::pipeline::{Pipeline, Readings};
use crate::snapshot::{Dropped, Durations, Failures, Snapshot};
use crate::state;
use crate::tls::Certificates;
use crate::watch::Pods;

/// How often cadvisor is read and what was learnt is saved.
const MINUTE: Duration = Duration::from_mins(1);
/// Who scores, in the report.
const SCORED_BY: &str = concat!("guard-exporter ", env!("CARGO_PKG_VERSION"));
/// What the report says until the pods are known.
const NO_PODS: &str =
    "the pods of this node are not known yet: the API server has not listed them; see the exporter's log";

/// The last snapshot, if any, for those who serve it.
pub type Latest = watch::Receiver<Option<Arc<Snapshot>>>;

/// The thread that scores ended by itself, which only a defect can cause.
#[derive(Debug, thiserror::Error)]
#[error("scoring broke off: {0}")]
pub struct TickError(#[from] tokio::task::JoinError);

/// What goes round every interval.
pub struct Ticker {
    node: String,
    interval: Duration,
    threshold: f64,
    state_file: Option<PathBuf>,
    kubelet: Kubelet,
    pods: Pods,
    mutes: Mutes,
    pipeline: Arc<Mutex<Pipeline>>,
    source: Source,
    certificates: Option<Arc<Certificates>>,
    heartbeat: Arc<Heartbeat>,
    publish: watch::Sender<Option<Arc<Snapshot>>>,
    cadvisor_read: Option<Instant>,
    cadvisor_took: Option<Duration>,
    saved: Instant,
    last_sample: Option<f64>,
    last_error: Option<KubeletError>,
    failures: Failures,
    dropped: Dropped,
}

impl Ticker {
    /// A ticker and where its results appear. `pods` and `mutes` are filled by watches that somebody else drives;
    /// `certificates` are those of the network port, if it has any.
    pub fn new(
        config: &Config,
        (pods, mutes): (Pods, Mutes),
        pipeline: Pipeline,
        source: Source,
        certificates: Option<Arc<Certificates>>,
        heartbeat: Arc<Heartbeat>,
    ) -> (Self, Latest) {
        let (publish, latest) = watch::channel(None);
        let ticker = Self {
            node: config.node.clone(),
            interval: config.interval,
            threshold: config.threshold,
            state_file: config.state_file.clone(),
            kubelet: Kubelet::new(config),
            pods,
            mutes,
            pipeline: Arc::new(Mutex::new(pipeline)),
            source,
            certificates,
            heartbeat,
            publish,
            cadvisor_read: None,
            cadvisor_took: None,
            saved: Instant::now(),
            last_sample: None,
            last_error: None,
            failures: Failures::default(),
            dropped: Dropped::default(),
        };
        (ticker, latest)
    }

    /// Goes round until `stop`, then saves what was learnt.
    ///
    /// # Errors
    /// If scoring broke off.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), TickError> {
        let mut stop = std::pin::pin!(stop);
        self.restore();
        // On a grid from the start, by the monotonic clock: a late tick does not move those after it, a missed one is
        // missed. Nodes that start together (a rollout) do not ask together.
        let mut grid = interval_at(Instant::now() + offset(&self.node, self.interval), self.interval);
        grid.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = &mut stop => break,
                _ = grid.tick() => {}
            }
            let (readings, summary_took) = tokio::select! {
                () = &mut stop => break,
                read = self.read() => read,
            };
            if self.source.changed() {
                self.reload().await?;
            }
            self.score(readings, summary_took).await?;
            if self.saved.elapsed() >= MINUTE {
                self.save().await?;
            }
            self.heartbeat.beat();
        }
        self.save().await
    }

    /// Reads the kubelet, and looks up which pods there are.
    async fn read(&mut self) -> (Readings, Duration) {
        let began = Instant::now();
        let mut body = Vec::new();
        let summary = self.kubelet.get(kubelet::SUMMARY, |piece| body.extend_from_slice(piece)).await.map(|()| body);
        let took = began.elapsed();
        let mut pods = self.pods.all();
        if let Some(pods) = &mut pods {
            self.mutes.mark(pods, &self.node, Timestamp::now());
        }
        // Half an interval of slack, so that a minute of four ticks is four ticks and not, now and then, five.
        let due = self.cadvisor_read.is_none_or(|at| at.elapsed() + self.interval / 2 >= MINUTE);
        let cadvisor = if due && summary.is_ok() && pods.is_some() { self.read_cadvisor().await } else { None };
        (Readings { at: Timestamp::now(), summary, cadvisor, pods }, took)
    }

    /// Reads cadvisor. Without it only drops, throttling and OOM events are missing, so a failure is logged and no more.
    async fn read_cadvisor(&mut self) -> Option<Cadvisor> {
        let began = Instant::now();
        self.cadvisor_read = Some(began);
        let mut reader = Reader::default();
        let read = self.kubelet.get(kubelet::CADVISOR, |piece| reader.feed(piece)).await;
        self.cadvisor_took = Some(began.elapsed());
        match read {
            Ok(()) => {
                let cadvisor = reader.finish();
                self.dropped.cadvisor += cadvisor.dropped as u64;
                Some(cadvisor)
            }
            Err(error) => {
                self.failures.cadvisor += 1;
                tracing::warn!(%error, "drops, throttling and OOM events are unknown for a minute");
                None
            }
        }
    }

    async fn score(&mut self, readings: Readings, summary_took: Duration) -> Result<(), TickError> {
        let (at, known) = (readings.at, readings.pods.is_some());
        let began = Instant::now();
        let pipeline = Arc::clone(&self.pipeline);
        let (scored, model) = tokio::task::spawn_blocking(move || {
            let mut pipeline = lock(&pipeline);
            (pipeline.tick(readings), pipeline.model())
        })
        .await?;
        let durations = Durations { summary: summary_took, cadvisor: self.cadvisor_took, score: began.elapsed() };
        if scored.kubelet.is_ok() && known {
            self.last_sample = Some(seconds(at));
        }
        self.dropped.summary += scored.dropped as u64;
        self.note(scored.kubelet.err());
        let report = NodeReport {
            version: VERSION,
            node: self.node.clone(),
            at: Timestamp::now(),
            interval_seconds: self.interval.as_secs_f64(),
            threshold: self.threshold,
            scored_by: SCORED_BY.to_owned(),
            model,
            kubelet: self.kubelet_state(known),
            certificate_ends: self.certificates.as_ref().and_then(|certificates| certificates.ends()),
            pods: scored.pods,
        };
        let failures = Failures { watch: self.pods.failures(), ..self.failures };
        let kind = self.last_error.as_ref().map(KubeletError::kind);
        let snapshot = Snapshot::new(report, self.last_sample, kind, failures, self.dropped, durations);
        self.publish.send_replace(Some(Arc::new(snapshot)));
        Ok(())
    }

    fn kubelet_state(&self, pods_known: bool) -> KubeletState {
        let error = match &self.last_error {
            Some(error) => Some(error.to_string()),
            None if pods_known => None,
            None => Some(NO_PODS.to_owned()),
        };
        KubeletState { up: self.last_error.is_none(), verified: self.kubelet.verifies(), error }
    }

    /// Counts a failure, and logs it when it begins, changes or ends: the same line each tick would bury the rest.
    fn note(&mut self, error: Option<KubeletError>) {
        match &error {
            Some(error) => {
                self.failures.summary += 1;
                if self.last_error.as_ref() != Some(error) {
                    tracing::warn!(%error, "cannot read the kubelet; trying again each tick");
                }
            }
            None if self.last_error.is_some() => tracing::info!("the kubelet is read again"),
            None => {}
        }
        self.last_error = error;
    }

    fn restore(&self) {
        let Some(file) = &self.state_file else { return };
        let restored = match state::load(file) {
            Ok(None) => return,
            Ok(Some(learnt)) => lock(&self.pipeline).restore(&learnt, Timestamp::now()),
            Err(error) => Err(error.to_string()),
        };
        match restored {
            Ok(()) => tracing::info!(file = %file.display(), "going on from what was learnt before"),
            Err(reason) => tracing::warn!(file = %file.display(), reason, "what was saved is not used; learning anew"),
        }
    }

    /// Goes on with the model's new file, or with the one that was read before.
    async fn reload(&mut self) -> Result<(), TickError> {
        let (mut source, pipeline) = (self.source.clone(), Arc::clone(&self.pipeline));
        let (source, loaded) = tokio::task::spawn_blocking(move || {
            let loaded = source.load().map(|detector| {
                let mut pipeline = lock(&pipeline);
                pipeline.replace(detector);
                pipeline.model()
            });
            (source, loaded)
        })
        .await?;
        self.source = source;
        match loaded {
            Ok(model) => tracing::info!(
                name = model.name,
                version = model.version,
                sha256 = model.sha256,
                "the model has changed"
            ),
            Err(reason) => {
                self.failures.model += 1;
                tracing::error!(reason, "the model has changed and cannot be used: going on as before");
            }
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), TickError> {
        self.saved = Instant::now();
        let Some(file) = self.state_file.clone() else { return Ok(()) };
        let pipeline = Arc::clone(&self.pipeline);
        let saved = tokio::task::spawn_blocking(move || {
            let learnt = lock(&pipeline).save(Timestamp::now());
            state::save(&file, &learnt)
        })
        .await?;
        if let Err(error) = saved {
            self.failures.state += 1;
            tracing::warn!(%error, "cannot save what was learnt; a restart would begin anew");
        }
        Ok(())
    }
}

fn lock(pipeline: &Mutex<Pipeline>) -> MutexGuard<'_, Pipeline> {
    pipeline.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where in the interval this node's ticks lie: spread evenly over the nodes, and the same after a restart.
fn offset(node: &str, interval: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    node.hash(&mut hasher);
    interval.mul_f64((hasher.finish() % 1000) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_spread_over_the_interval() {
        let interval = Duration::from_secs(15);
        let offsets: Vec<Duration> = (0..1000).map(|node| offset(&format!("node{node}"), interval)).collect();
        assert!(offsets.iter().all(|offset| *offset < interval));
        for fifth in 0..5 {
            let part = interval / 5 * fifth..interval / 5 * (fifth + 1);
            let inside = offsets.iter().filter(|offset| part.contains(*offset)).count();
            assert!((150..250).contains(&inside), "{part:?}: {inside}");
        }
        assert_eq!(offset("node1", interval), offset("node1", interval));
    }
}
