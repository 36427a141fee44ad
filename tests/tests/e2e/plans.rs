//! A plan as a file: what was reviewed is what is written, or nothing is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use guard_tests::approval::while_stale;
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::load;
use guard_tests::person::{Answer, Person};
use serde_json::json;

use crate::fix::stored;

/// A Deployment that nobody else touches.
fn deployment() -> String {
    let labels = json!({"app": "planned"});
    let pod = json!({"metadata": {"labels": labels},
        "spec": {"containers": [{"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never"}]}});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "planned", "namespace": load::NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}})
    .to_string()
}

fn replicas(admin: &Person) -> Result<String> {
    admin.kubectl(&["get", "deployment", "planned", "-n", load::NAMESPACE, "-o", "jsonpath={.spec.replicas}"])
}

/// What a person would do: a dry run into a file.
struct File {
    path: PathBuf,
    text: String,
}

impl File {
    fn made(by: &Person, folder: &Path) -> Result<Self> {
        // Its status settles within seconds; a plan holds the resourceVersion.
        by.wait_for_rollout(load::NAMESPACE, "deployment/planned")?;
        let fix = [
            "fix",
            "deploy/planned",
            "-n",
            load::NAMESPACE,
            "--action=scale",
            "--replicas=2",
            "--dry-run",
            "-o",
            "yaml",
        ];
        let shown = by.guard(&fix)?;
        ensure!(shown.code == Some(0), "{shown:?}");
        let file = Self { path: folder.join("plan.yaml"), text: shown.out };
        fs::write(&file.path, &file.text)?;
        Ok(file)
    }

    fn digest(&self) -> Result<&str> {
        self.text.lines().find_map(|line| line.strip_prefix("digest: ")).context("no digest")
    }

    /// Carries it out, as it is on the disk.
    fn carry_out(&self, by: &Person) -> Result<Answer> {
        let (plan, digest) = (self.path.to_string_lossy().into_owned(), self.digest()?);
        by.guard(&["fix", "--plan", &plan, "--approve", digest, "--timeout=0s"])
    }
}

fn refused(answer: &Answer, code: i32, why: &str) {
    assert_eq!(answer.code, Some(code), "{answer:?}");
    assert!(answer.err.contains(why), "{why}: {answer:?}");
}

pub(crate) fn a_plan_is_reviewed_as_a_file_and_carried_out_as_it_was(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    let (admin, operator) = (cluster.admin(), cluster.person("operator"));
    admin.apply(&deployment())?;
    let folder = cluster.folder().join("plans");
    fs::create_dir_all(&folder)?;

    // Edited by hand, and given to somebody else: neither writes anything.
    let file = File::made(&operator, &folder)?;
    let mark = cluster.audit_mark();
    fs::write(&file.path, file.text.replace("replicas: 2", "replicas: 20"))?;
    refused(&file.carry_out(&operator)?, 6, "changed after it was written");
    fs::write(&file.path, &file.text)?;
    refused(&file.carry_out(&admin)?, 4, "it was made for");
    for name in ["operator", "admin"] {
        let events = cluster.audit_since(mark, name)?;
        assert_eq!(stored(&events), [""; 0]);
    }
    assert_eq!(replicas(&admin)?, "1");

    // Another object of the same name is not what was reviewed.
    let file = File::made(&operator, &folder)?;
    admin.kubectl(&["annotate", "deployment", "planned", "-n", load::NAMESPACE, "seen=later"])?;
    refused(&file.carry_out(&operator)?, 4, "has changed since");
    let file = File::made(&operator, &folder)?;
    admin.kubectl(&["delete", "deployment", "planned", "-n", load::NAMESPACE])?;
    admin.apply(&deployment())?;
    refused(&file.carry_out(&operator)?, 4, "deleted and made again");
    assert_eq!(replicas(&admin)?, "1");

    // As it was written it is carried out, once.
    let mark = cluster.audit_mark();
    let done = while_stale(|| {
        let done = File::made(&operator, &folder)?.carry_out(&operator)?;
        Ok((!done.is_stale()).then_some(done))
    })?;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(replicas(&admin)?, "2");
    let events = cluster.audit_since(mark, "operator")?;
    assert_eq!(stored(&events), ["deployments/scale", "events"]);
    let again = File { path: file.path.clone(), text: fs::read_to_string(&file.path)? };
    refused(&again.carry_out(&operator)?, 6, "shows within ten minutes");
    admin.kubectl(&["delete", "deployment", "planned", "-n", load::NAMESPACE]).map(drop)
}
