//! The worst pods and nothing else: what is asked and told does not grow with the cluster, but for the scores that
//! Prometheus itself looks at.

use std::collections::BTreeSet;

use guard_model::sample::PodFacts;
use jiff::Timestamp;

use super::join::{join, nobody};
use super::{About, Answers, Matcher, read, select, within};
use crate::error::Error;
use crate::prometheus::{Answer, Prometheus, PrometheusError, Series};
use crate::scores::Scores;

/// Which pods are sought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Among {
    /// Those over their line that nobody has muted.
    OverTheirLine,
    /// All that have at least this score, 0 to 1.
    Scored(f64),
}

/// The worst pods, and how many there are.
#[derive(Clone, Debug)]
pub struct Worst {
    /// Namespace and name of each.
    pub names: Vec<(String, String)>,
    /// What is told of them and of their exporters.
    pub answers: Answers,
    /// Pods that have a score.
    pub watched: usize,
    /// Pods over their line that nobody has muted.
    pub anomalous: usize,
}

impl Worst {
    /// The scores, given what the user sees of these pods.
    ///
    /// # Errors
    /// If series cannot be told apart, or nothing is told of an exporter.
    pub fn scores(&self, facts: &[PodFacts], now: Timestamp) -> Result<Scores, Error> {
        if self.names.is_empty() { Ok(nobody(&self.answers)) } else { join(&self.answers, facts, now) }
    }
}

/// What makes a pod the same pod in two metrics.
const SAME: &str = "on (cluster, namespace, pod, node, instance)";

/// Asks for the `limit` worst pods of `namespace`, or of all.
///
/// # Errors
/// If Prometheus does not answer, refuses, is none, has no scores, or knows several clusters.
pub async fn worst(
    prometheus: &Prometheus,
    matchers: &[Matcher],
    namespace: Option<&str>,
    limit: usize,
    among: Among,
) -> Result<Worst, Error> {
    let [sought, scored, over] = queries(matchers, namespace, limit, among);
    let (sought, scored, over) =
        tokio::try_join!(prometheus.query(&sought), prometheus.query(&scored), prometheus.query(&over))?;
    let server = || prometheus.name().to_owned();
    if scored.series.len() > 1 {
        let cluster = |series: &Series| series.label("cluster").unwrap_or("(no name)").to_owned();
        let clusters = scored.series.iter().map(cluster).collect();
        return Err(PrometheusError::SeveralClusters { server: server(), clusters }.into());
    }
    let watched = count(&scored);
    if watched == 0 {
        return Err(PrometheusError::NoSeries { server: server() }.into());
    }
    let label = |series: &Series, name: &str| series.label(name).map(str::to_owned);
    let names: BTreeSet<(String, String)> =
        sought.series.iter().filter_map(|series| Some((label(series, "namespace")?, label(series, "pod")?))).collect();
    let pods: BTreeSet<&str> = names.iter().map(|(_, pod)| pod.as_str()).collect();
    // Where one has no node, all exporters are asked for: the pod may be any one's.
    let nodes: Option<BTreeSet<&str>> = sought.series.iter().map(|series| series.label("node")).collect();
    let about = About {
        namespace,
        pods: Some(pods.into_iter().collect()),
        nodes: nodes.map(|nodes| nodes.into_iter().collect()),
    };
    let mut answers = read(prometheus, matchers, &about).await?;
    answers.states.warnings.extend([&sought, &scored, &over].into_iter().flat_map(|answer| answer.warnings.clone()));
    Ok(Worst { names: names.into_iter().collect(), answers, watched, anomalous: count(&over) })
}

/// Queries for the pods sought, for how many have a score, and for how many are over their line.
fn queries(matchers: &[Matcher], namespace: Option<&str>, limit: usize, among: Among) -> [String; 3] {
    let of = select(matchers, &within(namespace));
    let over = format!("(guard_pod_anomaly_since_timestamp_seconds{of} unless {SAME} guard_pod_muted{of})");
    let sought = match among {
        Among::OverTheirLine => format!("guard_pod_anomaly_score{of} and {SAME} {over}"),
        Among::Scored(least) => format!("guard_pod_anomaly_score{of} >= {least}"),
    };
    [
        format!("topk({limit}, {sought})"),
        format!("count by (cluster) (guard_pod_anomaly_score{of})"),
        format!("count({over})"),
    ]
}

/// The one figure of an answer; nothing counted is no series.
fn count(answer: &Answer) -> usize {
    answer.series.first().and_then(Series::value).map_or(0, |value| value as usize)
}

#[cfg(test)]
mod tests;
