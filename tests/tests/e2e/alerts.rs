//! The alerts that ship, while a pod misbehaves and after it was fixed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::{load, wait};

use crate::prometheus::query;

/// Of a pod, a workload or a node; what is only pending has not lasted yet.
const FIRING: &str = r#"ALERTS{alertname=~"Guard(Pod|Workload|Node)Anomalous",alertstate="firing"}"#;

/// Whom the alerts of a query name.
fn named(alerts: &str) -> Result<BTreeSet<String>> {
    let labels = ["pod", "workload", "node"];
    query(alerts)?
        .iter()
        .map(|alert| {
            let name = labels.iter().find_map(|label| alert["metric"][*label].as_str());
            name.map(str::to_owned).with_context(|| format!("an alert that names nobody: {alert}"))
        })
        .collect()
}

/// The alert fires for the pod that has a fault, for no other since all were `calm`, and not any more once `fix` has replaced
/// the pod.
pub(crate) fn one_fires_and_resolves_after_the_fix(
    cluster: &Cluster,
    victim: &str,
    workload: &str,
    calm: Instant,
) -> Result<()> {
    wait::until(&format!("the alert of {victim} to fire"), Duration::from_secs(90), || {
        let named = named(FIRING)?;
        ensure!(named.contains(victim), "firing for {named:?}");
        Ok(Some(()))
    })?;
    crate::rights::bind(cluster)?;
    let fix = ["fix", workload, "-n", load::NAMESPACE, "--action=restart", "--timeout=0"];
    let (_, fixed) = cluster.person("operator").approve(&fix)?;
    ensure!(fixed.code == Some(0), "{fixed:?}");
    wait::until(&format!("the alert of {victim} to resolve"), Duration::from_mins(2), || {
        let named = named(FIRING)?;
        ensure!(named.is_empty(), "firing for {named:?}");
        Ok(Some(()))
    })?;
    let meanwhile = format!("last_over_time({FIRING}[{}s])", calm.elapsed().as_secs());
    assert_eq!(named(&meanwhile)?, [victim.to_owned()].into(), "who was accused meanwhile");
    Ok(())
}
