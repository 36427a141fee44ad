//! What Grafana would ask, asked of a real Prometheus while a pod misbehaves.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use guard_tests::boards::RECORD;
use guard_tests::boards::ask::{self, Span};
use guard_tests::cluster::Cluster;
use guard_tests::dashboards::{Board, boards, filled};
use guard_tests::{load, wait};
use jiff::Timestamp;
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

/// Every query gives data, and one of them the pod by its name; gives what was chosen.
fn check(board: &Board, wanted: &BTreeMap<&str, String>) -> Result<BTreeMap<String, String>> {
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
    Ok(values)
}

/// Goes on with the fault until it is to be seen in a picture: a minute, scraped every second.
fn wait_for_a_minute_of(cluster: &Cluster, victim: &str) -> Result<()> {
    load::fault(cluster, victim, "cpu", Duration::from_mins(3))?;
    let since = format!("count_over_time(guard_pod_anomaly_since_timestamp_seconds{{pod=\"{victim}\"}}[2m])");
    wait::until("a minute of the fault", Duration::from_mins(3), || {
        let seen = query(&since)?;
        let count = seen.first().and_then(|sample| sample["value"][1].as_str()?.parse::<f64>().ok());
        Ok((count.context("nothing is seen")? >= 60.0).then_some(()))
    })
}

/// Keeps what the boards show of this time: for the pictures in the repository if `GUARD_BOARDS` asks for them, or else in
/// `target`.
fn keep(boards: &[Board], chosen: Vec<BTreeMap<String, String>>, begun: Timestamp) -> Result<()> {
    let passing = Path::new(env!("CARGO_TARGET_TMPDIR")).join("boards");
    let folder = if is_for_pictures() { Path::new(RECORD) } else { &passing };
    let span = Span::until(Timestamp::now(), begun);
    for (board, mut values) in boards.iter().zip(chosen) {
        values.insert("__range".to_owned(), span.range());
        ask::record(board, &values, span, prometheus::api)?.write(folder)?;
    }
    Ok(())
}

fn is_for_pictures() -> bool {
    std::env::var_os("GUARD_BOARDS").is_some()
}

pub(crate) fn every_panel_shows_a_fault(cluster: &mut Cluster) -> Result<()> {
    // Begun before all is calm, so that the boards have a time before the fault to show.
    let mut prometheus = prometheus::beside(cluster, "boards")?;
    let begun = Timestamp::now();
    wait_for_calm(cluster)?;
    let calm = Instant::now();
    let victim = faults::is_found(cluster, "resize", "cpu", &["cpu", "cpu_at_limit"], &[])?;
    let node = outages::node_of(cluster, &victim)?;
    let wanted: BTreeMap<&str, String> =
        [("namespace", load::NAMESPACE.to_owned()), ("pod", victim.clone()), ("node", node)].into();
    let boards = boards()?;
    let chosen: Vec<_> = wait::until("every panel of every board to show something", Duration::from_secs(45), || {
        prometheus.check()?;
        boards.iter().map(|board| check(board, &wanted)).collect::<Result<_>>().map(Some)
    })?;
    if is_for_pictures() {
        wait_for_a_minute_of(cluster, &victim)?;
    }
    keep(&boards, chosen, begun)?;
    // The fix ends the fault with its pod.
    alerts::one_fires_and_resolves_after_the_fix(cluster, &victim, "deployment/resize", calm)
}
