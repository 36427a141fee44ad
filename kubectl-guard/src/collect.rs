//! Metrics of pods without an exporter, read through the API server with the user's own rights.
//!
//! The kubelets, through `nodes/proxy` ([`kubelets`]), give all that an exporter sees. Who may not ask them gets CPU and
//! memory from metrics.k8s.io ([`metrics_api`]). Either way a reading becomes rows of `pod_metrics.csv`, and a reading of
//! the kubelets can be kept in a recording, without what could be a secret ([`spare`]).

use std::collections::HashMap;

use futures::AsyncReadExt as _;
use guard_model::recording::{MAX_TICK, Tick};
use guard_model::sample::{self, Measures, PodFacts, PodSample};
use guard_model::table::{Number, Row};
use http::Request as HttpRequest;
use jiff::Timestamp;

use self::own::Own;
use crate::connect::Connection;
use crate::error::Error;
use crate::flags::Selection;
use crate::request::Request;
use crate::{pods, sanitise};

pub mod file;
mod kubelets;
mod metrics_api;
pub mod own;
mod spare;

/// A list of the API server is as long as the cluster is large: it may have what all of a recording's tick may.
const LARGEST_LIST: usize = MAX_TICK;

/// Where metrics come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Source {
    /// The kubelets, through nodes/proxy: all that an exporter sees
    Kubelet,
    /// The metrics API (metrics-server): CPU and memory only
    Metrics,
}

/// What one look gives.
#[derive(Debug)]
pub struct Look {
    /// One row a pod that could be measured.
    pub rows: Vec<Row>,
    /// What was read, for a recording, without what could be a secret; of the kubelets only, and empty if nobody keeps it.
    pub raw: Tick,
    /// Why there are no measurements at all: no kubelet answered. The rows hold what the API server states.
    pub unmeasured: Option<Error>,
    /// What could not be read, a line each.
    pub warnings: Vec<String>,
}

/// The row of a pod with what was measured of it, if anything was.
fn row(at: Timestamp, facts: &PodFacts, measures: Measures) -> Row {
    let (facts, metrics) = (facts.clone(), Vec::new());
    Row::of(at, &PodSample { at: sample::seconds(at), fresh: true, reset: false, facts, measures, metrics })
}

/// Looks again and again.
pub struct Collector<'a> {
    connection: &'a Connection,
    selection: &'a Selection,
    source: Source,
    own: Option<&'a Own>,
    keeps: bool,
    kubelets: kubelets::Kubelets,
    /// A first look succeeded: what fails later may be a moment's weakness.
    begun: bool,
}

impl<'a> Collector<'a> {
    /// Reads from this source, and adds metrics of the user's own.
    fn new(connection: &'a Connection, selection: &'a Selection, source: Source, own: Option<&'a Own>) -> Self {
        let kubelets = kubelets::Kubelets::default();
        Self { connection, selection, source, own, keeps: false, kubelets, begun: false }
    }

    /// Reads all selected pods once.
    ///
    /// # Errors
    /// If the pods cannot be listed, no kubelet may be asked, or the metrics API does not answer. Kubelets that may be asked and
    /// do not answer are no error: what the API server states of their pods is worth its rows.
    pub async fn look(&mut self, at: Timestamp) -> Result<Look, Error> {
        let (body, facts) = list(self.connection, self.selection, self.pods()).await?;
        let mut look = match self.source {
            Source::Kubelet => self.kubelets.look(self.connection, at, &facts).await?,
            Source::Metrics => metrics_api::look(self.connection, self.selection, at, &facts).await?,
        };
        if self.keeps {
            look.raw.pods = Some(spare::spared(&body).map_err(|error| self.pods().unreadable(&error))?);
        }
        match warning_events(self.connection, self.selection).await {
            Ok((body, counts)) => {
                look.raw.events = self.keeps.then(|| body.into_bytes());
                for row in &mut look.rows {
                    let count = counts.get(&(row.namespace.clone(), row.pod.clone())).copied().unwrap_or(0.0);
                    row.set(Number::Warnings, Some(count));
                }
            }
            Err(error) => look.warnings.push(format!("{error}: warning events are not counted")),
        }
        if let Some(own) = self.own {
            let namespace = pods::scope(self.connection, self.selection);
            match own.add(&mut look.rows, namespace).await {
                Ok(warnings) => look.warnings.extend(warnings),
                Err(error) if self.begun => look.warnings.push(format!("{error}: the metrics of your own are unknown")),
                Err(error) => return Err(error),
            }
        }
        self.begun = true;
        Ok(look)
    }

