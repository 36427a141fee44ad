//! Scores from a Prometheus that scrapes the exporters: a few queries about now, in, [`Answers`] out; [`join`] makes
//! reports of them.
//!
//! Every query is an instant one, but [`history`], about one pod and one hour, and [`used`], about the pods of one workload
//! and one day: what it costs grows with the pods, never with the past that is kept of them.

use std::str::FromStr;

use crate::error::Error;
use crate::prometheus::{Answer, Prometheus, PrometheusError, Series, encoded};
use crate::sanitise;

mod history;
mod join;
mod used;
mod worst;

pub use history::history;
pub use join::join;
pub use used::{Used, used};
pub use worst::{Among, Worst, worst};

/// What exporters tell of pods, besides their state.
const OF_PODS: &str = "guard_pod_anomaly_score|guard_pod_anomaly_since_timestamp_seconds|\
    guard_pod_feature_deviation|guard_pod_feature_seen|guard_pod_feature_expected";
/// What exporters tell of themselves.
const OF_NODES: &str = "guard_exporter_build_info|guard_score_threshold|guard_tick_interval_seconds|\
    guard_model_info|guard_model_loaded|guard_kubelet_up|guard_kubelet_tls_verified|guard_kubelet_error_info|\
    guard_last_sample_timestamp_seconds";

/// So much of an address may be names; what the API server passes on has to fit into one, with names of pods and of nodes.
const MOST_OF_NAMES: usize = 20_000;

/// A label that series must have with this value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matcher {
    label: String,
    value: String,
}

impl Matcher {
    fn new(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), value: value.to_owned() }
    }

    /// The label that it is about.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// Whether `series` has the label with this value; `None` if it does not have the label at all.
    pub(crate) fn fits(&self, series: &Series) -> Option<bool> {
        series.label(&self.label).map(|value| value == self.value)
    }

    /// As PromQL writes it.
    pub(crate) fn text(&self) -> String {
        let value = self.value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        format!("{}=\"{value}\"", self.label)
    }
}

impl FromStr for Matcher {
    type Err = PrometheusError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
        let is_label =
            |name: &str| name.starts_with(starts) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match text.split_once('=') {
            Some((label, value)) if is_label(label) && !value.is_empty() => Ok(Self::new(label, value)),
            _ => Err(PrometheusError::Matcher { text: sanitise::line(text) }),
        }
    }
}

/// Everything that was asked for. Its text is sanitised.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Who was asked.
    server: String,
    /// The state of each pod.
    states: Answer,
    /// What else is told of pods.
    pods: Answer,
    /// What exporters tell of themselves.
    nodes: Answer,
    /// When the pods of each exporter were last scraped.
    scraped: Answer,
    /// Exporters that cannot be scraped.
    down: Answer,
}

impl Answers {
    fn all(&self) -> [&Answer; 5] {
        [&self.states, &self.pods, &self.nodes, &self.scraped, &self.down]
    }
}

/// What is asked about.
#[derive(Clone, Debug, Default)]
pub struct About<'a> {
    /// Pods of this namespace, or of all.
    pub namespace: Option<&'a str>,
    /// Pods of these names, or all.
    pub pods: Option<Vec<&'a str>>,
    /// What is on these nodes, or on all.
    pub nodes: Option<Vec<&'a str>>,
}

impl About<'_> {
    /// The same in pieces, the names of each short enough for one query.
    fn pieces(&self) -> Vec<Self> {
        match &self.pods {
            Some(pods) if !pods.is_empty() => {
                pieces(pods).into_iter().map(|pods| Self { pods: Some(pods), ..self.clone() }).collect()
            }
            _ => vec![self.clone()],
        }
    }

    /// The same, about all nodes if the names of these are too long for a query.
    fn of_few_nodes(&self) -> Self {
        let nodes = self.nodes.clone().filter(|nodes| pieces(nodes).len() < 2);
        Self { nodes, ..self.clone() }
    }

    fn of_nodes(&self) -> Vec<String> {
        self.nodes.iter().map(|nodes| one_of("node", nodes)).collect()
    }

    fn of_pods(&self) -> Vec<String> {
        let pods = self.pods.iter().map(|pods| one_of("pod", pods));
        within(self.namespace).into_iter().chain(pods).chain(self.of_nodes()).collect()
    }
}

