//! Where scores come from: every source gives [`NodeReport`]s, and the rest of the plugin does not care which.

use std::collections::{BTreeMap, HashSet};

use guard_model::report::{HistoryPoint, NodeReport};
use guard_model::sample::PodFacts;
use jiff::Timestamp;

use crate::connect::Connection;
use crate::console::Console;
use crate::error::Error;
use crate::plan;
use crate::prometheus::Prometheus;
use crate::sanitise;
use crate::version::{INSTALL_AGAIN, VERSION};

pub mod portforward;
pub mod prometheus;
pub mod recording;

/// The line where no report says one.
pub const DEFAULT_THRESHOLD: f64 = 0.7;

/// Where the scores of a cluster are read from.
pub enum Source {
    /// Its exporters, in this namespace.
    Exporters {
        /// Where they are.
        namespace: String,
    },
    /// A Prometheus that scrapes them.
    Prometheus {
        /// Who is asked.
        prometheus: Box<Prometheus>,
        /// Which of its series are of this cluster.
        matchers: Vec<prometheus::Matcher>,
    },
}

/// What a source tells, before it is known whom it tells it of.
pub enum Told {
    /// Reports, which name pods by their UID.
    Scores(Scores),
    /// Series, which name pods by their name.
    Series(Box<prometheus::Answers>),
}

impl Source {
    /// Asks for the scores of `namespace`, or of all; the exporters always tell all.
    ///
    /// # Errors
    /// If the source cannot be asked, or does not answer.
    pub async fn read(
        &self,
        connection: &Connection,
        namespace: Option<&str>,
        console: &Console,
    ) -> Result<Told, Error> {
        Ok(match self {
            Self::Exporters { namespace } => Told::Scores(portforward::read(connection, namespace, console).await?),
            Self::Prometheus { prometheus, matchers } => {
                let about = prometheus::About { namespace, ..prometheus::About::default() };
                Told::Series(Box::new(prometheus::read(prometheus, matchers, &about).await?))
            }
        })
    }
}

impl Source {
    /// What plans call it.
    pub fn kind(&self) -> plan::Source {
        match self {
            Self::Exporters { .. } => plan::Source::Exporter,
            Self::Prometheus { .. } => plan::Source::Prometheus,
        }
    }

    /// The scores of a pod within the last hour, oldest first; `None` where the report itself holds its history.
    ///
    /// # Errors
    /// If the source does not answer, or refuses.
    pub async fn history(&self, pod: &PodFacts, now: Timestamp) -> Result<Option<Vec<HistoryPoint>>, Error> {
        match self {
            Self::Exporters { .. } => Ok(None),
            Self::Prometheus { prometheus, matchers } => {
                prometheus::history(prometheus, matchers, pod, now).await.map(Some)
            }
        }
    }
}

impl Source {
    /// What the containers of these pods have used within the last day; `None` where the reports themselves hold the record.
    ///
    /// # Errors
    /// If the source does not answer, or refuses.
    pub async fn used(
        &self,
        namespace: &str,
        pods: &[String],
        now: Timestamp,
    ) -> Result<Option<BTreeMap<String, prometheus::Used>>, Error> {
        match self {
            Self::Exporters { .. } => Ok(None),
            Self::Prometheus { prometheus, matchers } => {
                prometheus::used(prometheus, matchers, namespace, pods, now).await.map(Some)
            }
        }
    }
}

impl Told {
    /// The scores, given the pods that the user sees.
    ///
    /// # Errors
    /// If series cannot be told apart, or there are none.
    pub fn of(self, pods: &[PodFacts], now: Timestamp) -> Result<Scores, Error> {
        match self {
            Self::Scores(scores) => Ok(scores),
            Self::Series(answers) => prometheus::join(&answers, pods, now),
        }
    }
}

/// The scores of a cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// One report for each node that answered, by node name. Foreign text in them is sanitised.
    pub reports: Vec<NodeReport>,
    /// Nodes whose exporter was asked in vain.
    pub silent: Vec<Silent>,
    /// What the source itself wants to be known, one line each; sanitised.
    pub notices: Vec<String>,
    /// How much later than from the exporters they may come by this way, in seconds.
    pub lag_seconds: f64,
}

