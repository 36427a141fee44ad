//! A rollout that never starts: proposed to be taken back, taken back, and that taken back too.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::{load, wait};
use serde_json::{Value, json};

use crate::fix::stores_nothing;
use crate::resources::approve;

const NAME: &str = "shelf";
const TARGET: &str = "deployment/shelf";

fn deploy(cluster: &Cluster, image: &str, environment: &Value) -> Result<()> {
    let labels = json!({"app": NAME});
    let container = json!({"name": "work", "image": image, "imagePullPolicy": "Never", "env": environment});
    let pod = json!({"metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": load::NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}});
    cluster.admin().apply(&deployment.to_string())
}

fn template(cluster: &Cluster) -> Result<Value> {
    let text = cluster.admin().kubectl(&["-n", load::NAMESPACE, "get", TARGET, "-o", "json"])?;
    let object: Value = serde_json::from_str(&text)?;
    Ok(object["spec"]["template"].clone())
}

fn rolled_out(cluster: &Cluster) -> Result<()> {
    let admin = cluster.admin();
    admin.kubectl(&["-n", load::NAMESPACE, "rollout", "status", TARGET, "--timeout=60s"]).map(drop)
}

pub(crate) fn a_bad_rollout_is_rolled_back_and_the_rollback_too(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    let operator = cluster.person("operator");
    let fix = ["fix", TARGET, "-n", load::NAMESPACE, "--action=rollout-undo", "--timeout=0"];
    deploy(cluster, WORK_IMAGE, &json!([{"name": "SHELF", "value": "1"}]))?;
    rolled_out(cluster)?;
    let first = template(cluster)?;
    let alone = operator.guard(&fix)?;
    assert_eq!(alone.code, Some(6), "{alone:?}");
    assert!(alone.err.contains("has no earlier revision"), "{}", alone.err);

    // An image that no node has, and one setting more.
    let more = json!([{"name": "SHELF", "value": "1"}, {"name": "FAST", "value": "1"}]);
    deploy(cluster, "guard.test/misspelt:1", &more)?;
    let bad = wait::until("the rollout to be proposed to be taken back", Duration::from_mins(2), || {
        let shown = operator.guard(&["fix", TARGET, "-n", load::NAMESPACE, "--dry-run"])?;
        if shown.code == Some(8) || shown.code == Some(4) {
            // Not scored yet, or changing right now.
            return Ok(None);
        }
        ensure!(shown.out.contains(&format!("roll {TARGET} back to revision 1")), "{shown:?}");
        template(cluster).map(Some)
    })?;
    let mark = cluster.audit_mark();
    let (shown, done) = approve(&operator, &fix)?;
    assert!(shown.out.contains("-        - name: FAST"), "{}", shown.out);
    assert_eq!(done.code, Some(0), "{done:?}");
    let events = cluster.audit_since(mark, "operator")?;
    let written: Vec<&Value> = events.iter().filter(|event| !stores_nothing(event)).collect();
    assert_eq!(written.len(), 1, "{written:?}");
    assert_eq!(template(cluster)?, first, "kubectl rollout undo would have brought back the same");
    rolled_out(cluster)?;

    // The rollback itself is taken back by its id: the setting and the image are as they were rolled out.
    let history: Value = serde_json::from_str(&operator.guard(&["history", "-o", "json"])?.out)?;
    let mine = history.as_array().into_iter().flatten().find(|entry| entry["target"] == TARGET);
    let id = mine.and_then(|entry| entry["id"].as_str()).context("it is not in the history")?;
    let (_, undone) = approve(&operator, &["undo", id])?;
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(template(cluster)?, bad);
    cluster.admin().kubectl(&["-n", load::NAMESPACE, "delete", "deployment", NAME]).map(drop)
}
