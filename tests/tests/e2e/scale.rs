//! `--action scale` in a namespace of its own: done and undone, and what keeps it from being done.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::person::Person;
use guard_tests::wait;
use serde_json::{Value, json};

const NAMESPACE: &str = "growth";
const TARGET: &str = "deployment/web";

fn apply(cluster: &Cluster, object: &Value) -> Result<()> {
    cluster.admin().apply(&object.to_string()).map(drop)
}

fn start(cluster: &Cluster) -> Result<()> {
    apply(cluster, &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))?;
    let labels = json!({"app": "web"});
    let container = json!({"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never",
        "resources": {"requests": {"cpu": "100m", "memory": "16Mi"}}});
    let pod = json!({"metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}});
    apply(cluster, &deployment)?;
    settled(cluster)
}

fn settled(cluster: &Cluster) -> Result<()> {
    cluster.admin().wait_for_rollout(NAMESPACE, TARGET)
}

fn scale<'a>(replicas: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&["fix", TARGET, "-n", NAMESPACE, "--action=scale", "--replicas", replicas][..], rest].concat()
}

fn refused(person: &Person, replicas: &str) -> Result<String> {
    let answer = person.guard(&scale(replicas, &["--no-cool-down", "--dry-run"]))?;
    ensure!(answer.code == Some(6), "{answer:?}");
    Ok(answer.err)
}

pub(crate) fn a_scale_heeds_autoscalers_quotas_and_room(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    start(cluster)?;
    let operator = cluster.person("operator");
    let (_, done) = operator.approve(&scale("2", &["--timeout=0"]))?;
    assert_eq!(done.code, Some(0), "{done:?}");
    settled(cluster)?;
    let history: Value = serde_json::from_str(&operator.guard(&["history", "-o", "json"])?.out)?;
    let mine = history.as_array().into_iter().flatten().rfind(|entry| entry["namespace"] == NAMESPACE);
    let id = mine.and_then(|entry| entry["id"].as_str()).context("the scale is not in the history")?;
    let (_, undone) = operator.approve(&["undo", id])?;
    assert_eq!(undone.code, Some(0), "{undone:?}");
    settled(cluster)?;

    room(&operator)?;
    quota(cluster, &operator)?;
    horizontal(cluster, &operator)?;
    of_others(cluster, &operator)?;
    cluster.admin().kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"]).map(drop)
}

/// Two nodes of some cores do not take a thousand pods: the number is named, and can be accepted.
fn room(operator: &Person) -> Result<()> {
    let crowded = refused(operator, "1000")?;
    assert!(
        crowded.contains("of the new pods would fit on no node") && crowded.contains("--allow-pending"),
        "{crowded}"
    );
    let accepted = operator.guard(&scale("1000", &["--no-cool-down", "--allow-pending", "--dry-run"]))?;
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    assert!(accepted.out.contains("OVERRIDDEN"), "{}", accepted.out);
    Ok(())
}

fn quota(cluster: &Cluster, operator: &Person) -> Result<()> {
    apply(
        cluster,
        &json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": NAMESPACE},
            "spec": {"hard": {"requests.cpu": "250m"}}}),
    )?;
    // The quota counts a pod until it has ended.
    wait::until("the quota to be counted and the undone pod to end", Duration::from_secs(30), || {
        let over = refused(operator, "3")?;
        let told = "ResourceQuota team has 250m requests.cpu, 100m are used, and the new pods need 200m";
        ensure!(over.contains(told), "{over}");
        Ok(Some(()))
    })?;
    let fits = operator.guard(&scale("2", &["--no-cool-down", "--dry-run"]))?;
    assert_eq!(fits.code, Some(0), "{fits:?}");
    cluster.admin().kubectl(&["-n", NAMESPACE, "delete", "resourcequota", "team"]).map(drop)
}

/// The command that the refusal names moves the bounds.
fn horizontal(cluster: &Cluster, operator: &Person) -> Result<()> {
    apply(
        cluster,
        &json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "auto", "namespace": NAMESPACE},
            "spec": {"minReplicas": 1, "maxReplicas": 2,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}}),
    )?;
    let owned = refused(operator, "3")?;
    let patch = owned.split("-p '").nth(1).and_then(|rest| rest.split('\'').next());
    let patch = patch.with_context(|| format!("no command is named: {owned}"))?;
    let admin = cluster.admin();
    admin.kubectl(&["-n", NAMESPACE, "patch", "hpa", "auto", "--type=merge", "-p", patch])?;
    let bounds = "jsonpath={.spec.minReplicas} {.spec.maxReplicas}";
    assert_eq!(admin.kubectl(&["-n", NAMESPACE, "get", "hpa", "auto", "-o", bounds])?.trim(), "3 3");
    admin.kubectl(&["-n", NAMESPACE, "delete", "hpa", "auto"]).map(drop)
}

/// Autoscalers that are no part of Kubernetes: KEDA's for the replicas, the vertical one for limits and requests.
fn of_others(cluster: &Cluster, operator: &Person) -> Result<()> {
    let admin = cluster.admin();
    let kinds = [
        ("ScaledObject", "scaledobjects", "keda.sh", "v1alpha1", json!({"scaleTargetRef": {"name": "web"}})),
        (
            "VerticalPodAutoscaler",
            "verticalpodautoscalers",
            "autoscaling.k8s.io",
            "v1",
            json!({"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}),
        ),
    ];
    for (kind, plural, group, version, spec) in &kinds {
        let definition = format!("{plural}.{group}");
        apply(
            cluster,
            &json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": definition,
                    "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes/kubernetes/pull/63797"}},
                "spec": {"group": group, "scope": "Namespaced",
                    "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                    "versions": [{"name": version, "served": true, "storage": true,
                        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}),
        )?;
        let custom = json!({"apiVersion": format!("{group}/{version}"), "kind": kind,
            "metadata": {"name": "other", "namespace": NAMESPACE}, "spec": spec});
        wait::until("the new kind to be served", Duration::from_secs(30), || apply(cluster, &custom).map(Some))?;
    }
    let keda = refused(operator, "3")?;
    assert!(keda.contains("ScaledObject other owns the replicas") && keda.contains("minReplicaCount"), "{keda}");
    let limits =
        ["fix", TARGET, "-n", NAMESPACE, "--action=resources", "--limits=memory=1Gi", "--no-cool-down", "--dry-run"];
    let vertical = operator.guard(&limits)?;
    assert_eq!(vertical.code, Some(6), "{vertical:?}");
    assert!(vertical.err.contains("VerticalPodAutoscaler other sets the requests"), "{}", vertical.err);
    for (_, plural, group, ..) in &kinds {
        admin.kubectl(&["delete", "crd", &format!("{plural}.{group}"), "--wait=false"])?;
    }
    Ok(())
}
