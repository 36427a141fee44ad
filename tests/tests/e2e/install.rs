//! `install` on a cluster whose first node serves with a certificate that nobody can verify.

use std::time::Duration;

use anyhow::{Result, ensure};
use guard_tests::cluster::{Cluster, EXPORTER_IMAGE};
use guard_tests::{load, wait};

const IMAGE: [&str; 6] = ["install", "--image", EXPORTER_IMAGE, "--image-pull-policy", "Never", "--interval=10s"];

/// Node 2's kubelet can be verified, node 1's cannot: the answer must say which, why, and what can be done.
pub(crate) fn a_kubelet_that_signs_for_itself_is_named(cluster: &mut Cluster) -> Result<()> {
    load::start(cluster)?;
    let mut words = IMAGE.to_vec();
    words.push("--timeout=25s");
    let answer = cluster.admin().guard(&words)?;
    assert_eq!(answer.code, Some(7), "{answer:?}");
    assert!(answer.err.contains("1 of 2"), "{}", answer.err);
    let told = wait::until("the cause to be told", Duration::from_secs(30), || {
        let status = cluster.admin().guard(&["status", "-A"])?;
        ensure!(status.err.contains("certificate"), "{status:?}");
        Ok(Some(status.err))
    })?;
    for part in ["node1", "--kubelet-insecure-tls", "--kubelet-ca", "serverTLSBootstrap"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("node2"), "node 2 can be verified: {told}");
    Ok(())
}

pub(crate) fn a_certificate_is_made_once(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let get =
        ["get", "secret", "guard-exporter-tls", "-n", "guard-system", "-o", "jsonpath={.metadata.resourceVersion}"];
    let before = admin.kubectl(&get)?;
    let mut words = IMAGE.to_vec();
    words.push("--kubelet-insecure-tls");
    let again = admin.guard(&words)?;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(admin.kubectl(&get)?, before);
    assert!(
        !again.out.contains("secret/") && again.out.contains("configmap/guard-exporter-ca applied"),
        "{}",
        again.out
    );
    Ok(())
}

pub(crate) fn exporters_run_restricted_on_every_node(cluster: &mut Cluster) -> Result<()> {
    load::start(cluster)?;
    let admin = cluster.admin();
    let mut words = IMAGE.to_vec();
    words.push("--kubelet-insecure-tls");
    let answer = admin.guard(&words)?;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    let namespace = admin.kubectl(&["get", "namespace", "guard-system", "-o", "jsonpath={.metadata.labels}"])?;
    assert!(namespace.contains(r#""pod-security.kubernetes.io/enforce":"restricted""#), "{namespace}");
    let again = admin.guard(&words)?;
    assert_eq!(again.code, Some(0), "installing twice: {again:?}");
    Ok(())
}
