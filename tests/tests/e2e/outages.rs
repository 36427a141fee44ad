//! Parts that fail: the answer is worse and still true, and says what is missing.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, guard_binary};
use guard_tests::inject::exporters;
use guard_tests::process::Service;
use guard_tests::{http, load, wait};
use serde_json::Value;

use crate::status::{load_rows, rows};

/// An exporter beside the installed ones, run here with flags of the test's own.
pub(crate) struct Exporter {
    service: std::cell::RefCell<Service>,
    address: String,
}

impl Exporter {
    /// Watches a node as the installed one does, with more flags.
    pub(crate) fn start(cluster: &Cluster, name: &str, node: &str, more: &[&str]) -> Result<Self> {
        let token = cluster.admin().kubectl(&["-n", "guard-system", "create", "token", "guard-exporter"])?;
        let file = |end: &str| cluster.folder().join(format!("exporter-{name}.{end}"));
        std::fs::write(file("token"), token.trim())?;
        let path = r#"jsonpath={.status.addresses[?(@.type=="InternalIP")].address}"#;
        let host = cluster.admin().kubectl(&["get", "node", node, "-o", path])?;
        let (address, health) = (http::free_address()?, http::free_address()?);
        let mut command = Command::new(guard_binary("guard-exporter")?);
        command
            .args(["--node-name", node, "--loopback", &address, "--listen", &health, "--interval", "10s"])
            .arg("--kubeconfig")
            .arg(cluster.admin().kubeconfig())
            .arg("--token-file")
            .arg(file("token"));
        if !more.contains(&"--kubelet-host") {
            command.args(["--kubelet-host", &host]);
        }
        if !more.contains(&"--ca-file") {
            command.arg("--kubelet-insecure-tls");
        }
        command.args(more);
        Ok(Self { service: Service::start(command, &file("log"))?.into(), address })
    }

    /// Its report now.
    pub(crate) fn report(&self) -> Result<Value> {
        self.service.borrow_mut().check()?;
        Ok(serde_json::from_slice(&http::get(&self.address, "/v1/report")?)?)
    }

    /// Waits until something can be told from its report; not for one that has ended.
    pub(crate) fn wait_until<T>(&self, what: &str, limit: Duration, told: impl Fn(&Value) -> Option<T>) -> Result<T> {
        wait::until(what, limit, || {
            if let Err(ended) = self.service.borrow_mut().check() {
                return Ok(Some(Err(ended)));
            }
            let report = self.report()?;
            let told = told(&report).map(|told| Some(Ok(told)));
            told.with_context(|| report["kubelet"].to_string() + &report["model"].to_string())
        })?
    }
}

/// The node of a pod of the load.
pub(crate) fn node_of(cluster: &Cluster, pod: &str) -> Result<String> {
    Ok(load::describe(cluster, pod)?["spec"]["nodeName"].as_str().context("the pod has no node")?.to_owned())
}

/// A kubelet with a good certificate whose answers are torn.
pub(crate) fn a_kubelet_that_lies_is_reported(cluster: &mut Cluster) -> Result<()> {
    let pki = |file: &str| cluster.folder().join("pki").join(file);
    let torn = br#"{"node": {"nodeName": "node2"}, "pods": [{"podRef": {"name": "feed"#;
    let port = http::serve_tls(&pki("node2.crt"), &pki("node2.key"), torn)?.port().to_string();
    let authority = pki("ca.crt").display().to_string();
    let flags = ["--kubelet-host", "127.0.0.1", "--kubelet-port", &port, "--ca-file", &authority];
    let exporter = Exporter::start(cluster, "liar", "node2", &flags)?;
    let problem = exporter.wait_until("the lie to be reported", Duration::from_secs(40), |report| {
        (report["kubelet"]["up"] == false).then(|| report["kubelet"]["error"].as_str().map(str::to_owned)).flatten()
    })?;
    assert!(problem.contains("/stats/summary"), "{problem}");
    let report = exporter.report()?;
    let unmeasured = |pod: &Value| pod["features"].as_array().is_none_or(|all| all.iter().all(|f| f["seen"].is_null()));
    assert!(report["pods"].as_array().is_some_and(|pods| pods.iter().all(unmeasured)), "{report}");
    Ok(())
}

