//! `run` on a real cluster: it collects, scores, proposes and changes nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::process::Service;
use guard_tests::wait;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const NAMESPACE: &str = "together";

/// A Deployment whose container ends with an error as soon as it runs.
fn crashing() -> String {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "broken", "namespace": NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "broken"}}, "template": {
            "metadata": {"labels": {"app": "broken"}},
            "spec": {"containers": [{"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never",
                "args": ["get", "http://127.0.0.1:1/"]}]}}}})
    .to_string()
}

pub(crate) fn run_finds_a_crash_loop_and_changes_nothing(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    admin.kubectl(&["create", "namespace", NAMESPACE])?;
    admin.apply(&crashing())?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let mut command = admin.command("kubectl");
    let words = [
        "guard",
        "run",
        "-n",
        NAMESPACE,
        "--interval=2s",
        "--watch-interval=1s",
        "--log-level=debug",
        "--ui",
        "--port=0",
    ];
    command.args(words).current_dir(folder.path());
    let mut run = Service::start(command, &log)?;
    let said = |text: &str| -> Result<Option<()>> { Ok(std::fs::read_to_string(&log)?.contains(text).then_some(())) };
    for text in ["/broken-", "deployment/broken"] {
        let what = format!("{text} in the log of run");
        wait::until(&what, Duration::from_mins(3), || run.check().and_then(|()| said(text)))?;
    }
    let file = |name: &str| -> Result<Value> { Ok(serde_json::from_slice(&std::fs::read(folder.path().join(name))?)?) };
    let insights = file("pod_insights.json")?;
    ensure!(insights["pods"][0]["workload"].as_str().is_some_and(|name| name.contains("broken")), "{insights}");
    let log_text = std::fs::read_to_string(&log)?;
    if log_text.contains("proposed: ") {
        let history = file("remediation_history.json")?;
        ensure!(history["proposals"][0]["target"] == "deployment/broken", "{history}");
    } else {
        ensure!(log_text.contains("no proposal for deployment/broken"), "{log_text}");
    }
    let generation = ["get", "deployment/broken", "-n", NAMESPACE, "-o", "jsonpath={.metadata.generation}"];
    ensure!(admin.kubectl(&generation)? == "1", "run has changed the Deployment");

    // The dashboard of the run shows the same pod; the URL is not in the lines of the log.
    let url = log_text.lines().find(|line| line.starts_with("http://127.0.0.1:")).context("no URL is printed")?;
    wait::until("the run's score of the pod on the dashboard", Duration::from_mins(1), {
        let visit = crate::ui::Visit::enter(url)?;
        move || {
            let fleet = visit.json("/api/fleet")?;
            let rows = fleet["items"].as_array().context("no items")?;
            let is_it = |row: &&Value| row["name"].as_str().is_some_and(|name| name.starts_with("broken-"));
            let Some(row) = rows.iter().find(is_it) else { return Ok(None) };
            // A score of the dashboard's own, by what Kubernetes states of the pod, comes with a note of why the run has none.
            Ok((row["score"].is_number() && row["note"].is_null()).then_some(()))
        }
    })?;

    run.end(Signal::SIGTERM, Duration::from_secs(5))?;
    ensure!(std::fs::read_to_string(&log)?.trim_end().ends_with("ended"), "it did not end by itself");
    admin.kubectl(&["delete", "namespace", NAMESPACE, "--wait=false"])?;
    Ok(())
}
