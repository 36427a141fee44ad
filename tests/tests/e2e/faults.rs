//! One fault after the other, each in one pod of the load: it is the top row, with the right reason, and nobody else is
//! accused.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::suite::note;
use guard_tests::{load, wait};

use crate::outages::Exporter;
use crate::status::{leading_cause, load_rows, wait_for_calm};

/// A fault must be on top of the table within this.
const FOUND_WITHIN: Duration = Duration::from_secs(90);

/// Starts a fault in one pod and waits until `status` has it on top for one of these causes. No other pod may be over
/// its line meanwhile, but for `already` known ones.
pub(crate) fn is_found(
    cluster: &Cluster,
    service: &str,
    fault: &str,
    causes: &[&str],
    already: &[&str],
) -> Result<String> {
    let victim = load::pod(cluster, service)?;
    load::fault(cluster, &victim, fault, Duration::from_mins(2))?;
    let admin = cluster.admin();
    let mut accused = Vec::new();
    wait::until(&format!("{fault} in {victim} to be the top row"), FOUND_WITHIN, || {
        let rows = load_rows(&admin)?;
        let others = rows.iter().filter(|row| row["name"] != victim && row["state"] == "anomalous");
        let others =
            others.filter(|row| !already.iter().any(|name| row["name"].as_str().is_some_and(|n| n.starts_with(name))));
        accused.extend(others.map(|row| format!("{} {} {}", row["name"], row["score"], row["reasons"])));
        let top = rows.first().context("no rows")?;
        ensure!(
            top["name"] == victim && top["state"] == "anomalous" && causes.contains(&leading_cause(top)),
            "the top row is {} {} {} {}",
            top["name"],
            top["state"],
            top["score"],
            top["reasons"]
        );
        Ok(Some(()))
    })?;
    ensure!(accused.is_empty(), "untouched pods are over the line: {}", accused.join("\n"));
    Ok(victim)
}

/// Ten times the usual traffic, in a pod without limits. The same exporter with a model that says nothing watches the
/// same node at the same time and must not find it: it is the model that does.
pub(crate) fn a_fault_that_no_rule_sees_is_found_by_the_model(cluster: &mut Cluster) -> Result<()> {
    let zero = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/golden/zero.onnx");
    let node = crate::outages::node_of(cluster, &load::pod(cluster, "feed")?)?;
    let control = Exporter::start(cluster, "zero", &node, &["--model", zero])?;
    let start = std::time::Instant::now();
    let progress = |what: &str| note(&format!("{what} after {} s", start.elapsed().as_secs()));
    control.wait_until("the control to have learnt its pods", Duration::from_mins(7), |report| {
        let pods = report["pods"].as_array()?;
        (!pods.is_empty() && pods.iter().all(|pod| pod["state"] != "learning")).then_some(())
    })?;
    progress("the control has learnt its pods");
    wait_for_calm(cluster)?;
    progress("all pods are calm");
    let victim = is_found(cluster, "feed", "egress", &["transmit"], &[])?;
    progress("the fault is found");
    let seen = control.wait_until("the control to have measured it", Duration::from_secs(30), |report| {
        let pod = report["pods"].as_array()?.iter().find(|pod| pod["name"] == victim.as_str())?;
        let latest = pod["history"].as_array()?.last()?;
        (latest["transmit"].as_f64()? > 250_000.0).then(|| pod.clone())
    })?;
    assert_eq!(seen["state"], "ok", "found without a model: {seen}");
    load::fault(cluster, &victim, "none", Duration::ZERO)
}

pub(crate) fn a_cpu_hog_is_the_top_row(cluster: &mut Cluster) -> Result<()> {
    wait_for_calm(cluster)?;
    let victim = is_found(cluster, "resize", "cpu", &["cpu", "cpu_at_limit"], &[])?;
    load::fault(cluster, &victim, "none", Duration::ZERO)
}

pub(crate) fn a_crash_loop_is_the_top_row(cluster: &mut Cluster) -> Result<()> {
    wait_for_calm(cluster)?;
    is_found(cluster, "mail", "crash", &["crash_loop"], &[]).map(drop)
}

pub(crate) fn a_leak_ends_in_an_oom_kill_on_top(cluster: &mut Cluster) -> Result<()> {
    is_found(cluster, "cache", "leak", &["oom_killed"], &["mail"])?;
    crate::fix::is_proposed(cluster, "deployment/cache")
}
