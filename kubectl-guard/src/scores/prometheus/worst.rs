//! The worst pods and nothing else: what is asked and told does not grow with the cluster, but for the scores that
//! Prometheus itself looks at.

use std::collections::BTreeSet;

use guard_model::sample::PodFacts;
use jiff::Timestamp;

use super::join::{join, nobody};
use super::{About, Answers, Matcher, one_of, pieces, read, select, within};
use crate::error::Error;
use crate::prometheus::{Answer, Prometheus, PrometheusError, Series};
use crate::scores::Scores;

/// Which pods are sought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Among {
    /// Those over their line that nobody has muted.
    OverTheirLine,
    /// Those, and all that have at least this score, 0 to 1.
    OverTheirLineOrScored(f64),
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

/// With fewer pods over their line than this their scores are sought by name, and Prometheus does not look at those of all.
const MANY: usize = 500;

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
    let scored = format!("count by (cluster) (guard_pod_anomaly_score{})", select(matchers, &within(namespace)));
    let over = format!("count({})", over_their_line(matchers, namespace));
    let (sought, scored, over) = tokio::try_join!(
        sought(prometheus, matchers, namespace, limit, among),
        prometheus.query(&scored),
        prometheus.query(&over)
    )?;
    let server = || prometheus.name().to_owned();
    if scored.series.len() > 1 {
        let cluster = |series: &Series| series.label("cluster").unwrap_or("(no name)").to_owned();
        let clusters = scored.series.iter().map(cluster).collect();
        return Err(PrometheusError::SeveralClusters { server: server(), clusters }.into());
    }
    let watched = count(&scored);
    if watched == 0 && !knows_exporters(prometheus, matchers).await? {
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

/// Whether there are exporters at all: a namespace may have no pods, and new ones have no score for the first minutes.
async fn knows_exporters(prometheus: &Prometheus, matchers: &[Matcher]) -> Result<bool, Error> {
    let exporters = format!("count(guard_exporter_build_info{})", select(matchers, &[]));
    Ok(count(&prometheus.query(&exporters).await?) > 0)
}

/// The scores of the `limit` worst pods.
async fn sought(
    prometheus: &Prometheus,
    matchers: &[Matcher],
    namespace: Option<&str>,
    limit: usize,
    among: Among,
) -> Result<Answer, Error> {
    let all = select(matchers, &within(namespace));
    let over = over_their_line(matchers, namespace);
    let scored = |least: f64| format!("guard_pod_anomaly_score{all} >= {least}");
    let is_over = |of: &str| format!("guard_pod_anomaly_score{of} and {SAME} {over}");
    let top = |sought: String| format!("topk({limit}, {sought})");
    match among {
        Among::Scored(least) => prometheus.query(&top(scored(least))).await,
        Among::OverTheirLineOrScored(least) => {
            prometheus.query(&top(format!("{} or {}", scored(least), is_over(&all)))).await
        }
        Among::OverTheirLine => {
            let listed = prometheus.query(&format!("topk({MANY}, {over})")).await?;
            if listed.series.is_empty() {
                return Ok(listed);
            }
            let of: Vec<String> = within(namespace).into_iter().chain(by_name(&listed)).collect();
            let mut worst = prometheus.query(&top(is_over(&select(matchers, &of)))).await?;
            worst.warnings.extend(listed.warnings);
            Ok(worst)
        }
    }
}

/// Pods over their line that nobody has muted, since when.
fn over_their_line(matchers: &[Matcher], namespace: Option<&str>) -> String {
    let of = select(matchers, &within(namespace));
    format!("(guard_pod_anomaly_since_timestamp_seconds{of} unless {SAME} guard_pod_muted{of})")
}

/// A matcher of the names of these pods; none if they are not all there are, or too many for one query.
fn by_name(listed: &Answer) -> Option<String> {
    let names: BTreeSet<&str> = listed.series.iter().filter_map(|series| series.label("pod")).collect();
    let names: Vec<&str> = names.into_iter().collect();
    (listed.series.len() < MANY && pieces(&names).len() < 2).then(|| one_of("pod", &names))
}

/// The one figure of an answer; nothing counted is no series.
fn count(answer: &Answer) -> usize {
    answer.series.first().and_then(Series::value).map_or(0, |value| value as usize)
}

#[cfg(test)]
mod tests;