/// Asks for pods, and for their exporters.
///
/// # Errors
/// If Prometheus does not answer, or refuses, or is none.
pub async fn read(prometheus: &Prometheus, matchers: &[Matcher], about: &About<'_>) -> Result<Answers, Error> {
    let about = about.of_few_nodes();
    let [.., nodes, _, down] = queries(matchers, &about);
    let ([states, pods, scraped], nodes, down) =
        tokio::try_join!(read_pods(prometheus, matchers, &about), prometheus.query(&nodes), prometheus.query(&down),)?;
    Ok(Answers { server: prometheus.name().to_owned(), states, pods, nodes, scraped, down })
}

/// Asks for states, pods and scrapes, of as many pods at once as a query can name.
async fn read_pods(prometheus: &Prometheus, matchers: &[Matcher], about: &About<'_>) -> Result<[Answer; 3], Error> {
    let mut whole: [Answer; 3] = Default::default();
    for piece in about.pieces() {
        let [states, pods, _, scraped, _] = queries(matchers, &piece);
        let (states, pods, scraped) =
            tokio::try_join!(prometheus.query(&states), prometheus.query(&pods), prometheus.query(&scraped))?;
        for (whole, part) in whole.iter_mut().zip([states, pods, scraped]) {
            whole.append(part);
        }
    }
    Ok(whole)
}

/// Only what is of this namespace, if there is one.
pub(crate) fn within(namespace: Option<&str>) -> Vec<String> {
    namespace.map(|name| Matcher::new("namespace", name).text()).into_iter().collect()
}

/// A selector of these matchers, and of `own` ones, written as PromQL.
pub(crate) fn select(matchers: &[Matcher], own: &[String]) -> String {
    let all: Vec<String> = own.iter().cloned().chain(matchers.iter().map(Matcher::text)).collect();
    format!("{{{}}}", all.join(","))
}

/// A matcher of a label that has one of these values. Names in Kubernetes have no character but the dot that a pattern
/// could take for more than it is; a value that is no such name is left out.
pub(crate) fn one_of(label: &str, values: &[&str]) -> String {
    let is_name =
        |value: &&&str| value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':'));
    let values: Vec<String> = values.iter().filter(is_name).map(|value| value.replace('.', r"\\.")).collect();
    format!("{label}=~\"{}\"", values.join("|"))
}

/// `names` in pieces, each of which an address can hold beside the rest of a query.
pub(crate) fn pieces<'a>(names: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut pieces: Vec<Vec<&str>> = Vec::new();
    let mut left = 0;
    for name in names {
        let length = encoded(&one_of("", &[name])).len();
        if let Some(piece) = pieces.last_mut().filter(|_| length <= left) {
            piece.push(name);
        } else {
            pieces.push(vec![name]);
            left = MOST_OF_NAMES;
        }
        left = left.saturating_sub(length);
    }
    pieces
}

/// The queries for states, pods, nodes, scrapes and exporters that are down.
fn queries(matchers: &[Matcher], about: &About<'_>) -> [String; 5] {
    let name = |names: &str| format!("__name__=~\"{names}\"");
    let (own, of_nodes) = (about.of_pods(), about.of_nodes());
    let of_pods = |first: &[String]| select(matchers, &[first, &own].concat());
    [
        format!("guard_pod_state{} == 1", of_pods(&[])),
        of_pods(&[name(OF_PODS)]),
        select(matchers, &[&[name(OF_NODES)], &of_nodes[..]].concat()),
        format!(
            "max by (cluster, node, instance) (timestamp(guard_pod_state{}))",
            of_pods(&["state=\"ok\"".to_owned()])
        ),
        format!("up{} == 0", select(matchers, &["job=\"guard-exporter\"".to_owned()])),
    ]
}

#[cfg(test)]
mod tests;
