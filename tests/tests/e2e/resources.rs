//! Limits of a workload of its own: changed, resized in place, refused, taken back.

use std::time::Duration;

use anyhow::{Context, Result};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::person::Person;
use guard_tests::{load, wait};
use serde_json::{Value, json};

use crate::fix::stored;
use crate::status::rows;

const NAME: &str = "roomy";
const TARGET: &str = "deployment/roomy";

/// A Deployment with one pod that uses about 10 MiB.
fn start(cluster: &Cluster) -> Result<()> {
    let labels = json!({"app": NAME});
    let container = json!({"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never", "resources": {
        "requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "96Mi"}}});
    let pod = json!({"metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": load::NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}});
    cluster.admin().apply(&deployment.to_string())?;
    rolled_out(cluster)
}

fn rolled_out(cluster: &Cluster) -> Result<()> {
    cluster.admin().wait_for_rollout(load::NAMESPACE, TARGET)
}

fn fix<'a>(rest: &[&'a str]) -> Vec<&'a str> {
    [&["fix", TARGET, "-n", load::NAMESPACE, "--action=resources"][..], rest].concat()
}

fn limits(cluster: &Cluster) -> Result<Value> {
    let text = cluster.admin().kubectl(&["-n", load::NAMESPACE, "get", TARGET, "-o", "json"])?;
    let object: Value = serde_json::from_str(&text)?;
    Ok(object["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"].clone())
}

/// What was done to the Deployment, oldest first.
fn ids(person: &Person) -> Result<Vec<String>> {
    let history: Value = serde_json::from_str(&person.guard(&["history", "-o", "json"])?.out)?;
    let mine = history.as_array().into_iter().flatten().filter(|entry| entry["target"] == TARGET);
    Ok(mine.filter_map(|entry| Some(entry["id"].as_str()?.to_owned())).collect())
}

pub(crate) fn limits_are_changed_in_place_refused_and_taken_back(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    start(cluster)?;
    let operator = cluster.person("operator");
    let mark = cluster.audit_mark();
    let (shown, done) = operator.approve(&fix(&["--limits=memory=128Mi", "--timeout=0"]))?;
    assert!(shown.out.contains("+            memory: 128Mi"), "{}", shown.out);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(limits(cluster)?, json!({"cpu": "200m", "memory": "128Mi"}));
    let events = cluster.audit_since(mark, "operator")?;
    assert_eq!(stored(&events), ["deployments", "events"]);
    rolled_out(cluster)?;

    in_place(cluster, &operator)?;
    below_use(&operator)?;

    // What somebody else has changed since is left alone; what still holds is taken back.
    let ids = ids(&operator)?;
    let [first, second, ..] = ids.as_slice() else { anyhow::bail!("history: {ids:?}") };
    let changed = operator.guard(&["undo", first])?;
    assert_eq!(changed.code, Some(4), "{changed:?}");
    let (_, undone) = operator.approve(&["undo", second])?;
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(limits(cluster)?, json!({"cpu": "200m", "memory": "128Mi"}));
    cluster.admin().kubectl(&["-n", load::NAMESPACE, "delete", "deployment", NAME]).map(drop)
}

/// The running pod gets the new limit without a restart, and the template gets it too. What no node can give is told.
fn in_place(cluster: &Cluster, operator: &Person) -> Result<()> {
    let mark = cluster.audit_mark();
    let (shown, done) =
        operator.approve(&fix(&["--limits=memory=160Mi", "--in-place", "--no-cool-down", "--timeout=0"]))?;
    assert!(shown.out.contains("resize in place limits memory=160Mi"), "{}", shown.out);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("1 of 1 pods are resized in place"), "{}", done.err);
    assert_eq!(limits(cluster)?, json!({"cpu": "200m", "memory": "160Mi"}));
    let events = cluster.audit_since(mark, "operator")?;
    assert_eq!(stored(&events), ["pods/resize", "events", "deployments", "events"]);
    rolled_out(cluster)?;

    let asked = ["--limits=cpu=64", "--requests=cpu=64", "--in-place", "--no-cool-down", "--timeout=0"];
    let refused = operator.guard(&fix(&asked))?;
    assert_eq!(refused.code, Some(6), "no node is so large: {refused:?}");
    assert!(refused.err.contains("--allow-pending"), "{}", refused.err);
    let asked = [&asked[..], &["--allow-pending"]].concat();
    let (_, done) = operator.approve(&fix(&asked))?;
    assert!(done.err.contains("infeasible") && done.err.contains("0 of 1 pods"), "{}", done.err);
    assert_eq!(done.code, Some(7), "a part of it was not done as it was asked for: {done:?}");
    let history = operator.guard(&["history"])?;
    assert!(history.out.contains("done, 0 of 1 in place"), "{}", history.out);
    let ids = ids(operator)?;
    let id = ids.last().context("no history")?;
    // Taken back it asks for less CPU, which is allowed only where the use is known.
    wait::until("the use of the pod to be known", Duration::from_mins(1), || {
        let (_, undone) = operator.approve(&["undo", id])?;
        Ok((undone.code == Some(0)).then_some(()))
    })?;
    rolled_out(cluster)
}

fn below_use(operator: &Person) -> Result<()> {
    wait::until("the exporter to see the pod", Duration::from_mins(1), || {
        let rows = rows(operator)?;
        Ok(rows.iter().any(|row| row["name"].as_str().is_some_and(|name| name.starts_with("roomy-"))).then_some(()))
    })?;
    let refused = wait::until("its use to be known", Duration::from_mins(1), || {
        let refused =
            operator.guard(&fix(&["--limits=memory=1Mi", "--requests=memory=1Mi", "--no-cool-down", "--dry-run"]))?;
        Ok(refused.err.contains("below present use").then_some(refused))
    })?;
    assert_eq!(refused.code, Some(6), "{refused:?}");
    let guess = operator.guard(&fix(&["--no-cool-down", "--dry-run"]))?;
    assert_eq!(guess.code, Some(6), "{guess:?}");
    assert!(guess.err.contains("at least 60 minutes of recorded use"), "{}", guess.err);
    Ok(())
}
