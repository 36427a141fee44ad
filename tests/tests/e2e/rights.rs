//! Who may what: a viewer, an operator, and somebody with nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use guard_tests::cluster::Cluster;
use guard_tests::{load, wait};
use serde_json::json;

use crate::status::rows;

/// Binds the roles that `install` made to the people of the test.
pub(crate) fn bind(cluster: &Cluster) -> Result<()> {
    let binding = |kind: &str, name: &str, role: &str, person: &str| {
        let namespace = (kind == "RoleBinding").then_some("guard-system");
        let role_kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": format!("test-{name}"), "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person}]})
    };
    let items = [
        binding("ClusterRoleBinding", "viewer", "guard-viewer", "viewer"),
        binding("RoleBinding", "viewer", "guard-viewer", "viewer"),
        binding("ClusterRoleBinding", "operator", "guard-operator", "operator"),
        binding("RoleBinding", "operator", "guard-viewer", "operator"),
        binding("RoleBinding", "operator-mutes", "guard-operator", "operator"),
    ];
    cluster.admin().apply(&json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())
}

pub(crate) fn a_viewer_sees_and_may_not_fix(cluster: &mut Cluster) -> Result<()> {
    bind(cluster)?;
    let viewer = cluster.person("viewer");
    assert!(!rows(&viewer)?.is_empty());
    let fix = ["fix", "deployment/feed", "-n", load::NAMESPACE, "--action=restart"];
    let dry = viewer.guard(&[&fix[..], &["--dry-run"]].concat())?;
    assert_eq!(dry.code, Some(0), "{dry:?}");
    let real = viewer.guard(&fix)?;
    assert_eq!(real.code, Some(3), "{real:?}");
    assert!(real.err.contains("may not patch deployments"), "{}", real.err);
    Ok(())
}

/// Takes the rules of a viewer away one by one; each time the message names the one that is missing.
pub(crate) fn whoever_may_nothing_is_told_the_missing_rule(cluster: &mut Cluster) -> Result<()> {
    let nobody = cluster.person("nobody");
    let nothing = nobody.guard(&["status", "-A"])?;
    assert_eq!(nothing.code, Some(3), "{nothing:?}");
    assert!(nothing.err.contains("may not list pods"), "{}", nothing.err);

    let admin = cluster.admin();
    for (has, lacks) in [("get", "create"), ("create", "get")] {
        let role = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "test-nobody"},
             "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
                       {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": [has]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
             "metadata": {"name": "test-nobody"},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "test-nobody"},
             "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "nobody"}]}]});
        admin.apply(&role.to_string())?;
        // The API server takes a moment to know a new rule.
        let refused = wait::until(&format!("{lacks} to be named"), Duration::from_secs(20), || {
            let answer = nobody.guard(&["status", "-A"])?;
            ensure!(answer.err.contains(&format!("may not {lacks} pods/portforward")), "{answer:?}");
            Ok(Some(answer))
        })?;
        assert_eq!(refused.code, Some(3), "{refused:?}");
    }
    admin.kubectl(&["delete", "clusterrolebinding,clusterrole", "test-nobody"])?;
    Ok(())
}

pub(crate) fn an_operator_cannot_read_secrets(cluster: &mut Cluster) -> Result<()> {
    bind(cluster)?;
    for person in ["viewer", "operator", "system:serviceaccount:guard-system:guard-exporter"] {
        for (verb, resource, part) in [
            ("get", "secrets", ""),
            ("list", "secrets", ""),
            ("create", "pods", "exec"),
            ("get", "nodes", "proxy"),
            ("delete", "pods", ""),
        ] {
            let part = format!("--subresource={part}");
            let asked = ["auth", "can-i", verb, resource, &part, "-n", load::NAMESPACE, "--as", person];
            let answer = cluster.admin().try_kubectl(&asked)?;
            assert_eq!(answer.out.trim(), "no", "{person} {verb} {resource} {part}");
        }
    }
    assert!(
        cluster.person("operator").try_kubectl(&["auth", "can-i", "patch", "deployments.apps"])?.out.starts_with("yes")
    );
    Ok(())
}
