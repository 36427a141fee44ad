//! The README's part on installing, followed to the letter: each line that it shows is typed, on a cluster that has nothing
//! of ours.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use guard_tests::cluster::{Cluster, EXPORTER_IMAGE};
use guard_tests::person::Person;
use guard_tests::{readme, wait};

use crate::helm::{clear, until_nothing_is_left};

/// The commands of each block of the part on installing, without their comments.
fn commands() -> Result<Vec<Vec<String>>> {
    let command = |line: &str| line.split("  #").next().unwrap_or_default().trim().to_owned();
    Ok(readme::blocks("Install", "sh")?.iter().map(|block| block.lines().map(command).collect()).collect())
}

/// The line as it must be here: there is no registry to take the image from, and a kubelet signs for itself.
fn here(line: &str) -> String {
    let more = match line {
        line if line.starts_with("kubectl guard install ") => " --image-pull-policy Never --kubelet-insecure-tls",
        line if line.starts_with("helm upgrade ") => {
            " --set imagePullPolicy=Never --set kubeletInsecureTLS=true --wait"
        }
        _ => "",
    };
    line.replace(readme::IMAGE, EXPORTER_IMAGE) + more
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
    let blocks = commands()?;
    let [build, plugin, chart, roles] = blocks.as_slice() else { bail!("the README has other blocks: {blocks:?}") };
    let lines_of_the_build = [
        "cargo build --profile dist -p kubectl-guard".to_owned(),
        format!("docker build -f guard-exporter/Dockerfile -t {} .", readme::IMAGE),
        format!("docker push {}", readme::IMAGE),
    ];
    ensure!(*build == lines_of_the_build, "they are built already, and not so: {build:?}");
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
        "--confidence-threshold=0.5",
    ])?;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    admin.kubectl(&["delete", "clusterrolebinding/ann-views"])?;

    clear(&admin)?;
    for line in chart {
        typed(&admin, line)?;
    }
    until_status_shows_the_exporters(&admin, "")?;
    admin.helm(&["uninstall", "guard", "--namespace", "guard-system", "--wait"])?;
    until_nothing_is_left(&admin)?;

    let folder = kustomization()?;
    let own = folder.path().join("own").display().to_string();
    admin.kubectl(&["apply", "-k", &own])?;
    until_status_shows_the_exporters(&admin, "")?;
    admin.kubectl(&["delete", "-k", &own, "--wait=false"])?;
    Ok(())
}

/// The README's kustomization beside a folder `manifests`, in a folder `own`, with the image that there is here.
fn kustomization() -> Result<tempfile::TempDir> {
    let blocks = readme::blocks("Install", "yaml")?;
    let [text] = blocks.as_slice() else { bail!("the README has other kustomizations: {blocks:?}") };
    let (wanted, tag) = readme::IMAGE.rsplit_once(':').context("the README's image has no tag")?;
    let (name, our_tag) = EXPORTER_IMAGE.rsplit_once(':').context("the exporter's image has no tag")?;
    let text = text.replace(wanted, name).replace(&format!("newTag: {tag}"), &format!("newTag: {our_tag}"));
    let folder = tempfile::tempdir()?;
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests");
    std::os::unix::fs::symlink(fs::canonicalize(manifests)?, folder.path().join("manifests"))?;
    fs::create_dir(folder.path().join("own"))?;
    fs::write(folder.path().join("own/kustomization.yaml"), text)?;
    Ok(folder)
}
