//! Pods that are not like most: on the network of their node, of two containers, made by a kubelet alone, of a job.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::inject::processes;
use guard_tests::{load, wait};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::outages::Exporter;
use crate::status::rows;

const NAMESPACE: &str = "kinds";
/// Until a pod has started and been read twice, or is gone.
const LIMIT: Duration = Duration::from_mins(2);

/// A container that calls itself five times a second.
fn container() -> Value {
    json!({"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never", "resources": load::limits("200m", "96Mi"),
        "env": [{"name": "PEER", "value": "http://127.0.0.1:8080/"}, {"name": "RATE", "value": "5"}]})
}

/// A pod's `spec` on node1.
fn spec(containers: &[Value]) -> Value {
    json!({"nodeSelector": {"kubernetes.io/hostname": "node1"}, "terminationGracePeriodSeconds": 1, "containers": containers})
}

fn pod(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
}

/// What was measured of a feature of a pod.
fn seen<'a>(pod: &'a Value, feature: &str) -> Option<&'a Value> {
    pod["features"].as_array()?.iter().find(|known| known["name"] == feature).map(|known| &known["seen"])
}

pub(crate) fn pods_of_every_kind_are_seen_as_they_are(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    admin.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}).to_string())?;
    let mut on_host = spec(&[container()]);
    on_host["hostNetwork"] = true.into();
    let mut of_job = spec(&[container()]);
    of_job["restartPolicy"] = "Never".into();
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "nightly", "namespace": NAMESPACE},
        "spec": {"template": {"spec": of_job}}});
    let mut second = container();
    // It would take a fifth of a core, which the two of them may.
    (second["name"], second["args"]) = ("second".into(), json!(["batch", "86400"]));
    second["resources"] = load::limits("100m", "96Mi");
    let pair = pod("pair", &spec(&[container(), second]));
    let items = [pod("host", &on_host), pair, job];
    admin.apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
    let alone = pod("agent", &json!({"terminationGracePeriodSeconds": 1, "containers": [container()]}));
    let manifest = cluster.folder().join("node1/static/agent.json");
    fs::write(&manifest, alone.to_string())?;

    let exporter = Exporter::start(cluster, "kinds", "node1", &[])?;
    let find = |report: &Value, name: &str| -> Option<Value> {
        let pods = report["pods"].as_array()?;
        pods.iter().find(|pod| pod["name"].as_str().is_some_and(|known| known.starts_with(name))).cloned()
    };
    let [host, pair, job, agent] = exporter.wait_until("pods of each kind to be measured", LIMIT, |report| {
        let measured = |name: &str| find(report, name).filter(|pod| seen(pod, "memory").is_some_and(Value::is_number));
        let pair = measured("pair").filter(|pod| seen(pod, "receive").is_some_and(Value::is_number));
        Some([measured("host")?, pair?, measured("nightly-")?, measured("agent-node1")?])
    })?;
    // A pod on the network of its node would be accused of whatever passes there.
    for feature in ["receive", "transmit"] {
        assert_eq!(seen(&host, feature), Some(&Value::Null), "{host}");
        assert!(seen(&pair, feature).is_some_and(Value::is_number), "{pair}");
    }
    assert_eq!(job["workload"], "Job/nightly", "{job}");
    assert_eq!(agent["workload"], "StaticPod/agent", "{agent}");
    a_container_is_held_to_its_own_limit(&exporter)?;
    both_containers_restart_once(cluster, &exporter)?;
    a_static_pod_is_left_to_its_kubelet(cluster)?;
    fs::remove_file(manifest)?;
    admin.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    wait::until("the static pod to be gone", LIMIT, || {
        let left: Vec<Value> = rows(&admin)?.into_iter().filter(|row| row["namespace"] == NAMESPACE).collect();
        ensure!(left.is_empty(), "{left:?}");
        Ok(Some(()))
    })
}

/// Of what both may take it is a third.
fn a_container_is_held_to_its_own_limit(exporter: &Exporter) -> Result<()> {
    let told = exporter.wait_until("a container to be at its limit", LIMIT, |report| {
        let pair = report["pods"].as_array()?.iter().find(|pod| pod["name"] == "pair")?;
        pair["reasons"].as_array()?.iter().find(|reason| reason["cause"] == "cpu_at_limit").cloned()
    })?;
    assert!(told["text"].as_str().is_some_and(|text| text.starts_with("CPU of second at ")), "{told}");
    Ok(())
}

/// As after a reboot of their node: no loop.
fn both_containers_restart_once(cluster: &Cluster, exporter: &Exporter) -> Result<()> {
    let admin = cluster.admin();
    let uid = admin.kubectl(&["-n", NAMESPACE, "get", "pod", "pair", "-o", "jsonpath={.metadata.uid}"])?;
    let of_pair = processes("work").into_iter().filter(|(_, groups)| groups.contains(uid.trim()));
    let killed = of_pair.map(|(pid, _)| kill(pid, Signal::SIGKILL)).collect::<Result<Vec<()>, _>>()?;
    ensure!(killed.len() == 2, "{} processes in the pod", killed.len());
    let pair = exporter.wait_until("both containers to have restarted", LIMIT, |report| {
        let pods = report["pods"].as_array()?;
        let pair = pods.iter().find(|pod| pod["name"] == "pair")?;
        (pair["restarts"].as_u64()? >= 2 && pair["containers_ready"] == 2).then(|| pair.clone())
    })?;
    assert_eq!(pair["restarts"], 2, "{pair}");
    let causes: Vec<&Value> = pair["reasons"].as_array().into_iter().flatten().map(|reason| &reason["cause"]).collect();
    assert!(!causes.contains(&&json!("crash_loop")), "{pair}");
    Ok(())
}

/// Its mirror in the API may be deleted as often as one likes.
fn a_static_pod_is_left_to_its_kubelet(cluster: &Cluster) -> Result<()> {
    let fix = ["fix", "pod/agent-node1", "-n", NAMESPACE, "--action=restart", "--dry-run"];
    let answer = cluster.admin().guard(&fix)?;
    assert!(answer.code != Some(0) && answer.err.contains("static pod"), "{answer:?}");
    Ok(())
}
