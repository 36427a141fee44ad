//! Every manifest that ships, judged by a real API server that knows the Prometheus operator's objects.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::manifests::{folder, objects};
use guard_tests::person::Person;
use guard_tests::wait;

/// The operator's definitions of what the manifests hold, as files of its module.
const DEFINITIONS: [&str; 3] = ["servicemonitors", "podmonitors", "prometheusrules"];

/// Gives the cluster the operator's definitions and the namespaces that the manifests write into.
fn prepare(admin: &Person) -> Result<()> {
    let definitions =
        std::env::var("GUARD_E2E_DEFINITIONS").context("GUARD_E2E_DEFINITIONS is not set: use tests/run")?;
    for name in DEFINITIONS {
        let file = format!("{definitions}/monitoring.coreos.com_{name}.yaml");
        admin.kubectl(&["apply", "--server-side", "-f", &file])?;
        let definition = format!("customresourcedefinition/{name}.monitoring.coreos.com");
        admin.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", &definition])?;
    }
    admin.apply(&fs::read_to_string(folder().join("namespace.yaml"))?)?;
    admin.apply(&fs::read_to_string(folder().join("demo/namespace.yaml"))?)?;
    admin.apply(r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}}"#)
}

/// What a strict API server says to `-f FILE` or `-k FOLDER`, storing nothing.
fn judge(admin: &Person, flag: &str, what: &Path) -> Result<(Option<i32>, String)> {
    let words = ["apply", "--dry-run=server", "--validate=strict", flag, &what.to_string_lossy()];
    let answer = admin.try_kubectl(&words)?;
    Ok((answer.code, format!("{}{}", answer.out, answer.err)))
}

fn is_taken(admin: &Person, flag: &str, what: &Path) -> Result<String> {
    // A definition that was made just now takes a moment to be served.
    wait::until(&format!("{} to be taken", what.display()), Duration::from_secs(20), || {
        let (code, said) = judge(admin, flag, what)?;
        ensure!(code == Some(0) && !said.contains("violate PodSecurity"), "{said}");
        Ok(Some(said))
    })
}

/// The page's own kustomization, beside a copy of the manifests.
fn kustomization_of_the_page(into: &Path) -> Result<()> {
    let monitoring = folder().join("monitoring");
    let page = fs::read_to_string(monitoring.join("README.md"))?;
    let (_, rest) = page.split_once("```yaml\napiVersion: kustomize").context("the page has no kustomization")?;
    let (body, _) = rest.split_once("```").context("it has no end")?;
    ensure!(body.contains("../manifests/monitoring\n"), "{body}");
    let body = body.replace("release: prometheus", "release: mine");
    let body = body.replace("value: monitoring", "value: elsewhere").replace("value: prometheus-", "value: mine-");
    let copy = into.join("manifests/monitoring");
    fs::create_dir_all(&copy)?;
    fs::create_dir_all(into.join("own"))?;
    for entry in fs::read_dir(&monitoring)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
    }
    Ok(fs::write(into.join("own/kustomization.yaml"), format!("apiVersion: kustomize{body}"))?)
}

pub(crate) fn every_manifest_is_taken_by_a_strict_api_server(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    prepare(&admin)?;
    let files = objects(&folder())?;
    assert!(files.len() > 15, "{files:?}");
    for file in files {
        is_taken(&admin, "-f", &file)?;
    }
    for base in [folder(), folder().join("monitoring"), folder().join("grafana"), folder().join("demo")] {
        is_taken(&admin, "-k", &base)?;
    }

    let work = cluster.folder().join("manifests");
    kustomization_of_the_page(&work)?;
    is_taken(&admin, "-k", &work.join("own"))?;
    let made = admin.kubectl(&["kustomize", &work.join("own").to_string_lossy()])?;
    assert_eq!(made.matches("release: mine\n").count(), made.matches("\nkind: ").count(), "{made}");
    assert_eq!(made.matches("name: mine-kube-prometheus-prometheus\n  namespace: elsewhere\n").count(), 2, "{made}");
    assert!(made.contains("kubernetes.io/metadata.name: elsewhere\n"), "{made}");
    assert!(!made.contains("release: prometheus\n") && !made.contains("namespace: monitoring\n"), "{made}");

    // The API server does judge: a field that the operator does not know is refused.
    let monitor = fs::read_to_string(folder().join("monitoring/servicemonitor.yaml"))?;
    let misspelt = work.join("misspelt.yaml");
    fs::write(&misspelt, monitor.replace("honorLabels:", "honourLabels:"))?;
    let (code, said) = judge(&admin, "-f", &misspelt)?;
    assert!(code == Some(1) && said.contains("honourLabels"), "{said}");
    Ok(())
}
