//! One fault after the other, each in one pod of the load: it is the top row, with the right reason, and nobody else is
//! accused.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::suite::note;
use guard_tests::{load, wait};

use crate::outages::Exporter;
use crate::status::{leading_cause, load_rows, wait_for_calm};

/// A fault must be on top of the table within this.
const FOUND_WITHIN: Duration = Duration::from_secs(90);
/// One that only cadvisor counts, which is read once a minute and believed the second time.
const FOUND_BY_CADVISOR_WITHIN: Duration = Duration::from_secs(200);

/// Starts a fault in one pod and waits until `status` has it on top for one of these causes. No other pod may be over
/// its line meanwhile, but for `already` known ones.
pub(crate) fn is_found(
    cluster: &Cluster,
    service: &str,
    fault: &str,
    causes: &[&str],
    already: &[&str],
) -> Result<String> {
    is_found_within(cluster, (service, fault), causes, already, FOUND_WITHIN)
}

fn is_found_within(
    cluster: &Cluster,
    (service, fault): (&str, &str),
    causes: &[&str],
    already: &[&str],
    limit: Duration,
) -> Result<String> {
    let victim = load::pod(cluster, service)?;
    load::fault(cluster, &victim, fault, limit + Duration::from_secs(30))?;
    let admin = cluster.admin();
    let mut accused = Vec::new();
    wait::until(&format!("{fault} in {victim} to be the top row"), limit, || {
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

/// An exporter with a model that says nothing, and its node.
static CONTROL: Mutex<Option<(String, Exporter)>> = Mutex::new(None);

/// The control on the node where `feed` is now: the one that has begun already, if it is of that node.
fn control(cluster: &Cluster) -> Result<(String, Exporter)> {
    let node = crate::outages::node_of(cluster, &load::pod(cluster, "feed")?)?;
    let begun = CONTROL.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(control) = begun.filter(|(of, _)| *of == node) {
        return Ok(control);
    }
    let zero = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/golden/zero.onnx");
    let control = Exporter::start(cluster, "zero", &node, &["--model", zero])?;
    Ok((node, control))
}

/// It takes five minutes to learn its pods, in which other tests go on.
pub(crate) fn a_control_begins_to_learn(cluster: &mut Cluster) -> Result<()> {
    let (node, control) = control(cluster)?;
    control.wait_until("the control's first report", Duration::from_secs(30), |report| {
        (!report["pods"].as_array()?.is_empty()).then_some(())
    })?;
    *CONTROL.lock().unwrap_or_else(PoisonError::into_inner) = Some((node, control));
    Ok(())
}

/// Ten times the usual traffic, in a pod without limits. The same exporter with a model that says nothing watches the
/// same node at the same time and must not find it: it is the model that does.
pub(crate) fn a_fault_that_no_rule_sees_is_found_by_the_model(cluster: &mut Cluster) -> Result<()> {
    let (_, control) = control(cluster)?;
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

/// Neither its CPU nor its memory nor its traffic says much; what cadvisor counts does.
pub(crate) fn a_pod_that_writes_is_found_by_its_disk(cluster: &mut Cluster) -> Result<()> {
    wait_for_calm(cluster)?;
    let victim = is_found_within(cluster, ("cache", "disk"), &["disk"], &[], FOUND_BY_CADVISOR_WITHIN)?;
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
