//! `manifests/monitoring` by Prometheus' own tool: the rules fire for what they are for, and the metrics are well named.
//!
//! `tests/run` runs those that need promtool (Debian's package prometheus).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use guard_tests::manifests;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(root().join(file)).with_context(|| file.to_owned())
}

fn promtool(arguments: &[&str], input: &str) -> Result<()> {
    use std::io::Write;
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting promtool (package prometheus)")?;
    child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(output.status.success(), "promtool {}: {}", arguments.join(" "), String::from_utf8_lossy(&said));
    Ok(())
}

#[test]
#[ignore = "needs promtool: tests/run runs it"]
fn each_rule_fires_for_what_it_is_for_and_for_nothing_else() -> Result<()> {
    promtool(&["check", "rules", "manifests/monitoring/rules.yml"], "")?;
    promtool(&["test", "rules", "tests/tests/monitoring/rules.test.yml"], "")
}

#[test]
#[ignore = "needs promtool: tests/run runs it"]
fn the_configuration_without_the_operator_is_one() -> Result<()> {
    // Debian's promtool is built without Kubernetes' discovery.
    let text = read("manifests/monitoring/prometheus.yml")?;
    let (before, discovery) = text.split_once("    kubernetes_sd_configs:\n").context("no discovery")?;
    let (_, after) = discovery.split_once("    relabel_configs:\n").context("no relabelling")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, format!("{before}    relabel_configs:\n{after}"))?;
    promtool(&["check", "config", "--syntax-only", &file.to_string_lossy()], "")
}

#[test]
#[ignore = "needs promtool: tests/run runs it"]
fn the_metrics_are_named_as_prometheus_asks() -> Result<()> {
    let name = "guard_exporter__metrics__tests__every_family_of_a_tick_is_shown_with_its_help_and_type.snap";
    let snapshot = read(&format!("guard-exporter/src/snapshots/{name}"))?;
    let (_, series) = snapshot.split_once("\n---\n").context("no head in the snapshot")?;
    promtool(&["check", "metrics"], &format!("{series}\n"))
}

#[test]
fn the_operator_gets_the_same_rules() -> Result<()> {
    let groups = |text: &str, mark: &str| text.split_once(mark).map(|(_, rest)| rest.to_owned());
    let plain = groups(&read("manifests/monitoring/rules.yml")?, "groups:\n").context("no groups")?;
    let wrapped =
        groups(&read("manifests/monitoring/prometheusrule.yaml")?, "spec:\n  groups:\n").context("no spec")?;
    let indented: Vec<String> = plain.lines().map(|line| format!("  {line}")).collect();
    assert_eq!(indented, wrapped.lines().collect::<Vec<_>>());
    Ok(())
}

#[test]
fn the_operator_gets_all_objects_of_the_folder() -> Result<()> {
    let kustomization = read("manifests/monitoring/kustomization.yaml")?;
    let mut named: Vec<&str> = kustomization.lines().filter_map(|line| line.strip_prefix("  - ")).collect();
    named.sort_unstable();
    let files = manifests::objects(&manifests::folder().join("monitoring"))?;
    let files: Vec<String> = files.iter().filter_map(|file| Some(file.file_name()?.to_str()?.to_owned())).collect();
    assert_eq!(named, files);
    Ok(())
}

#[test]
fn each_alert_is_tested_and_leads_to_its_page() -> Result<()> {
    let (rules, tests) = (read("manifests/monitoring/rules.yml")?, read("tests/tests/monitoring/rules.test.yml")?);
    let pages = read("manifests/monitoring/runbooks.md")?;
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(!alerts.is_empty());
    for alert in alerts {
        assert!(pages.contains(&format!("\n## {alert}\n")), "{alert} has no page");
        assert!(rules.contains(&format!("runbooks.md#{}\n", alert.to_lowercase())), "{alert} leads nowhere");
        assert!(tests.contains(&format!("runbooks.md#{}\n", alert.to_lowercase())), "no test sees {alert} fire");
    }
    Ok(())
}
