//! As many pods as a node takes, all of them replaced, again and again: `tests/run --faults`. The 500 a minute of a kubelet that
//! is played (`faults/kubelet.rs`) are more than real ones can be; these are real.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::inject::exporters;
use guard_tests::person::Person;
use guard_tests::process::resident;
use guard_tests::survival::survive;
use guard_tests::wait;
use serde_json::json;

use crate::status::{rows, wait_for_calm};

const TIMES: usize = 5;
const NODE: &str = "node1";
/// A kubelet's own limit, unless it is told otherwise.
const PODS_OF_A_NODE: usize = 110;
/// For a hundred containers on two cores.
const LONG: Duration = Duration::from_mins(10);
const SOON: Duration = Duration::from_mins(2);
/// What memory may have grown by at the end.
const GROWTH: f64 = 0.05;
const MIB: f64 = 1_048_576.0;

pub(crate) fn all_pods_of_a_node_are_replaced(cluster: &mut Cluster) -> Result<()> {
    wait_for_calm(cluster)?;
    let admin = cluster.admin();
    let crowd = PODS_OF_A_NODE - pods(&admin, &["-A", "--field-selector", &format!("spec.nodeName={NODE}")])?.len();
    gather(&admin, crowd)?;
    let pid = exporter()?;
    let began = resident(pid)?;
    let mut memory = began;
    let claim = format!(
        "{crowd} pods each time; every new one has its row and no old one has; the same process, of no more than {:.0} % or 1 MiB more memory than with the first {crowd}",
        GROWTH * 100.0
    );
    survive("cluster", "all pods of a node replaced", &claim, TIMES, |_| {
        admin.kubectl(&["rollout", "restart", "deployment/crowd"])?;
        everyone_is_known(&admin)?;
        ensure!(exporter()? == pid, "the exporter was restarted");
        memory = resident(pid)?;
        let limit = (began as f64 * (1.0 + GROWTH)).max(began as f64 + MIB);
        ensure!(memory as f64 <= limit, "{:.1} MiB, {:.1} MiB before", memory as f64 / MIB, began as f64 / MIB);
        Ok(())
    })?;
    guard_tests::suite::note(&format!("{:.1} MiB, and {:.1} MiB", began as f64 / MIB, memory as f64 / MIB));
    admin.kubectl(&["delete", "deployment", "crowd", "--wait"]).map(drop)
}

/// So many pods that do nothing, on the one node; all end before the next ones come, as the node has no room for both.
fn gather(admin: &Person, pods: usize) -> Result<()> {
    let labels = json!({"app": "crowd"});
    let crowd = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "crowd", "namespace": "default"},
    "spec": {"replicas": pods, "selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}, "template": {
        "metadata": {"labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "nodeSelector": {"kubernetes.io/hostname": NODE},
            "containers": [{"name": "pause", "image": "guard.test/pause:1", "imagePullPolicy": "Never"}],
        }}}});
    admin.apply(&crowd.to_string())?;
    everyone_is_known(admin)
}

/// Waits until the pods of the crowd, and no others, have a row that an exporter made.
fn everyone_is_known(admin: &Person) -> Result<()> {
    admin.kubectl(&["rollout", "status", &format!("--timeout={}s", LONG.as_secs()), "deployment/crowd"])?;
    wait::until("a row for each pod of the crowd", SOON, || {
        let there = pods(admin, &["-l", "app=crowd"])?;
        let scored = rows(admin)?.into_iter().filter(|row| row["state"].is_string());
        let names = scored.filter_map(|row| row["name"].as_str().map(str::to_owned));
        let known: BTreeSet<String> = names.filter(|name| name.starts_with("crowd-")).collect();
        ensure!(known == there, "{} rows for {} pods", known.len(), there.len());
        Ok(Some(()))
    })
}

/// The names of the pods that kubectl selects so.
fn pods(admin: &Person, selection: &[&str]) -> Result<BTreeSet<String>> {
    let columns = ["get", "pods", "--no-headers", "-o", "custom-columns=:metadata.name"];
    Ok(admin.kubectl(&[&columns, selection].concat())?.lines().map(|name| name.trim().to_owned()).collect())
}

/// The exporter of the node.
fn exporter() -> Result<u32> {
    let pid = exporters()?.remove(NODE).context("the node has no exporter")?;
    Ok(u32::try_from(pid.as_raw())?)
}
