//! The exporters' network port: whom it lets in, with the certificates and roles that `install` makes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::{http, wait};
use serde_json::{Value, json};

/// The exporters' name, and for whom their scrapers' tokens are made out.
pub(crate) const NAME: &str = "guard-exporter.guard-system.svc";

/// A file of `manifests/monitoring`.
pub(crate) fn manifest(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../manifests/monitoring").join(file)
}

/// Makes the ServiceAccounts `scraper`, who may, and `stranger`, who may not.
pub(crate) fn make_accounts(cluster: &Cluster) -> Result<()> {
    let admin = cluster.admin();
    admin.apply(&std::fs::read_to_string(manifest("clusterrole.yaml"))?)?;
    let account = |name: &str| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "test-scraper"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "guard-metrics-reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "scraper", "namespace": "default"}]});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [account("scraper"), account("stranger"), binding]});
    admin.apply(&list.to_string())
}

/// A token of a ServiceAccount, made out to the exporters.
pub(crate) fn token(cluster: &Cluster, account: &str) -> Result<String> {
    let audience = format!("--audience={NAME}");
    Ok(cluster.admin().kubectl(&["create", "token", account, "-n", "default", &audience])?.trim().to_owned())
}

/// The authority that `install` made.
pub(crate) fn authority(cluster: &Cluster) -> Result<String> {
    let path = r"jsonpath={.data.ca\.crt}";
    cluster.admin().kubectl(&["get", "configmap", "guard-exporter-ca", "-n", "guard-system", "-o", path])
}

/// Each exporter's node and network address.
pub(crate) fn exporters(cluster: &Cluster) -> Result<Vec<(String, String)>> {
    let admin = cluster.admin();
    let get = |what: &[&str]| -> Result<Value> {
        let words = [&["get", "-n", "guard-system", "-o", "json"], what].concat();
        Ok(serde_json::from_str(&admin.kubectl(&words)?)?)
    };
    // A controller that has not heard yet that a DaemonSet was deleted may make pods for it once more, in the namespace of
    // the next one; they belong to nobody, and go in their own time.
    let set = get(&["daemonset", "guard-exporter"])?["metadata"]["uid"].clone();
    let pods = get(&["pods", "-l", "app.kubernetes.io/name=guard-exporter"])?;
    let own = pods["items"].as_array().into_iter().flatten().filter(|pod| {
        pod["metadata"]["ownerReferences"][0]["uid"] == set && pod["metadata"]["deletionTimestamp"].is_null()
    });
    let pairs = own.filter_map(|pod| {
        Some((pod["spec"]["nodeName"].as_str()?.to_owned(), format!("{}:9465", pod["status"]["podIP"].as_str()?)))
    });
    Ok(pairs.collect())
}

/// Waits until each exporter shows a certificate that the authority has signed. Where an installation follows another in the same
/// namespace, a kubelet may have given a new pod the Secret of the one before; it brings the new one at its next round, and
/// the exporter looks each minute.
pub(crate) fn certificates_are_current(cluster: &Cluster) -> Result<()> {
    let authority = authority(cluster)?;
    wait::until("the exporters' certificates to be the latest", Duration::from_mins(4), || {
        for (_, address) in exporters(cluster)? {
            http::get_tls(&address, NAME, &authority, "/healthz", None)?;
        }
        Ok(Some(()))
    })
}

pub(crate) fn metrics_are_for_those_who_may(cluster: &mut Cluster) -> Result<()> {
    make_accounts(cluster)?;
    let admin = cluster.admin();
    let authority = authority(cluster)?;
    let (scraper, stranger) = (token(cluster, "scraper")?, token(cluster, "stranger")?);
    let for_the_api = admin.kubectl(&["create", "token", "scraper", "-n", "default"])?.trim().to_owned();
    let exporters = exporters(cluster)?;
    assert_eq!(exporters.len(), 2, "{exporters:?}");
    for (_, address) in exporters {
        let ask = |path: &str, token: Option<&str>| http::get_tls(&address, NAME, &authority, path, token);
        // The roles take a moment to be known, and a no is remembered for ten seconds.
        let text = wait::until("the scraper to be let in", Duration::from_secs(30), || {
            let (status, body) = ask("/metrics", Some(&scraper))?;
            ensure!(status == 200, "{status}: {body}");
            Ok(Some(body))
        })?;
        assert!(text.contains("guard_exporter_build_info{") && text.contains("guard_pod_state{"), "{text}");
        for (path, token, status, body) in [
            ("/metrics", Some(stranger.as_str()), 403, "forbidden\n"),
            ("/metrics", Some(for_the_api.as_str()), 401, "unauthorized\n"),
            ("/metrics", Some("forged"), 401, "unauthorized\n"),
            ("/metrics", None, 401, "unauthorized\n"),
            ("/v1/report", Some(scraper.as_str()), 404, "not found\n"),
            ("/healthz", None, 200, "ok\n"),
        ] {
            assert_eq!(ask(path, token)?, (status, body.to_owned()), "{path}");
        }
        assert_eq!(http::get(&address, "/healthz")?, b"ok\n");
        let plain = http::get(&address, "/metrics").err().context("plain HTTP gives metrics")?;
        assert!(plain.to_string().contains("404"), "{plain}");
        let misnamed = http::get_tls(&address, "elsewhere.svc", &authority, "/healthz", None);
        assert!(misnamed.is_err(), "the certificate is for {NAME} alone");
    }
    Ok(())
}
