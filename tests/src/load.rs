//! The namespace `shop`: services under steady load, two pods each, and the faults that a test starts in one of them.
//!
//! A victim of a fault serves nobody but itself, so that what a fault does to its pod stays in its pod: `front` and
//! `catalog`, which do depend on each other, are never touched.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::{Cluster, WORK_IMAGE};

/// Where the load runs.
pub const NAMESPACE: &str = "shop";
/// The services, in the order of their names.
pub const SERVICES: [&str; 6] = ["cache", "catalog", "feed", "front", "mail", "resize"];

const CATALOG: &str = "10.96.77.7";
const ITSELF: &str = "http://127.0.0.1:8080/";

/// Starts all services and waits until their pods are ready.
///
/// # Errors
/// If one does not become ready.
pub fn start(cluster: &Cluster) -> Result<()> {
    let admin = cluster.admin();
    admin.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}).to_string())?;
    let objects = [
        // CPU limits are wide enough for the usual load and narrow enough for two cores.
        service("front", &json!({"PEER": format!("http://{CATALOG}:8080/"), "RATE": "12"}), &limits("200m", "96Mi")),
        service("catalog", &json!({"REPLY_BYTES": "6000"}), &limits("200m", "96Mi")),
        service("resize", &json!({"PEER": ITSELF, "RATE": "20", "BURN_MICROSECONDS": "1500"}), &limits("250m", "96Mi")),
        service("cache", &json!({"PEER": ITSELF, "RATE": "10", "HOLD_MIB": "24"}), &limits("200m", "96Mi")),
        service("mail", &json!({"PEER": ITSELF, "RATE": "10"}), &limits("200m", "96Mi")),
        // No rule can know that this one sends too much.
        service(
            "feed",
            &json!({"PEER": ITSELF, "RATE": "10", "SINK": "10.99.0.1:9", "SINK_BYTES": "60000"}),
            &json!({}),
        ),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "catalog", "namespace": NAMESPACE},
            "spec": {"clusterIP": CATALOG, "selector": {"app": "catalog"}, "ports": [{"port": 8080}]}}),
    ];
    admin.apply(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string())?;
    SERVICES.iter().try_for_each(|name| admin.wait_for_rollout(NAMESPACE, &format!("deployment/{name}")))
}

/// The first pod of a service by name.
///
/// # Errors
/// If it has none.
pub fn pod(cluster: &Cluster, service: &str) -> Result<String> {
    let selector = format!("app={service}");
    let names = cluster.admin().kubectl(&["-n", NAMESPACE, "get", "pods", "-l", &selector, "-o", "name"])?;
    let first = names.lines().min().with_context(|| format!("{service} has no pod"))?;
    Ok(first.trim_start_matches("pod/").to_owned())
}

/// Starts a fault in one pod: `cpu`, `leak`, `egress`, `disk` or `crash`. It ends by itself, but for `crash` also with `none`.
///
/// # Errors
/// If the pod does not take it.
pub fn fault(cluster: &Cluster, pod: &str, kind: &str, lasting: Duration) -> Result<()> {
    let seconds = lasting.as_secs().to_string();
    cluster.admin().kubectl(&["-n", NAMESPACE, "exec", pod, "--", "/work", "fault", kind, &seconds]).map(drop)
}

/// A pod of the namespace as JSON.
///
/// # Errors
/// If it is not there.
pub fn describe(cluster: &Cluster, pod: &str) -> Result<Value> {
    Ok(serde_json::from_str(&cluster.admin().kubectl(&["-n", NAMESPACE, "get", "pod", pod, "-o", "json"])?)?)
}

/// What a container may take.
pub fn limits(cpu: &str, memory: &str) -> Value {
    json!({"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": cpu, "memory": memory}})
}

fn service(name: &str, environment: &Value, resources: &Value) -> Value {
    deployment(NAMESPACE, name, environment, resources)
}

/// A service of two pods: a Deployment whose container does what its environment says.
pub fn deployment(namespace: &str, name: &str, environment: &Value, resources: &Value) -> Value {
    let environment: Vec<Value> = environment
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "state", "emptyDir": {}}],
            "securityContext": {"fsGroup": 65532},
            "containers": [{
                "name": name, "image": WORK_IMAGE, "imagePullPolicy": "Never",
                "env": environment, "resources": resources,
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 5},
                "volumeMounts": [{"name": "state", "mountPath": "/state"}],
            }],
        }}}})
}
