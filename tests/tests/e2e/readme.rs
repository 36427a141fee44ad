//! The README's part on installing, followed to the letter: each line that it shows is typed, on a cluster that has nothing
//! of ours.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use guard_tests::cluster::{Cluster, EXPORTER_IMAGE};
use guard_tests::person::Person;
use guard_tests::wait;

use crate::helm::{clear, until_nothing_is_left};

/// The commands of each block of a part of the README, without their comments.
fn blocks(part: &str) -> Result<Vec<Vec<String>>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?;
    let (_, after) = text.split_once(&format!("\n## {part}\n")).with_context(|| format!("no part {part}"))?;
    let (part, _) = after.split_once("\n## ").unwrap_or((after, ""));
    let command = |line: &str| line.split("  #").next().unwrap_or_default().trim().to_owned();
    let block = |block: &str| block.split_once("\n```").map(|(lines, _)| lines.lines().map(command).collect());
    Ok(part.split("```sh\n").skip(1).filter_map(block).collect())
}

/// The line as it must be here: there is no registry to take the image from, and a kubelet signs for itself.
fn here(line: &str) -> String {
    let more = match line {
        "kubectl guard install" => {
            format!(" --image {EXPORTER_IMAGE} --image-pull-policy Never --kubelet-insecure-tls")
        }
        line if line.starts_with("helm upgrade ") => {
            format!(" --set image={EXPORTER_IMAGE} --set imagePullPolicy=Never --set kubeletInsecureTLS=true --wait")
        }
        _ => String::new(),
    };
    format!("{line}{more}")
}

/// Types a line of the README, and expects it to succeed.
fn typed(person: &Person, line: &str) -> Result<()> {
    let answer = person.shell(&here(line))?;
    ensure!(answer.code == Some(0), "{line}: {answer:?}");
    Ok(())
}

/// Both exporters' pods, as `status` has them once the exporters watch them.
fn until_status_shows_the_exporters(person: &Person, more: &str) -> Result<()> {
    wait::until("status to show the exporters", Duration::from_mins(2), || {
        let status = person.shell(&format!("kubectl guard status -n guard-system --all {more}"))?;
        let watched = |line: &&str| line.starts_with("guard-exporter-") && line.contains("learning, ");
        let rows = status.out.lines().filter(watched).count();
        ensure!(status.code == Some(0) && rows == 2, "{status:?}");
        Ok(Some(()))
    })
}

pub(crate) fn the_readmes_installation_works_to_the_letter(cluster: &mut Cluster) -> Result<()> {
    let admin = cluster.admin();
    let blocks = blocks("Install")?;
    let [plugin, roads, roles] = blocks.as_slice() else { bail!("the README has other blocks: {blocks:?}") };
    let [build, plugin @ ..] = plugin.as_slice() else { bail!("the README builds nothing") };
    ensure!(build == "cargo build --profile dist -p kubectl-guard", "it is built already, and not so: {build}");
    clear(&admin)?;
    for line in plugin {
        typed(&admin, line)?;
    }
    until_status_shows_the_exporters(&admin, "")?;
    // Ann gets what the README gives her: to see, and no more.
    for line in roles {
        typed(&admin, line)?;
    }
    until_status_shows_the_exporters(&admin, "--as=ann")?;
    let refused = admin.guard(&[
        "fix",
        "daemonset/guard-exporter",
        "-n",
        "guard-system",
        "--action=restart",
        "--as=ann",
        "--yes",
    ])?;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    admin.kubectl(&["delete", "clusterrolebinding/ann-views"])?;

    let [chart, kustomization] = roads.as_slice() else { bail!("the README has other roads: {roads:?}") };
    clear(&admin)?;
    typed(&admin, chart)?;
    until_status_shows_the_exporters(&admin, "")?;
    admin.helm(&["uninstall", "guard", "--namespace", "guard-system", "--wait"])?;
    until_nothing_is_left(&admin)?;
    // Its image would come from the registry of the release.
    typed(&admin, kustomization)?;
    let image = ["get", "daemonset/guard-exporter", "-n", "guard-system", "-o", "jsonpath={..image}"];
    let image = admin.kubectl(&image)?;
    assert_eq!(image, concat!("ghcr.io/kubectl-guard/guard-exporter:", env!("CARGO_PKG_VERSION")));
    admin.shell("kubectl delete -k manifests --wait=false")?;
    Ok(())
}
