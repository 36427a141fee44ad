//! Facts of a node, and of the nodes beside it.

use std::collections::BTreeMap;

use guard_model::report::{NodeReport, State};
use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
use kube::api::{Api, ListParams};

use super::room::{keeps_off, takes_pods};
use super::{Facts, NodeTarget, Pause, TargetFacts, drain, incomplete};
use crate::error::Error;
use crate::node_cause::many_sick;
use crate::nodes::is_cordoned;
use crate::plan::{ActionKind, CORDONED, FIELD_MANAGER, Kind, Target, TargetName, is_name};
use crate::request::Request;
use crate::sanitise;
use crate::wish::Wish;

/// Labels that mark a node of the control plane, the second one by its older name.
const CONTROL_PLANE: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// Where the keys of taints lie that tell a node's state.
const STATES: [&str; 2] = ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/"];

/// With the pods of the node where they are to be drained, or could be: a drain is proposed for a cordoned node only.
pub(super) async fn read(client: &kube::Client, name: &TargetName, wish: &Wish, pause: Pause) -> Result<Facts, Error> {
    let request = Request { verb: "list", resource: "nodes", group: "", namespace: None };
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let nodes = nodes.map_err(|error| request.failed(&error))?.items;
    let node = nodes.iter().find(|node| node.metadata.name.as_ref() == Some(&name.name));
    let node = node.ok_or_else(|| Error::NotFound { what: name.to_string() })?;
    let mut target = facts(node, &nodes).ok_or_else(|| incomplete(name))?;
    let drains = match wish.action {
        Some(action) => action == ActionKind::Drain,
        None => target.unschedulable,
    };
    if drains {
        target.pods = drain::read(client, &name.name, &nodes, wish.drain.pod_selector.as_deref()).await?;
    }
    Ok(Facts { pause, ..Facts::of(TargetFacts::Node(target)) })
}

/// The node is cordoned, and it was guard that cordoned it; `None` if it cannot be read.
pub async fn bears_cordon(client: &kube::Client, name: &str) -> Option<bool> {
    let node = Api::<Node>::all(client.clone()).get_opt(name).await.ok()?;
    Some(node.is_some_and(|node| is_cordoned(&node) && signature(&node).is_some()))
}

/// What guard wrote onto the node when it cordoned it, if that cordon is still guard's. `kubectl uncordon` leaves the
/// annotation where it is, so that it may lie beside a later cordon of somebody else: who set the field is what counts.
fn signature(node: &Node) -> Option<&String> {
    let metadata = &node.metadata;
    let cordon = |fields: &FieldsV1| fields.0.pointer("/f:spec/f:unschedulable").is_some();
    let is_ours =
        metadata.managed_fields.iter().flatten().any(|entry| {
            entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.fields_v1.as_ref().is_some_and(cordon)
        });
    metadata.annotations.as_ref()?.get(CORDONED).filter(|_| is_ours)
}

/// `None` for a node without UID or version.
fn facts(node: &Node, nodes: &[Node]) -> Option<NodeTarget> {
    let metadata = &node.metadata;
    let target = Target {
        kind: Kind::Node,
        namespace: String::new(),
        name: metadata.name.clone()?,
        uid: metadata.uid.clone().filter(|uid| !uid.is_empty())?,
        resource_version: Some(metadata.resource_version.clone().filter(|version| !version.is_empty())?),
        generation: None,
    };
    let labels = metadata.labels.as_ref();
    let seen = crate::nodes::facts(node);
    let alike: Vec<&Node> = nodes.iter().filter(|other| takes_those_of(other, node)).collect();
    Some(NodeTarget {
        unschedulable: is_cordoned(node),
        cordoned: signature(node).map(|text| sanitise::line(text)),
        control_plane: labels.is_some_and(|labels| CONTROL_PLANE.iter().any(|role| labels.contains_key(*role))),
        nodes: alike.len(),
        others: alike.iter().filter(|other| other.metadata.uid != metadata.uid && takes_pods(other)).count(),
        pods: Vec::new(),
        problem: seen.cause.zip(seen.problem.map(|(_, words)| words)),
        workloads: (0, 0),
        target,
    })
}

