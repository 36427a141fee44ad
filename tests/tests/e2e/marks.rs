//! Every change that the plugin made bears its marks in the API server's audit log. It runs behind all tests that change something.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::marks::{changes, is_of_the_plugin, kind, lacks};
use guard_tests::person::Person;
use guard_tests::{load, wait};
use serde_json::{Value, json};

use crate::fix::stored;

const SET: &str = "clerk";
const POD: &str = "pod/clerk-0";
const RESTART: [&str; 5] = ["fix", POD, "-n", load::NAMESPACE, "--action=restart"];

pub(crate) fn every_change_bore_its_marks(cluster: &mut Cluster) -> Result<()> {
    let events = cluster.audit(0, is_of_the_plugin)?;
    let mut kinds = BTreeSet::new();
    for change in changes(&events) {
        let lacking = lacks(change);
        ensure!(lacking.is_none(), "{} lacks {}: {change}", kind(change), lacking.unwrap_or_default());
        kinds.insert(kind(change));
    }
    for kind in [
        "create pods/eviction",
        "patch daemonsets",
        "patch deployments",
        "patch deployments/scale",
        "patch nodes",
        "patch pods/resize",
        "patch statefulsets",
    ] {
        ensure!(kinds.contains(kind), "no test did this: {kind}; {kinds:?}");
    }
    Ok(())
}

fn start(cluster: &Cluster) -> Result<()> {
    let labels = json!({"app": SET});
    let pod = json!({"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 1,
        "containers": [{"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never"}]}});
    let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": SET, "namespace": load::NAMESPACE},
        "spec": {"replicas": 2, "serviceName": SET, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels}, "template": pod}});
    cluster.admin().apply(&set.to_string())?;
    is_ready(&cluster.admin())
}

fn is_ready(admin: &Person) -> Result<()> {
    admin.wait_for_rollout(load::NAMESPACE, "statefulset/clerk")
}

fn uid(admin: &Person) -> Result<String> {
    admin.kubectl(&["-n", load::NAMESPACE, "get", POD, "-o", "jsonpath={.metadata.uid}"])
}

/// One pod is restarted by its UID: another one of the same name, which a StatefulSet makes, is not the one that was shown.
pub(crate) fn a_pod_is_restarted_by_its_identity(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    start(cluster)?;
    let (admin, operator) = (cluster.admin(), cluster.person("operator"));
    let mark = cluster.audit_mark();
    let shown = operator.guard(&[&RESTART[..], &["--dry-run=server"]].concat())?;
    ensure!(shown.code == Some(0), "{shown:?}");
    ensure!(stored(&cluster.audit_since(mark, "operator")?).is_empty(), "a dry run changed something");
    let first = uid(&admin)?;
    admin.kubectl(&["-n", load::NAMESPACE, "delete", POD])?;
    wait::until("another pod of the name", Duration::from_mins(1), || Ok((uid(&admin)? != first).then_some(())))?;
    is_ready(&admin)?;
    let stale = operator.guard(&[&RESTART[..], &["--approve", shown.digest()?]].concat())?;
    ensure!(stale.code == Some(4), "another pod has the name: {stale:?}");

    let (mark, second) = (cluster.audit_mark(), uid(&admin)?);
    let (_, done) = operator.approve(&[&RESTART[..], &["--timeout=0"]].concat())?;
    ensure!(done.code == Some(0), "{done:?}");
    let events = cluster.audit_since(mark, "operator")?;
    let change = changes(&events).next().context("no change")?;
    ensure!(change["requestObject"].to_string().contains(&second), "{change}");
    wait::until("the pod to be another", Duration::from_mins(1), || Ok((uid(&admin)? != second).then_some(())))?;
    let history: Value = serde_json::from_str(&operator.guard(&["history", "-o", "json"])?.out)?;
    let entry = history.as_array().and_then(|all| all.last()).context("no history")?;
    let undo = operator.guard(&["undo", entry["id"].as_str().unwrap_or_default()])?;
    ensure!(undo.code == Some(6) && undo.err.contains("cannot be undone"), "{undo:?}");
    admin.kubectl(&["-n", load::NAMESPACE, "delete", "statefulset", SET]).map(drop)
}
