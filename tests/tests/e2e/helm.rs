//! The chart on a real cluster, after `kubectl guard uninstall` has taken away what `install` put there.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::{Cluster, EXPORTER_IMAGE};
use guard_tests::person::Person;
use guard_tests::{http, wait};

use crate::scrape::{NAME, authority, exporters, make_accounts, token};

/// All kinds that an installation has objects of.
const KINDS: &str = "daemonsets,serviceaccounts,services,secrets,configmaps,roles,rolebindings,clusterroles,clusterrolebindings,priorityclasses";

/// What is in the cluster of ours, but for the namespace.
fn left(admin: &Person) -> Result<String> {
    let mut found = String::new();
    for label in ["app.kubernetes.io/part-of=kubectl-guard", "owner=helm"] {
        found += &admin.kubectl(&["get", KINDS, "-A", "-l", label, "-o", "name", "--ignore-not-found"])?;
    }
    // The scrape tests' own, from manifests/monitoring.
    Ok(found.lines().filter(|name| !name.ends_with("/guard-metrics-reader")).collect::<Vec<_>>().join(" "))
}

/// Waits until nothing is: what is deleted may take a moment to go.
pub(crate) fn until_nothing_is_left(admin: &Person) -> Result<()> {
    wait::until("nothing of ours to be left", Duration::from_mins(1), || {
        let left = left(admin)?;
        ensure!(left.is_empty(), "{left}");
        Ok(Some(()))
    })
}

/// `helm COMMAND any-release` for the chart of the repository.
fn helm(admin: &Person, command: &str, more: &[&str]) -> Result<String> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/helm/guard-exporter");
    let chart = chart.to_string_lossy().into_owned();
    let mut words = vec![command, "any-release", "--namespace", "guard-system"];
    if command == "upgrade" {
        words.extend([chart.as_str(), "--install", "--create-namespace", "--wait", "--timeout=2m"]);
    }
    words.extend(more);
    admin.helm(&words)
}

/// Takes away what `install` and other tests have put there, down to the namespace.
pub(crate) fn clear(admin: &Person) -> Result<()> {
    let gone = admin.guard(&["uninstall", "--yes"])?;
    ensure!(gone.code == Some(0), "{gone:?}");
    until_nothing_is_left(admin)?;
    // It stays for what other tests have put there, and says so.
    admin.kubectl(&["delete", "namespace", "guard-system", "--ignore-not-found", "--timeout=3m"])?;
    Ok(())
}

pub(crate) fn helm_installs_upgrades_and_leaves_nothing(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    clear(&admin)?;
    let image = format!("image={EXPORTER_IMAGE}");
    let choices = ["--set", &image, "--set", "imagePullPolicy=Never", "--set", "kubeletInsecureTLS=true"];
    let said = helm(&admin, "upgrade", &choices)?;
    assert!(said.contains("kubectl guard doctor"), "{said}");
    assert!(
        said.contains("kubectl apply -f manifests/namespace.yaml"),
        "Helm made the namespace, without labels: {said}"
    );
    make_accounts(cluster)?;
    let (issued, scraper) = (authority(cluster)?, token(cluster, "scraper")?);
    helm(&admin, "upgrade", &[&choices[..], &["--set", "interval=10s"]].concat())?;
    assert_eq!(authority(cluster)?, issued, "a certificate that is good for two years is kept");
    // The upgrade replaces pod by pod: whose address is asked must be theirs who are left.
    wait::until("metrics of both nodes by the chart's certificate", Duration::from_mins(2), || {
        let exporters = exporters(cluster)?;
        ensure!(exporters.len() == 2, "{exporters:?}");
        for (node, address) in exporters {
            let (status, body) = http::get_tls(&address, NAME, &issued, "/metrics", Some(&scraper))
                .with_context(|| format!("{node} at {address}"))?;
            ensure!(status == 200, "{node}: {status}: {body}");
        }
        Ok(Some(()))
    })?;
    let status = admin.guard(&["status", "-A"])?;
    assert_eq!(status.code, Some(0), "{status:?}");

    helm(&admin, "uninstall", &["--wait"])?;
    until_nothing_is_left(&admin)
}
