//! `fix`: what it shows, what it writes, and what it leaves alone.

use std::time::Duration;

use anyhow::{Result, ensure};
use guard_tests::cluster::{Cluster, WORK_IMAGE};
use guard_tests::marks::stores_nothing;
use guard_tests::{load, wait};
use serde_json::{Value, json};

use crate::status::rows;

/// What these requests stored, in order: each change has an Event behind it that tells of it.
pub(crate) fn stored(events: &[Value]) -> Vec<String> {
    let stored = events.iter().filter(|event| !stores_nothing(event)).map(|event| &event["objectRef"]);
    let part = |of: &Value, name: &str| of[name].as_str().unwrap_or_default().to_owned();
    stored.map(|of| (part(of, "resource") + "/" + &part(of, "subresource")).trim_end_matches('/').to_owned()).collect()
}

fn versions(cluster: &Cluster) -> Result<String> {
    let what = "deployments,replicasets,services,configmaps,serviceaccounts";
    let version = "jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    cluster.admin().kubectl(&["-n", load::NAMESPACE, "get", what, "-o", version])
}

pub(crate) fn a_dry_run_changes_nothing(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    for (name, flag) in [("viewer", "--dry-run"), ("operator", "--dry-run=server")] {
        let (mark, before) = (cluster.audit_mark(), versions(cluster)?);
        let fix = ["fix", "deployment/feed", "-n", load::NAMESPACE, "--action=restart", flag];
        let answer = cluster.person(name).guard(&fix)?;
        assert_eq!(answer.code, Some(0), "{answer:?}");
        let events = cluster.audit_since(mark, name)?;
        assert!(events.iter().any(|event| event["verb"] == "get"), "the audit log does not show {name} at all");
        assert_eq!(stored(&events), [""; 0], "{flag} wrote");
        assert_eq!(versions(cluster)?, before, "{flag}");
    }
    Ok(())
}

const FIX: [&str; 5] = ["fix", "deployment/mail", "-n", load::NAMESPACE, "--action=restart"];

/// Without a target and an action `fix` takes the worst workload and proposes what helps there.
pub(crate) fn is_proposed(cluster: &Cluster, workload: &str) -> Result<()> {
    crate::rights::bind(cluster)?;
    let proposal = cluster.person("viewer").guard(&["fix", "-n", load::NAMESPACE, "--dry-run"])?;
    assert_eq!(proposal.code, Some(0), "{proposal:?}");
    assert!(proposal.out.contains(&format!("restart {workload}")), "{}", proposal.out);
    assert!(proposal.out.contains("kubectl.kubernetes.io/restartedAt"), "no diff: {}", proposal.out);
    Ok(())
}

/// Runs after the crash loop of `mail`: the plan names its Deployment, a person approves what they saw, it helps.
pub(crate) fn a_fix_is_shown_approved_and_verified(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    let operator = cluster.person("operator");
    // A restart is no cure for a crash loop, and `fix` says so; a person may ask for one all the same.
    let proposal = operator.guard(&["fix", "-n", load::NAMESPACE, "--dry-run"])?;
    assert_eq!(proposal.code, Some(8), "{proposal:?}");
    assert!(proposal.err.contains("deployment/mail: a restart won't help"), "{}", proposal.err);

    // Nobody at a terminal, and no approval.
    let refused = operator.guard(&FIX)?;
    assert_eq!(refused.code, Some(6), "{refused:?}");

    let mark = cluster.audit_mark();
    let (shown, done) = operator.approve(&[&FIX[..], &["--timeout=3m"]].concat())?;
    ensure!(shown.out.contains("restartedAt"), "no diff: {shown:?}");
    assert_eq!(done.code, Some(0), "{done:?}");
    if cluster.own().is_ok() {
        let events = cluster.audit_since(mark, "operator")?;
        assert_eq!(stored(&events), ["deployments", "events"]);
        for written in events.iter().filter(|event| !stores_nothing(event)) {
            let agent = written["userAgent"].as_str().unwrap_or("");
            assert!(agent.starts_with("kubectl-guard/") && agent.contains(" plan/"), "{agent}");
        }
    }
    let history = operator.guard(&["history"])?;
    assert!(history.out.contains("deployment/mail") && history.out.contains("restart"), "{}", history.out);
    wait::until("the fixed workload to calm down", Duration::from_mins(2), || {
        let rows = rows(&operator)?;
        let mail = rows.iter().filter(|row| row["name"].as_str().is_some_and(|name| name.starts_with("mail-")));
        let restless: Vec<String> = mail.filter(|row| row["state"] == "anomalous").map(Value::to_string).collect();
        ensure!(restless.is_empty(), "{}", restless.join("\n"));
        Ok(Some(()))
    })
}

/// A restart of a Deployment of its own: the chain is whole, the audit log agrees with it, and an edit is found.
pub(crate) fn the_journal_can_be_verified(cluster: &mut Cluster) -> Result<()> {
    crate::rights::bind(cluster)?;
    let (admin, operator) = (cluster.admin(), cluster.person("operator"));
    let labels = json!({"app": "logbook"});
    let pod = json!({"metadata": {"labels": labels},
        "spec": {"containers": [{"name": "work", "image": WORK_IMAGE, "imagePullPolicy": "Never"}]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "logbook", "namespace": load::NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}});
    admin.apply(&deployment.to_string())?;
    admin.wait_for_rollout(load::NAMESPACE, "deployment/logbook")?;
    let fix = ["fix", "deployment/logbook", "-n", load::NAMESPACE, "--action=restart", "--timeout=0"];
    let (_, done) = operator.approve(&fix)?;
    assert_eq!(done.code, Some(0), "{done:?}");

    let whole = operator.guard(&["audit", "verify"])?;
    assert_eq!(whole.code, Some(0), "{whole:?}");
    assert!(whole.out.contains("whole: ") && whole.err.contains("--against"), "{whole:?}");
    let log = cluster.folder().join("audit.log");
    let agrees = operator.guard(&["audit", "verify", "--against", &log.to_string_lossy()])?;
    assert_eq!(agrees.code, Some(0), "{agrees:?}");
    // More than one, if somebody has muted before.
    assert!(agrees.out.contains("agrees: ") && !agrees.out.contains("rewritten: "), "{agrees:?}");
    // Whoever looks at the Deployment reads there what was done to it, by whom, and by which plan.
    let described = admin.kubectl(&["-n", load::NAMESPACE, "describe", "deployment", "logbook"])?;
    assert!(described.contains("GuardRestarted") && described.contains("done; by operator, plan "), "{described}");

    let journal = std::fs::read_to_string(operator.home().join(".local/state/kubectl-guard/journal.jsonl"))?;
    let edited = operator.home().join("edited.jsonl");
    std::fs::write(&edited, journal.replacen("\"operator\"", "\"somebody\"", 1))?;
    let editor = operator.with("GUARD_JOURNAL", &edited.to_string_lossy());
    let found = editor.guard(&["audit", "verify", "--against", &log.to_string_lossy()])?;
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.out.contains("line 1 was edited") && found.out.contains("rewritten: "), "{found:?}");
    admin.kubectl(&["-n", load::NAMESPACE, "delete", "deployment", "logbook"])?;
    Ok(())
}