    fn pods(&self) -> Request<'a> {
        let namespace = pods::scope(self.connection, self.selection);
        Request { verb: "list", resource: "pods", group: "", namespace }
    }
}

/// The first look decides where metrics come from: unless somebody chose, the kubelets, or the metrics API for who may not
/// ask them. It does not help who `keeps` readings as they came: those are the kubelets'.
///
/// # Errors
/// If metrics cannot be read.
pub async fn begin<'a>(
    connection: &'a Connection,
    selection: &'a Selection,
    source: Option<Source>,
    keeps: bool,
    own: Option<&'a Own>,
    at: Timestamp,
    warn: impl Fn(&str),
) -> Result<(Collector<'a>, Look), Error> {
    let mut collector = Collector::new(connection, selection, source.unwrap_or(Source::Kubelet), own);
    collector.keeps = keeps;
    let refused = match collector.look(at).await {
        Err(error @ Error::Forbidden { .. }) if source.is_none() && !keeps => error,
        answer => return Ok((collector, answer?)),
    };
    let mut collector = Collector::new(connection, selection, Source::Metrics, own);
    match collector.look(at).await {
        Ok(look) => {
            warn(&format!("{refused}: CPU and memory only, from the metrics API"));
            Ok((collector, look))
        }
        Err(error) => {
            warn(&format!("the metrics API does not help either: {error}"));
            Err(refused)
        }
    }
}

/// Times of a table are whole seconds.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The pods, as the API server gave them and as facts.
async fn list(
    connection: &Connection,
    selection: &Selection,
    request: Request<'_>,
) -> Result<(String, Vec<PodFacts>), Error> {
    let namespace = request.namespace;
    let labels = ("labelSelector", selection.selector.as_deref());
    let fields = ("fieldSelector", selection.field_selector.as_deref());
    let body = get(connection, request, &format!("{}/pods", core(namespace)), &[labels, fields], LARGEST_LIST).await?;
    let facts = guard_model::pod::pods(body.as_bytes()).map_err(|error| request.unreadable(&error))?;
    Ok((body, facts.into_iter().map(pods::sanitised).collect()))
}

/// Warning events, as the API server gave them and as a count for each pod.
async fn warning_events(
    connection: &Connection,
    selection: &Selection,
) -> Result<(String, HashMap<(String, String), f64>), Error> {
    #[derive(serde::Deserialize)]
    struct List {
        items: Vec<k8s_openapi::api::core::v1::Event>,
    }
    let namespace = pods::scope(connection, selection);
    let request = Request { verb: "list", resource: "events", group: "", namespace };
    let fields = [("fieldSelector", Some("involvedObject.kind=Pod,type=Warning"))];
    let body = get(connection, request, &format!("{}/events", core(namespace)), &fields, LARGEST_LIST).await?;
    let list: List = serde_json::from_str(&body).map_err(|error| request.unreadable(&error))?;
    let mut counts = HashMap::new();
    for event in list.items {
        let object = event.involved_object;
        let count = event.series.as_ref().and_then(|series| series.count).or(event.count).unwrap_or(1);
        let clean = |text: Option<String>| sanitise::line(&text.unwrap_or_default());
        *counts.entry((clean(object.namespace), clean(object.name))).or_insert(0.0) += f64::from(count.max(0));
    }
    Ok((body, counts))
}

/// `/api/v1`, or a namespace of it.
fn core(namespace: Option<&str>) -> String {
    namespace.map_or_else(|| "/api/v1".to_owned(), |name| format!("/api/v1/namespaces/{}", encoded(name)))
}

/// A body as it came; one of more than `largest` bytes is not read to its end.
async fn get(
    connection: &Connection,
    request: Request<'_>,
    path: &str,
    parameters: &[(&str, Option<&str>)],
    largest: usize,
) -> Result<String, Error> {
    let given = parameters.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded((*value)?))));
    let query: Vec<String> = given.collect();
    let uri = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
    let wanted = HttpRequest::get(uri).body(Vec::new()).map_err(|error| request.unreadable(&error))?;
    let answer = connection.client.request_stream(wanted).await.map_err(|error| request.failed(&error))?;
    let mut body = Vec::new();
    let read = answer.take(largest as u64 + 1).read_to_end(&mut body).await;
    read.map_err(|error| request.failed(&kube::Error::ReadEvents(error)))?;
    if body.len() > largest {
        return Err(request.unreadable(&format!("it has more than {largest} bytes")));
    }
    String::from_utf8(body).map_err(|error| request.unreadable(&error))
}

/// What stands for itself in a URI (RFC 3986, unreserved); everything else by its bytes.
fn encoded(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let letter = |byte: u8| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests;