/// Pods that this node takes by its taints are taken by the other too. A node of the control plane, or one that is kept for
/// somebody, is no place for the pods of a node without such a taint, however ready it is.
fn takes_those_of(other: &Node, node: &Node) -> bool {
    let tolerated: Vec<&Taint> = reserving(node).collect();
    let same = |a: &Taint, b: &Taint| (&a.key, &a.value, &a.effect) == (&b.key, &b.value, &b.effect);
    reserving(other).all(|taint| tolerated.iter().any(|known| same(known, taint)))
}

/// The taints with which somebody keeps a node for certain pods. Those that Kubernetes puts on by itself say how a node is
/// doing: that it is cordoned, not ready or under pressure.
fn reserving(node: &Node) -> impl Iterator<Item = &Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let is_state = |taint: &Taint| STATES.iter().any(|domain| taint.key.starts_with(domain));
    taints.iter().filter(move |taint| keeps_off(taint) && !is_state(taint))
}

/// How many of the workloads on this node are over their line, and of how many.
pub fn sick(reports: &[NodeReport], node: &str) -> (usize, usize) {
    let mut workloads: BTreeMap<(&str, String), bool> = BTreeMap::new();
    for pod in reports.iter().filter(|report| report.node == node).flat_map(|report| &report.pods) {
        let owner = pod.workload.as_ref().map_or_else(|| pod.name.clone(), ToString::to_string);
        *workloads.entry((&pod.namespace, owner)).or_default() |= pod.state == State::Anomalous;
    }
    (workloads.values().filter(|over| **over).count(), workloads.len())
}

