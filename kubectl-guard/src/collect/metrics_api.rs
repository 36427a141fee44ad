//! CPU and memory from metrics.k8s.io, where somebody serves it (metrics-server, prometheus-adapter).

use std::collections::HashMap;

use guard_model::quantity;
use guard_model::recording::Tick;
use guard_model::sample::{Measures, Phase, PodFacts};
use guard_model::table::Row;
use jiff::Timestamp;
use serde::Deserialize;

use super::{LARGEST_LIST, Look, encoded, get, row};
use crate::connect::Connection;
use crate::error::Error;
use crate::flags::Selection;
use crate::pods;
use crate::request::Request;

#[derive(Deserialize)]
struct List {
    items: Vec<PodMetrics>,
}

#[derive(Deserialize)]
struct PodMetrics {
    metadata: Meta,
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Meta {
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Container {
    usage: HashMap<String, String>,
}

impl PodMetrics {
    /// The sum over its containers; unknown if one of them is.
    fn used(&self, what: &str) -> Option<f64> {
        self.containers.iter().map(|container| quantity::value(container.usage.get(what)?)).sum()
    }
}

/// Reads the selected pods.
pub(super) async fn look(
    connection: &Connection,
    selection: &Selection,
    at: Timestamp,
    facts: &[PodFacts],
) -> Result<Look, Error> {
    let namespace = pods::scope(connection, selection);
    let request = Request { verb: "list", resource: "pods", group: "metrics.k8s.io", namespace };
    let place = namespace.map(|name| format!("/namespaces/{}", encoded(name))).unwrap_or_default();
    let labels = [("labelSelector", selection.selector.as_deref())];
    let body =
        get(connection, request, &format!("/apis/metrics.k8s.io/v1beta1{place}/pods"), &labels, LARGEST_LIST).await?;
    let list: List = serde_json::from_str(&body).map_err(|error| request.unreadable(&error))?;
    let metrics: HashMap<(&str, &str), &PodMetrics> =
        list.items.iter().map(|pod| ((pod.metadata.namespace.as_str(), pod.metadata.name.as_str()), pod)).collect();
    let alive = facts.iter().filter(|facts| facts.phase != Phase::Succeeded);
    let rows =
        alive.map(|facts| used_by(at, facts, metrics.get(&(facts.namespace.as_str(), facts.name.as_str())).copied()));
    let raw = Tick { at, ..Tick::default() };
    Ok(Look { rows: rows.collect(), raw, unmeasured: None, warnings: Vec::new() })
}

fn used_by(at: Timestamp, facts: &PodFacts, used: Option<&PodMetrics>) -> Row {
    let share = |used: Option<f64>, limit: Option<f64>| Some(used? / limit.filter(|limit| *limit > 0.0)?);
    let (cpu, memory) = (used.and_then(|pod| pod.used("cpu")), used.and_then(|pod| pod.used("memory")));
    let measures = Measures {
        cpu_cores: cpu,
        cpu_limit_share: share(cpu, facts.cpu_limit_cores),
        memory_bytes: memory,
        memory_limit_share: share(memory, facts.memory_limit_bytes),
        ..Measures::default()
    };
    row(at, facts, measures)
}
