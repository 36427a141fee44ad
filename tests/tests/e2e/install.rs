//! `install` on a cluster whose first node serves with a certificate that nobody can verify.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, EXPORTER_IMAGE};
use guard_tests::inject::exporters;
use guard_tests::{http, load, wait};
use serde_json::json;

use crate::scrape::NAME;

pub(crate) const IMAGE: [&str; 6] =
    ["install", "--image", EXPORTER_IMAGE, "--image-pull-policy", "Never", "--interval=10s"];

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

/// An upgrade takes away what an older version, or a choice of before, has left in the cluster, and nothing of others: what
/// `kubectl set env` has added stays.
pub(crate) fn an_upgrade_leaves_nothing_of_before(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let pem = cluster.folder().join("kubelets.crt");
    std::fs::write(&pem, crate::scrape::authority(cluster)?)?;
    let chosen = format!("--kubelet-ca={}", pem.display());
    let before = admin.guard(&[&IMAGE[..], &[&chosen, "--timeout=0"]].concat())?;
    assert_eq!(before.code, Some(0), "{before:?}");
    let role = |name: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "kubectl-guard"}}, "rules": []})
        .to_string()
    };
    for (name, manager) in [("guard-of-an-older-version", "kubectl-guard"), ("guard-of-somebody-else", "ann")] {
        let file = cluster.folder().join(name);
        std::fs::write(&file, role(name))?;
        let manager = format!("--field-manager={manager}");
        admin.kubectl(&["apply", "--server-side", &manager, "-f", &file.display().to_string()])?;
    }

    let words = [&IMAGE[..], &["--kubelet-insecure-tls"]].concat();
    let rehearsed = admin.guard(&[&words[..], &["--dry-run=server"]].concat())?;
    assert!(
        rehearsed.out.contains("guard-of-an-older-version deleted, left by an earlier install (server dry run)"),
        "{rehearsed:?}"
    );
    let upgraded = admin.guard(&words)?;
    assert_eq!(upgraded.code, Some(0), "{upgraded:?}");
    let deleted: Vec<&str> = upgraded.out.lines().filter(|line| line.contains(" deleted")).collect();
    assert_eq!(
        deleted,
        [
            "clusterrole.rbac.authorization.k8s.io/guard-of-an-older-version deleted, left by an earlier install",
            "configmap/guard-kubelet-ca deleted, left by an earlier install",
        ]
    );
    admin.kubectl(&["delete", "clusterrole", "guard-of-somebody-else"])?;
    let gone = admin.try_kubectl(&["get", "clusterrole", "guard-of-an-older-version"])?;
    assert_eq!(gone.code, Some(1), "{gone:?}");
    let daemons = ["-n", "guard-system", "set", "env", "ds/guard-exporter"];
    admin.kubectl(&[&daemons[..], &["ANOMALY_THRESHOLD=0.8"]].concat())?;
    let again = admin.guard(&words)?;
    assert!(again.code == Some(0) && !again.out.contains("deleted"), "{again:?}");
    let kept = admin.kubectl(&[&daemons[..], &["--list"]].concat())?;
    assert!(kept.lines().any(|line| line == "ANOMALY_THRESHOLD=0.8"), "{kept}");
    admin.kubectl(&[&daemons[..], &["ANOMALY_THRESHOLD-"]].concat())?;
    admin.wait_for_rollout("guard-system", "daemonset/guard-exporter")
}

/// A certificate that ends soon is told by `doctor` and renewed by the next install, and the exporters serve it unrestarted.
pub(crate) fn a_certificate_that_ends_soon_is_renewed(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let served = |authority: &str| -> Result<bool> {
        let exporters = crate::scrape::exporters(cluster)?;
        let shown =
            exporters.iter().map(|(_, address)| http::get_tls(address, NAME, authority, "/healthz", None).is_ok());
        Ok(shown.clone().count() == 2 && shown.into_iter().all(|shown| shown))
    };
    let (before, running) = (crate::scrape::authority(cluster)?, exporters()?);
    wait::until("the first certificate to be served", Duration::from_mins(2), || Ok(served(&before)?.then_some(())))?;
    let doctor = admin.guard(&["doctor"])?;
    assert!(doctor.out.contains("serving certificates: valid until 20"), "{doctor:?}");

    let soon = "guard.kubectl.io/not-after=2001-01-01T00:00:00Z";
    admin.kubectl(&["annotate", "secret", "guard-exporter-tls", "-n", "guard-system", "--overwrite", soon])?;
    let words = [&IMAGE[..], &["--kubelet-insecure-tls", "--force-conflicts"]].concat();
    let again = admin.guard(&words)?;
    assert!(again.code == Some(0) && again.out.contains("secret/guard-exporter-tls applied"), "{again:?}");
    let after = crate::scrape::authority(cluster)?;
    assert!(after.ends_with(&before) && after.len() > before.len(), "the authority before counts until the next time");
    let newest = after.strip_suffix(&before).context("not the authority before")?;
    wait::until("the new certificate to be served", Duration::from_mins(3), || Ok(served(newest)?.then_some(())))?;
    assert_eq!(exporters()?, running, "one was restarted");
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