pub(crate) fn a_broken_model_is_told(cluster: &mut Cluster) -> Result<()> {
    let broken = cluster.folder().join("broken.onnx");
    std::fs::write(&broken, b"this is no model")?;
    let exporter = Exporter::start(cluster, "broken", "node1", &["--model", &broken.display().to_string()])?;
    let problem = exporter.wait_until("the broken model to be told", Duration::from_secs(40), |report| {
        report["model"]["error"].as_str().map(str::to_owned)
    })?;
    assert!(!problem.is_empty());
    // Facts still speak: the pods are there.
    assert!(exporter.report()?["pods"].as_array().is_some_and(|pods| !pods.is_empty()));
    Ok(())
}

pub(crate) fn a_killed_exporter_costs_a_warning_at_most(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let before = rows(&admin)?.len();
    let selector =
        ["-n", "guard-system", "delete", "pod", "-l", "app.kubernetes.io/name=guard-exporter", "--wait=false"];
    admin
        .kubectl(&[&selector[..], &["--field-selector=spec.nodeName=node1", "--grace-period=0", "--force"]].concat())?;
    let answer = admin.guard(&["status", "-A", "-o", "json"])?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    wait::until("the exporter to be back", Duration::from_mins(1), || {
        let rows = rows(&admin)?;
        ensure!(rows.len() >= before, "{} rows of {before}", rows.len());
        let unscored = rows.iter().filter(|row| row["state"].is_null()).count();
        Ok((unscored == 0).then_some(()))
    })
}

pub(crate) fn without_its_kubelet_a_node_is_not_guessed_at(cluster: &mut Cluster) -> Result<()> {
    cluster.own()?.nodes[0].stop_kubelet();
    let admin = cluster.admin();
    // Its exporter runs on and cannot be reached: port-forward goes through the kubelet.
    let told = wait::until("the silent node to be told", Duration::from_mins(2), || {
        let answer = admin.guard(&["status", "-A", "-o", "json"])?;
        ensure!(answer.code == Some(0), "{answer:?}");
        Ok(answer.err.contains("node1").then_some(answer))
    })?;
    assert!(!told.err.contains("panicked"), "{}", told.err);
    let rows = load_rows(&admin)?;
    let of = |node: &str| rows.iter().filter(|row| row["node"] == node).cloned().collect::<Vec<Value>>();
    assert!(of("node2").iter().any(|row| row["state"] == "ok"), "{:?}", of("node2"));
    assert!(!of("node1").is_empty(), "the silent node's pods have no row");
    assert!(of("node1").iter().all(|row| row["note"].is_string() && row["state"] != "ok"), "{:?}", of("node1"));
    cluster.own()?.wait_for_node("node1", "Unknown")?;
    // Its exporter is not waited for.
    let installed = admin.guard(&[&crate::install::IMAGE[..], &["--kubelet-insecure-tls"]].concat())?;
    assert!(installed.code == Some(0) && installed.err.contains("node1"), "{installed:?}");
    cluster.own()?.nodes[0].start_kubelet()?;
    cluster.own()?.wait_for_node("node1", "True")
}

pub(crate) fn an_api_outage_restarts_no_exporter(cluster: &mut Cluster) -> Result<()> {
    let (admin, before) = (cluster.admin(), exporters()?);
    cluster.own()?.stop_api_server();
    let answer = admin.guard(&["status", "-A"])?;
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.err.contains("no answer from"), "{}", answer.err);
    // Longer than the liveness probe's patience: an exporter that asks the API server whether it lives is dead by now.
    std::thread::sleep(Duration::from_secs(70));
    cluster.own()?.start_api_server()?;
    assert_eq!(exporters()?, before);
    wait::until("status to answer again", Duration::from_mins(1), || rows(&admin).map(Some)).map(drop)
}
