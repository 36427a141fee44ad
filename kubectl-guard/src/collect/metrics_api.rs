//! CPU and memory from metrics.k8s.io, where somebody serves it (metrics-server, prometheus-adapter).

use std::collections::HashMap;

use guard_model::quantity;
use guard_model::recording::Tick;
use guard_model::sample::{ContainerUse, Measures, Phase, PodFacts};
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
    #[serde(default)]
    name: String,
    usage: HashMap<String, String>,
}

impl Container {
    fn used(&self, what: &str) -> Option<f64> {
        quantity::value(self.usage.get(what)?)
    }
}

impl PodMetrics {
    /// The sum over its containers; unknown if one of them is.
    fn used(&self, what: &str) -> Option<f64> {
        self.containers.iter().map(|container| container.used(what)).sum()
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
    let (cpu_cores, memory_bytes) = (used.and_then(|pod| pod.used("cpu")), used.and_then(|pod| pod.used("memory")));
    let of = |container: &Container| ContainerUse {
        name: container.name.clone(),
        cpu_cores: container.used("cpu"),
        memory_bytes: container.used("memory"),
    };
    let each: Vec<ContainerUse> = used.iter().flat_map(|pod| &pod.containers).map(of).collect();
    let measures = Measures { cpu_cores, memory_bytes, ..Measures::default() };
    row(at, facts, measures.limited(facts, &each.iter()))
}

#[cfg(test)]
mod tests {
    use guard_model::sample::ContainerLimits;
    use guard_model::table::Number;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_at_its_own_limit_is_seen_beside_a_sidecar() {
        let limits = |name: &str, cores| ContainerLimits {
            name: name.into(),
            cpu_cores: Some(cores),
            ..ContainerLimits::default()
        };
        let container_limits = vec![limits("main", 0.5), limits("proxy", 2.0)];
        let facts = PodFacts { cpu_limit_cores: Some(2.5), container_limits, ..PodFacts::default() };
        let used = json!({"metadata": {"namespace": "shop", "name": "cart"}, "containers": [
            {"name": "main", "usage": {"cpu": "490m", "memory": "64Mi"}},
            {"name": "proxy", "usage": {"cpu": "10m", "memory": "32Mi"}}]});
        let row = used_by(Timestamp::UNIX_EPOCH, &facts, Some(&serde_json::from_value(used).unwrap()));
        assert_eq!((row.number(Number::CpuCores), row.number(Number::CpuShare)), (Some(0.5), Some(0.98)));
    }
}
