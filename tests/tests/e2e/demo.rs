//! The workloads of `manifests/demo`, with their scripts as they are and a busybox of this machine.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{BUSYBOX_IMAGE, Cluster};
use guard_tests::manifests::folder;
use guard_tests::person::Person;
use guard_tests::wait;
use serde_json::Value;

use crate::status::{leading_cause, rows};

const NAMESPACE: &str = "guard-demo";
/// The image that the manifests name.
const IMAGE: &str = "docker.io/library/busybox:1.36.1";
/// How the specification of its CronJob begins its line.
const SCHEDULE: &str = "\n  schedule: ";
const DEPLOYMENTS: [&str; 5] = ["web", "visitors", "worker", "cache", "mail"];

/// The demo's rows.
fn demo_rows(admin: &Person) -> Result<Vec<Value>> {
    Ok(rows(admin)?.into_iter().filter(|row| row["namespace"] == NAMESPACE).collect())
}

/// Switches the fault of a Deployment on in one of its pods, as the page says, and waits until a row tells of it.
fn is_found(admin: &Person, name: &str, causes: &[&str]) -> Result<()> {
    let deployment = format!("deploy/{name}");
    // As the page says, but for the shell: in the image of the tests `touch` is a part of it, and no file.
    admin.kubectl(&["-n", NAMESPACE, "exec", &deployment, "--", "sh", "-c", "touch /state/fault"])?;
    wait::until(&format!("the fault of {name}"), Duration::from_mins(2), || {
        let rows = demo_rows(admin)?;
        let of = |row: &&Value| row["name"].as_str().is_some_and(|pod| pod.starts_with(&format!("{name}-")));
        let worst = rows.iter().find(of).context("no row")?;
        let found = worst["state"] == "anomalous" && causes.contains(&leading_cause(worst));
        ensure!(found, "{} {} {}", worst["name"], worst["state"], worst["reasons"]);
        Ok(Some(()))
    })
}

pub(crate) fn the_demo_runs_restricted_and_its_faults_are_found(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let made = admin.kubectl(&["kustomize", &folder().join("demo").to_string_lossy()])?;
    assert_eq!(made.matches(IMAGE).count(), DEPLOYMENTS.len() + 1, "{made}");
    assert_eq!(made.matches(SCHEDULE).count(), 1, "{made}");
    // A job of the schedule's own would be a pod more, every ten minutes.
    let made = made.replace(SCHEDULE, &format!("\n  suspend: true{SCHEDULE}"));
    admin.apply(&made.replace(IMAGE, BUSYBOX_IMAGE))?;
    for name in DEPLOYMENTS {
        admin.wait_for_rollout(NAMESPACE, &format!("deployment/{name}"))?;
    }
    // The job is made at once instead of at its time.
    admin.kubectl(&["-n", NAMESPACE, "create", "job", "report-now", "--from=cronjob/report"])?;
    admin.kubectl(&["-n", NAMESPACE, "wait", "--for=condition=Complete", "--timeout=2m", "job/report-now"])?;
    // Each has worked for a while, and none of its containers has ended.
    let calm = demo_rows(&admin)?;
    ensure!(calm.len() == 9 && calm.iter().all(|row| row["restarts"] == 0 && row["state"] != "anomalous"), "{calm:?}");

    is_found(&admin, "mail", &["crash_loop", "restarted", "not_ready"])?;
    is_found(&admin, "cache", &["oom_killed"])?;
    let plan = admin.guard(&["fix", "deployment/mail", "-n", NAMESPACE, "--action", "restart", "--dry-run"])?;
    ensure!(plan.code == Some(0) && plan.out.contains("restart deployment/mail"), "{plan:?}");
    admin.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    Ok(())
}
