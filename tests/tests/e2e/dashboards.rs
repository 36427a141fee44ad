//! What Grafana would ask, asked of a real Prometheus while a pod misbehaves.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::dashboards::{Board, boards, filled};
use guard_tests::{load, wait};
use serde_json::Value;

use crate::prometheus::{self, query};
use crate::status::wait_for_calm;
use crate::{alerts, faults, outages};

/// The values that a person would choose to look at the pod; of the others all, as a board starts.
fn choose(board: &Board, wanted: &BTreeMap<&str, String>) -> Result<BTreeMap<String, String>> {
    let mut values: BTreeMap<String, String> = [("__rate_interval", "10s"), ("__range", "10m")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    for variable in board.variables() {
        let series = query(&filled(&variable.series, &values))?;
        let found = |sample: &Value| Some(sample["metric"][&variable.label].as_str()?.to_owned());
        let found: Vec<String> = series.iter().filter_map(found).collect();
        let value = match (variable.all, wanted.get(variable.name)) {
            (Some(all), _) => all.to_owned(),
            (None, Some(wanted)) => {
                ensure!(found.contains(wanted), "{}: {} is not among {found:?}", board.name, variable.name);
                wanted.clone()
            }
            (None, None) => found.first().with_context(|| format!("{}: no {}", board.name, variable.name))?.clone(),
        };
        // A Prometheus that scrapes one cluster need not name it.
        ensure!(variable.name == "cluster" || !found.is_empty(), "{}: {} has no values", board.name, variable.name);
        values.insert(variable.name.to_owned(), value);
    }
    Ok(values)
}

/// Every query gives data, and one of them the pod by its name.
fn check(board: &Board, wanted: &BTreeMap<&str, String>) -> Result<()> {
    let values = choose(board, wanted)?;
    let mut named = false;
    for asked in board.queries() {
        let expression = filled(asked.expression, &values);
        ensure!(!expression.contains('$'), "{}: {expression}", board.name);
        let series = query(&expression)?;
        ensure!(!series.is_empty(), "{}: panel {:?} is empty: {expression}", board.name, asked.panel);
        named |= series.iter().any(|sample| sample["metric"]["pod"].as_str() == wanted.get("pod").map(String::as_str));
    }
    ensure!(named, "{}: no panel names {:?}", board.name, wanted.get("pod"));
    Ok(())
}

pub(crate) fn every_panel_shows_a_fault(cluster: &mut Cluster) -> Result<()> {
    wait_for_calm(cluster)?;
    let mut prometheus = prometheus::beside(cluster, "boards")?;
    let victim = faults::is_found(cluster, "resize", "cpu", &["cpu", "cpu_at_limit"], &[])?;
    let node = outages::node_of(cluster, &victim)?;
    let wanted: BTreeMap<&str, String> =
        [("namespace", load::NAMESPACE.to_owned()), ("pod", victim.clone()), ("node", node)].into();
    let boards = boards()?;
    wait::until("every panel of every board to show something", Duration::from_secs(45), || {
        prometheus.check()?;
        boards.iter().try_for_each(|board| check(board, &wanted))?;
        Ok(Some(()))
    })?;
    // The fix ends the fault with its pod.
    alerts::one_fires_and_resolves_after_the_fix(cluster, &victim, "deployment/resize")
}
