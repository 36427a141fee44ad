//! Nodes: cordon and uncordon, by somebody who may no more than that.

use anyhow::{Context, Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::person::{Answer, Person};
use serde_json::{Value, json};

use crate::fix::stores_nothing;

/// The node of the tests: the one with a certificate that everybody can verify.
const NODE: &str = "node/node2";

/// A dry run, and the same with the digest that it showed.
fn approve_what_is_shown(person: &Person, fix: &[&str]) -> Result<Answer> {
    let shown = person.guard(&[fix, &["--dry-run=server"]].concat())?;
    let digest = shown.out.split_whitespace().find(|word| word.starts_with("sha256:"));
    let digest = digest.with_context(|| format!("no digest is shown: {shown:?}"))?;
    person.guard(&[fix, &["--approve", digest]].concat())
}

fn node(cluster: &Cluster) -> Result<Value> {
    Ok(serde_json::from_str(&cluster.admin().kubectl(&["get", NODE, "-o", "json"])?)?)
}

/// Binds the roles of somebody who works on nodes.
fn bind(cluster: &Cluster) -> Result<()> {
    let binding = |kind: &str, role: &str, role_kind: &str, namespace: Option<&str>| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": format!("test-node-{role}"), "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "node-operator"}]})
    };
    let items = [
        binding("ClusterRoleBinding", "guard-operator", "ClusterRole", None),
        binding("ClusterRoleBinding", "guard-node-operator", "ClusterRole", None),
        binding("RoleBinding", "guard-viewer", "Role", Some("guard-system")),
    ];
    cluster.admin().apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

/// The only write of a person since a mark.
fn only_write(cluster: &Cluster, mark: u64, person: &str) -> Result<Value> {
    let events = cluster.audit_since(mark, person)?;
    let written: Vec<&Value> = events.iter().filter(|event| !stores_nothing(event)).collect();
    ensure!(written.len() == 1, "{written:?}");
    Ok(written[0].clone())
}

pub(crate) fn a_node_is_cordoned_and_uncordoned_with_a_signature(cluster: &mut Cluster) -> Result<()> {
    bind(cluster)?;
    let person = cluster.person("node-operator");
    let cordon = ["fix", NODE, "--action=cordon"];
    // Half of two nodes is left; a limit that is stricter than usual refuses that, and names what accepts it.
    let strict = person.guard(&[&cordon[..], &["--min-schedulable=51", "--dry-run"]].concat())?;
    assert_eq!(strict.code, Some(6), "{strict:?}");
    assert!(strict.err.contains("--min-schedulable 50"), "{}", strict.err);

    let (mark, before) = (cluster.audit_mark(), node(cluster)?);
    for flag in ["--dry-run", "--dry-run=server"] {
        let dry = person.guard(&[&cordon[..], &[flag]].concat())?;
        assert_eq!(dry.code, Some(0), "{dry:?}");
    }
    assert_eq!(node(cluster)?["spec"], before["spec"]);
    let events = cluster.audit_since(mark, "node-operator")?;
    assert!(events.iter().any(|event| event["requestURI"].as_str().is_some_and(|uri| uri.contains("dryRun=All"))));
    let written: Vec<&Value> = events.iter().filter(|event| !stores_nothing(event)).collect();
    assert!(written.is_empty(), "{written:?}");

    let mark = cluster.audit_mark();
    let done = approve_what_is_shown(&person, &cordon)?;
    assert_eq!(done.code, Some(0), "{done:?}");
    let write = only_write(cluster, mark, "node-operator")?;
    let agent = write["userAgent"].as_str().unwrap_or("");
    let plan = agent.split("plan/").nth(1).context("no plan in the User-Agent")?;
    assert!(write["requestURI"].as_str().is_some_and(|uri| uri.contains("fieldManager=kubectl-guard")), "{write}");
    let seen = node(cluster)?;
    assert_eq!(seen["spec"]["unschedulable"], true);
    let signature = seen["metadata"]["annotations"]["kubectl-guard/cordoned"].as_str().context("no signature")?;
    assert!(signature.contains(plan) && signature.contains("node-operator"), "{signature}");
    let again = person.guard(&cordon)?;
    assert_eq!(again.code, Some(6), "{again:?}");

    let uncordon = ["fix", NODE, "--action=uncordon"];
    let done = approve_what_is_shown(&person, &uncordon)?;
    assert_eq!(done.code, Some(0), "{done:?}");
    let seen = node(cluster)?;
    assert!(seen["spec"]["unschedulable"].is_null(), "{seen}");
    assert!(seen["metadata"]["annotations"]["kubectl-guard/cordoned"].is_null(), "{seen}");

    // What somebody else cordoned is left as it is, unless that is accepted.
    cluster.admin().kubectl(&["cordon", "node2"])?;
    let refused = person.guard(&uncordon)?;
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(refused.err.contains("--foreign-cordon"), "{}", refused.err);
    let done = approve_what_is_shown(&person, &[&uncordon[..], &["--foreign-cordon"]].concat())?;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(node(cluster)?["spec"]["unschedulable"].is_null());

    let history = person.guard(&["history"])?;
    assert!(history.out.contains("uncordon") && history.out.contains(NODE), "{}", history.out);
    Ok(())
}