/// The node whose workloads have it in common that they are over their line, where one of them is in a namespace to `keep`.
pub fn common(reports: &[NodeReport], keep: impl Fn(&str) -> bool) -> Option<TargetName> {
    let concerns = |report: &&NodeReport| {
        let (over, of) = sick(reports, &report.node);
        many_sick(over, of) && report.pods.iter().any(|pod| pod.state == State::Anomalous && keep(&pod.namespace))
    };
    let worst = reports.iter().filter(concerns).max_by_key(|report| sick(reports, &report.node).0)?;
    is_name(&worst.node).then(|| TargetName { kind: Kind::Node, name: worst.node.clone() })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, spec: &Value, ready: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": { "name": name, "uid": format!("uid-{name}"), "resourceVersion": "7" },
            "spec": spec, "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    #[test]
    fn only_ready_nodes_that_are_not_cordoned_count_as_takers() {
        let nodes = [
            node("n1", &json!({}), "True"),
            node("n2", &json!({ "unschedulable": true }), "True"),
            node("n3", &json!({}), "Unknown"),
            node("n4", &json!({}), "True"),
        ];
        let seen = facts(&nodes[0], &nodes).unwrap();
        assert_eq!((seen.nodes, seen.others, seen.unschedulable), (4, 1, false));
        assert_eq!(facts(&nodes[2], &nodes).unwrap().others, 2);
        assert!(facts(&nodes[1], &nodes).unwrap().unschedulable);
    }

    #[test]
    fn only_nodes_that_take_the_same_pods_count() {
        let tainted = |name: &str, taints: &[(&str, &str)]| {
            let taints: Vec<Value> =
                taints.iter().map(|(key, effect)| json!({ "key": key, "effect": effect })).collect();
            node(name, &json!({ "taints": taints }), "True")
        };
        let control = ("node-role.kubernetes.io/control-plane", "NoSchedule");
        let counted = |nodes: &[Node]| {
            let seen = facts(&nodes[0], nodes).unwrap();
            (seen.others, seen.nodes)
        };
        let plain = |name: &str| node(name, &json!({}), "True");
        let gpu = |name: &str| tainted(name, &[("gpu", "NoExecute")]);
        let cases = [
            ("beside the control plane", vec![plain("a"), plain("b"), tainted("c", &[control])], (1, 2)),
            ("beside nodes kept for others", vec![plain("a"), gpu("b"), gpu("c")], (0, 1)),
            ("kept for somebody itself", vec![gpu("a"), gpu("b"), plain("c"), tainted("d", &[control])], (2, 3)),
            ("all kept for the same", vec![gpu("a"), gpu("b"), gpu("c")], (2, 3)),
            ("the control plane itself", vec![tainted("a", &[control]), plain("b"), gpu("c")], (1, 2)),
            ("advised against", vec![plain("a"), tainted("b", &[("spot", "PreferNoSchedule")])], (1, 2)),
            (
                "not well, which says nothing of what it is for",
                vec![
                    plain("a"),
                    plain("b"),
                    node(
                        "c",
                        &json!({ "taints": [
                    { "key": "node.kubernetes.io/unreachable", "effect": "NoExecute" }] }),
                        "Unknown",
                    ),
                ],
                (1, 3),
            ),
        ];
        for (what, nodes, expected) in cases {
            assert_eq!(counted(&nodes), expected, "{what}");
        }
    }

    /// Node n1, cordoned, with guard's annotation; the field was set by `manager`.
    fn cordoned_by(manager: &str) -> Node {
        let fields = json!([{ "manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "fieldsV1": { "f:spec": { "f:unschedulable": {} } } }]);
        let mut one = node("n1", &json!({ "unschedulable": true }), "True");
        one.metadata.annotations = Some([(CORDONED.to_owned(), "a\u{1b}[2Jb".to_owned())].into());
        one.metadata.managed_fields = serde_json::from_value(fields).expect("managed fields");
        one
    }

    #[test]
    fn an_annotation_beside_a_cordon_of_somebody_else_is_a_leftover() {
        let cordoned = |manager| facts(&cordoned_by(manager), &[]).unwrap().cordoned;
        assert!(cordoned("kubectl-guard").is_some());
        assert_eq!(cordoned("kubectl-cordon"), None);
    }

    #[test]
    fn the_annotation_and_the_control_plane_are_seen_and_their_text_is_harmless() {
        let mut one = cordoned_by("kubectl-guard");
        one.metadata.labels = Some([("node-role.kubernetes.io/master".to_owned(), String::new())].into());
        let seen = facts(&one, std::slice::from_ref(&one)).unwrap();
        assert!(seen.control_plane);
        assert!(!seen.cordoned.unwrap().contains('\u{1b}'));
    }

    #[test]
    fn a_node_without_uid_is_no_target() {
        let mut one = node("n1", &json!({}), "True");
        one.metadata.uid = None;
        assert_eq!(facts(&one, &[]), None);
    }

    fn report(node: &str, pods: &[(&str, &str, bool)]) -> NodeReport {
        let pod = |(namespace, workload, over): &(&str, &str, bool)| {
            json!({ "namespace": namespace, "name": format!("{workload}-x"), "uid": workload,
                "workload": format!("Deployment/{workload}"), "score": 0.5,
                "state": if *over { "anomalous" } else { "ok" }, "severity": "none", "since": null, "reasons": [],
                "learning_left": 0, "deploy": false, "containers_ready": 1, "containers_total": 1, "restarts": 0,
                "features": [], "history": [] })
        };
        serde_json::from_value(json!({ "version": 1, "node": node, "at": "2026-11-22T13:20:00Z", "interval_seconds": 15.0,
            "threshold": 0.7, "scored_by": "0.1.0", "model": { "name": "", "version": "", "sha256": "", "error": null },
            "kubelet": { "up": true, "verified": true, "error": null }, "pods": pods.iter().map(pod).collect::<Vec<_>>() }))
        .unwrap()
    }

    #[test]
    fn many_sick_workloads_of_one_node_point_at_it_and_many_pods_of_one_workload_do_not() {
        let common = |pods: &[(&str, &str, bool)], keep: &str| {
            let other = report("n2", &[("shop", "a", false), ("shop", "b", false), ("shop", "c", true)]);
            common(&[report("n1", pods), other], |namespace| namespace == keep).map(|node| node.to_string())
        };
        let three = [("shop", "a", true), ("shop", "b", true), ("db", "c", true)];
        assert_eq!(common(&three, "shop").as_deref(), Some("node/n1"));
        assert_eq!(common(&three, "other"), None, "it is not theirs");
        assert_eq!(common(&[("shop", "a", true); 5], "shop"), None, "one workload");
        assert_eq!(
            common(&[("shop", "a", true), ("shop", "b", false), ("shop", "c", false)], "shop"),
            None,
            "one of three"
        );
        assert_eq!(sick(&[report("n1", &three)], "n1"), (3, 3));
    }
}
