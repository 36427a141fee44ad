//! What `kubectl guard status` says, as rows.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::person::Person;
use guard_tests::{load, wait};
use serde_json::{Value, json};

/// The rows of `status -A --all -o json`, the worst first.
pub(crate) fn rows(person: &Person) -> Result<Vec<Value>> {
    let answer = person.guard(&["status", "-A", "--all", "-o", "json"])?;
    ensure!(answer.code == Some(0), "status: {answer:?}");
    let status: Value = serde_json::from_str(&answer.out).with_context(|| answer.out.clone())?;
    Ok(status["items"].as_array().context("status -o json has no items")?.clone())
}

/// The rows of the load's namespace.
pub(crate) fn load_rows(person: &Person) -> Result<Vec<Value>> {
    Ok(rows(person)?.into_iter().filter(|row| row["namespace"] == load::NAMESPACE).collect())
}

/// The strongest reason of a row.
pub(crate) fn leading_cause(row: &Value) -> &str {
    row["reasons"][0]["cause"].as_str().unwrap_or("")
}

/// Waits until every pod of the load is learnt and none is over its line.
pub(crate) fn wait_for_calm(cluster: &Cluster) -> Result<()> {
    let admin = cluster.admin();
    wait::until("all pods to be learnt and calm", Duration::from_mins(7), || {
        let restless: Vec<String> = load_rows(&admin)?
            .iter()
            .filter(|row| row["state"] != "ok")
            .map(|row| format!("{} {} {} {}", row["name"], row["state"], row["score"], row["note"]))
            .collect();
        ensure!(restless.is_empty(), "{}", restless.join("\n"));
        Ok(Some(()))
    })
}

/// A pod that fits nowhere included, which no exporter can know of.
pub(crate) fn every_pod_has_a_row(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "giant", "namespace": load::NAMESPACE},
        "spec": {"containers": [{"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never",
            "resources": {"requests": {"cpu": "900"}}}]}});
    admin.apply(&pod.to_string())?;
    let giant = wait::until("the giant's row", Duration::from_mins(1), || {
        let rows = rows(&admin)?;
        let pods = admin.kubectl(&["get", "pods", "-A", "--no-headers", "--field-selector=status.phase!=Succeeded"])?;
        ensure!(rows.len() == pods.lines().count(), "{} rows for {} pods", rows.len(), pods.lines().count());
        Ok(rows.into_iter().find(|row| row["name"] == "giant" && leading_cause(row) == "unschedulable"))
    })?;
    assert_eq!(giant["state"], "anomalous", "{giant}");
    let table = admin.guard(&["status", "-n", load::NAMESPACE])?;
    assert!(table.out.lines().nth(1).is_some_and(|top| top.contains("giant")), "{}", table.out);
    let code = admin.guard(&["status", "-n", load::NAMESPACE, "--exit-code"])?.code;
    assert_eq!(code, Some(10));
    admin.kubectl(&["-n", load::NAMESPACE, "delete", "pod", "giant", "--grace-period=0", "--force"])?;
    Ok(())
}

/// kubectl's own formats, and the versions of all there is.
pub(crate) fn formats_are_kubectls(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let template = "jsonpath={range .items[*]}{.namespace}/{.name}{\"\\n\"}{end}";
    let ours = admin.guard(&["status", "-A", "--all", "--sort-by=name", "--chunk-size=3", "-o", template])?;
    let spec = "-o=jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";
    let theirs = admin.kubectl(&["get", "pods", "-A", "--field-selector=status.phase!=Succeeded", spec])?;
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&ours.out), sorted(&theirs), "{ours:?}");
    let columns = admin.guard(&["status", "-A", "--all", "-o", "custom-columns=NAME:.name,APP:.labels.app"])?;
    assert!(columns.out.starts_with("NAME ") && columns.out.contains("<none>"), "{columns:?}");
    let unknown = admin.guard(&["status", "-o", "xml"])?;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");

    let version = admin.guard(&["version", "-o", "json"])?;
    assert_eq!(version.code, Some(0), "{version:?}");
    let version: Value = serde_json::from_str(&version.out)?;
    let nodes = version["exporters"][0]["nodes"].as_array().context("no exporters")?;
    assert_eq!(nodes.len(), 2, "{version}");
    let text = admin.guard(&["version"])?.out;
    assert!(text.lines().any(|line| line.starts_with("guard-exporter ") && line.ends_with(" (2 nodes)")), "{text}");
    Ok(())
}

/// A container that ends at once: its code, its words and, for a Deployment's pod, the revision that made it.
pub(crate) fn explain_shows_why_a_container_ended(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ender", "namespace": load::NAMESPACE},
        "spec": {"containers": [{"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never",
            "args": ["get", "http://127.0.0.1:1/"]}]}});
    admin.apply(&pod.to_string())?;
    let explain = ["explain", "pod/ender", "-n", load::NAMESPACE, "--logs"];
    let shown = wait::until("the words of a container that ended", Duration::from_mins(1), || {
        let shown = admin.guard(&explain)?;
        let said = shown.out.split_once("logs of work before it last ended:").map(|(_, said)| said);
        ensure!(said.is_some_and(|said| said.contains("connection refused")), "{shown:?}");
        Ok(Some(shown.out))
    })?;
    assert!(shown.contains("(exit code 1)"), "{shown}");
    admin.kubectl(&["-n", load::NAMESPACE, "delete", "pod", "ender", "--grace-period=0", "--force"])?;

    let feed = rows(&admin)?
        .into_iter()
        .find(|row| row["name"].as_str().is_some_and(|name| name.starts_with("feed-")))
        .context("feed has no row")?;
    let feed = format!("pod/{}", feed["name"].as_str().context("a row has no name")?);
    let shown = admin.guard(&["explain", &feed, "-n", load::NAMESPACE])?;
    assert!(shown.out.contains("rollout    revision 1 (ReplicaSet feed-"), "{shown:?}");
    assert!(!shown.out.contains("logs"), "nobody asked for logs: {shown:?}");

    // What a language model would get: a request without a name in it. Nobody elsewhere is asked without a key.
    let prompt = admin.guard(&["explain", &feed, "-n", load::NAMESPACE, "--show-prompt"])?;
    let request: serde_json::Value = serde_json::from_str(&prompt.out).with_context(|| format!("{prompt:?}"))?;
    assert_eq!(request["messages"].as_array().map(Vec::len), Some(2), "{prompt:?}");
    for name in ["feed", load::NAMESPACE, "node1", "node2", "guard.test"] {
        assert!(!prompt.out.contains(name), "{name}: {prompt:?}");
    }
    let told = admin.guard(&["explain", &feed, "-n", load::NAMESPACE, "--llm"])?;
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.out.contains("In plain words\nPod feed-"), "{told:?}");
    assert!(told.err.contains("no key for api.openai.com") && told.err.contains("OPENAI_API_KEY"), "{told:?}");
    Ok(())
}
