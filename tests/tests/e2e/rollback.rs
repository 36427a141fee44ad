//! A rollout that never starts: proposed to be taken back, taken back, and that taken back too; and those of a StatefulSet
//! and a DaemonSet, by their ControllerRevisions.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::{load, wait};
use serde_json::{Value, json};

use crate::fix::stored;

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

pub(crate) fn a_bad_rollout_is_rolled_back_and_the_rollback_too(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    let operator = cluster.person("operator");
    let fix = ["fix", TARGET, "-n", load::NAMESPACE, "--action=rollout-undo", "--timeout=0"];
    deploy(cluster, WORK_IMAGE, &json!([{"name": "SHELF", "value": "1"}]))?;
    cluster.admin().wait_for_rollout(load::NAMESPACE, TARGET)?;
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
    let (shown, done) = operator.approve(&fix)?;
    assert!(shown.out.contains("-        - name: FAST"), "{}", shown.out);
    assert_eq!(done.code, Some(0), "{done:?}");
    let events = cluster.audit_since(mark, "operator")?;
    assert_eq!(stored(&events), ["deployments", "events"]);
    assert_eq!(template(cluster)?, first, "kubectl rollout undo would have brought back the same");
    cluster.admin().wait_for_rollout(load::NAMESPACE, TARGET)?;

    // The rollback itself is taken back by its id: the setting and the image are as they were rolled out.
    let history: Value = serde_json::from_str(&operator.guard(&["history", "-o", "json"])?.out)?;
    let mine = history.as_array().into_iter().flatten().find(|entry| entry["target"] == TARGET);
    let id = mine.and_then(|entry| entry["id"].as_str()).context("it is not in the history")?;
    let (_, undone) = operator.approve(&["undo", id])?;
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(template(cluster)?, bad);
    cluster.admin().kubectl(&["-n", load::NAMESPACE, "delete", "deployment", NAME]).map(drop)
}

/// A StatefulSet or DaemonSet with this setting, replaced as `strategy` says.
fn set(cluster: &Cluster, kind: &str, shelf: &str, strategy: &Value) -> Result<()> {
    let labels = json!({"app": "rack"});
    let container = json!({"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never",
        "env": [{"name": "SHELF", "value": shelf}]});
    let pod = json!({"metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}});
    let mut spec = json!({"selector": {"matchLabels": labels}, "template": pod, "updateStrategy": strategy});
    if kind == "StatefulSet" {
        spec["replicas"] = json!(2);
        spec["serviceName"] = json!("rack");
        spec["podManagementPolicy"] = json!("Parallel");
    }
    let object = json!({"apiVersion": "apps/v1", "kind": kind, "spec": spec,
        "metadata": {"name": "rack", "namespace": load::NAMESPACE}});
    cluster.admin().apply(&object.to_string())
}

fn shelf(cluster: &Cluster, target: &str) -> Result<String> {
    let path = "jsonpath={.spec.template.spec.containers[0].env[0].value}";
    cluster.admin().kubectl(&["-n", load::NAMESPACE, "get", target, "-o", path])
}

/// Back and forth again, as `kubectl rollout undo` would; a strategy that would leave the pods as they are is refused.
pub(crate) fn a_stateful_set_and_a_daemon_set_are_rolled_back(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    let operator = cluster.person("operator");
    for (kind, target) in [("StatefulSet", "statefulset/rack"), ("DaemonSet", "daemonset/rack")] {
        let rolling = json!({"type": "RollingUpdate"});
        for version in ["1", "2"] {
            set(cluster, kind, version, &rolling)?;
            cluster.admin().wait_for_rollout(load::NAMESPACE, target)?;
        }
        let fix = ["fix", target, "-n", load::NAMESPACE, "--action=rollout-undo", "--timeout=0", "--no-cool-down"];
        let (shown, done) = operator.approve(&fix)?;
        assert!(shown.out.contains(&format!("roll {target} back to revision 1")), "{}", shown.out);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(shelf(cluster, target)?, "1");
        cluster.admin().wait_for_rollout(load::NAMESPACE, target)?;
        let history: Value = serde_json::from_str(&operator.guard(&["history", "-o", "json"])?.out)?;
        let mine = history.as_array().into_iter().flatten().find(|entry| entry["target"] == target);
        let id = mine.and_then(|entry| entry["id"].as_str()).context("it is not in the history")?.to_owned();
        // Numbers move: what was revision 2 is the one before now, and has kept its number.
        set_strategy(cluster, target, &json!({"type": "OnDelete", "rollingUpdate": null}))?;
        let by_hand = operator.guard(&[&fix[..], &["--dry-run"]].concat())?;
        assert_eq!(by_hand.code, Some(0), "{by_hand:?}");
        assert!(by_hand.out.contains("by itself (update strategy OnDelete)"), "{}", by_hand.out);
        if kind == "StatefulSet" {
            set_strategy(cluster, target, &json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}))?;
            let by_hand = operator.guard(&[&fix[..], &["--dry-run"]].concat())?;
            assert!(by_hand.code == Some(0) && by_hand.out.contains("partition 2 of 2 replicas"), "{by_hand:?}");
        }
        set_strategy(cluster, target, &json!({"type": "RollingUpdate", "rollingUpdate": null}))?;
        let (_, undone) = operator.approve(&["undo", &id])?;
        assert_eq!(undone.code, Some(0), "{undone:?}");
        assert_eq!(shelf(cluster, target)?, "2");
        cluster.admin().kubectl(&["-n", load::NAMESPACE, "delete", target])?;
    }
    Ok(())
}

fn set_strategy(cluster: &Cluster, target: &str, strategy: &Value) -> Result<()> {
    let patch = json!({"spec": {"updateStrategy": strategy}}).to_string();
    cluster.admin().kubectl(&["-n", load::NAMESPACE, "patch", target, "--type=merge", "-p", &patch])?;
    let admin = cluster.admin();
    wait::until("its controller to see the new strategy", Duration::from_secs(30), || {
        let generations = "jsonpath={.metadata.generation} {.status.observedGeneration}";
        let seen = admin.kubectl(&["-n", load::NAMESPACE, "get", target, "-o", generations])?;
        Ok(seen.split_once(' ').is_some_and(|(made, seen)| made == seen).then_some(()))
    })
}
