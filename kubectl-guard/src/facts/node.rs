//! Facts of a node, and of the nodes beside it.

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use super::{Autoscaling, Facts, Growth, NodeTarget, Pause, Recent, TargetFacts, Usage, drain, incomplete};
use crate::error::{Error, Request};
use crate::plan::{CORDONED, DrainOptions, Kind, Target, TargetName};
use crate::sanitise;

/// Labels that mark a node of the control plane, the second one by its older name.
const CONTROL_PLANE: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// With `drain` the pods of the node too.
pub(super) async fn read(
    client: &kube::Client,
    name: &TargetName,
    drained: Option<&DrainOptions>,
    pause: Pause,
) -> Result<Facts, Error> {
    let request = Request { verb: "list", resource: "nodes", group: "", namespace: None };
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let nodes = nodes.map_err(|error| request.failed(&error))?.items;
    let node = nodes.iter().find(|node| node.metadata.name.as_ref() == Some(&name.name));
    let node = node.ok_or_else(|| Error::NotFound { what: name.to_string() })?;
    let mut target = facts(node, &nodes).ok_or_else(|| incomplete(name))?;
    if let Some(options) = drained {
        target.pods = drain::read(client, &name.name, &nodes, options.pod_selector.as_deref()).await?;
    }
    Ok(Facts {
        target: TargetFacts::Node(target),
        owner: None,
        pods: Vec::new(),
        autoscaling: Autoscaling::Nobody,
        growth: Growth::None,
        pause,
        usage: Usage::default(),
        can_resize: false,
        recent: Recent::None,
    })
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
    };
    let annotation = metadata.annotations.as_ref().and_then(|annotations| annotations.get(CORDONED));
    let labels = metadata.labels.as_ref();
    Some(NodeTarget {
        unschedulable: is_unschedulable(node),
        cordoned: annotation.map(|text| sanitise::line(text)),
        control_plane: labels.is_some_and(|labels| CONTROL_PLANE.iter().any(|role| labels.contains_key(*role))),
        nodes: nodes.len(),
        others: nodes.iter().filter(|other| other.metadata.uid != metadata.uid && takes_pods(other)).count(),
        pods: Vec::new(),
        target,
    })
}

fn is_unschedulable(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

/// Ready, and not cordoned.
pub(super) fn takes_pods(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    !is_unschedulable(node) && conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
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
    fn the_annotation_and_the_control_plane_are_seen_and_their_text_is_harmless() {
        let mut one = node("n1", &json!({}), "True");
        one.metadata.annotations = Some([(CORDONED.to_owned(), "a\u{1b}[2Jb".to_owned())].into());
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
}