/// A node that should have told its scores and did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silent {
    /// The node.
    pub node: String,
    /// Why.
    pub problem: String,
}

impl Scores {
    /// What the reader should know about these scores, one line each.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let mut warnings = self.notices.clone();
        warnings.extend(self.silences());
        for report in &self.reports {
            let whose = if report.node.is_empty() { "the table".to_owned() } else { format!("node {}", report.node) };
            if let Some(age) = overdue(report, now, self.lag_seconds) {
                warnings.push(format!("scores of {whose} are {} old", guard_model::words::duration(age)));
            }
            if let Some(error) = report.kubelet.error.as_ref().filter(|_| !report.kubelet.up) {
                warnings.push(format!("{whose}: the kubelet cannot be read: {error}"));
            }
            if let Some(error) = report.model.trouble() {
                warnings.push(format!("{whose}: hard facts only where the model says nothing: {error}"));
            }
        }
        warnings.extend(self.skew());
        warnings
    }

    /// The UIDs of pods that a rollout made a short while ago.
    pub fn deployed(&self) -> HashSet<&str> {
        let pods = self.reports.iter().flat_map(|report| &report.pods);
        pods.filter(|pod| pod.deploy).map(|pod| pod.uid.as_str()).collect()
    }

    /// Nodes that gave no scores, and why, one line each.
    pub fn silences(&self) -> Vec<String> {
        let line = |silent: &Silent| format!("no scores from node {}: {}", silent.node, silent.problem);
        self.silent.iter().map(line).collect()
    }

    /// The nodes of each version of the exporter.
    pub fn versions(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for report in &self.reports {
            let version = report.scored_by.rsplit([' ', '/']).next().unwrap_or_default();
            versions.entry(version).or_default().push(&report.node);
        }
        versions
    }

    /// What to say if exporters are not of this plugin's version.
    pub fn skew(&self) -> Option<String> {
        let differs = |version: &&str| !version.is_empty() && *version != VERSION;
        let others: Vec<&str> = self.versions().into_keys().filter(differs).collect();
        let others = (!others.is_empty()).then(|| others.join(", "))?;
        Some(format!(
            "this plugin is version {VERSION}, exporters are {others}; to bring them together, {INSTALL_AGAIN}"
        ))
    }
}

/// How old a report is, in seconds, if there should be a newer one: it is older than a few of its intervals, and than it may be
/// late by the way that it came.
pub fn overdue(report: &NodeReport, now: Timestamp, lag_seconds: f64) -> Option<f64> {
    let age = now.duration_since(report.at).as_secs_f64();
    (age > (4.0 * report.interval_seconds).max(60.0) + lag_seconds).then_some(age)
}

/// Cleans what an exporter says: it could be anybody's.
pub(crate) fn sanitised(mut report: NodeReport) -> NodeReport {
    let clean = |text: &mut String| *text = sanitise::line(text);
    clean(&mut report.node);
    clean(&mut report.scored_by);
    clean(&mut report.model.name);
    clean(&mut report.model.version);
    clean(&mut report.model.sha256);
    report.model.error.iter_mut().chain(&mut report.model.missed).for_each(clean);
    report.kubelet.error.iter_mut().for_each(clean);
    for pod in &mut report.pods {
        clean(&mut pod.namespace);
        clean(&mut pod.name);
        clean(&mut pod.uid);
        if let Some(workload) = &mut pod.workload {
            clean(&mut workload.kind);
            clean(&mut workload.name);
        }
        if let Some(silence) = &mut pod.muted {
            clean(&mut silence.reason);
            clean(&mut silence.by);
        }
        pod.reasons.iter_mut().chain(&mut pod.began).for_each(|reason| clean(&mut reason.text));
        for feature in &mut pod.features {
            clean(feature.name.to_mut());
            clean(feature.unit.to_mut());
        }
        pod.score = pod.score.filter(|score| (0.0..=1.0).contains(score));
    }
    report
}

#[cfg(test)]
mod skew;
#[cfg(test)]
mod tests;
