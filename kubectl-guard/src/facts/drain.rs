//! What a drain must know of the pods on a node: what rules them, which budgets cover them, and whether they fit elsewhere.

use std::collections::BTreeMap;

use guard_model::pod::MIRROR;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::core::{Selector, SelectorExt};

use super::parse::{controller, is_ready, runs_once};
use super::{BudgetFact, NodePod, room};
use crate::error::Error;
use crate::facts::list::list_all;
use crate::plan::DrainOptions;

/// Reads the pods of one node, those of them that `selector` takes.
pub(super) async fn read(
    client: &kube::Client,
    node: &str,
    nodes: &[Node],
    selector: Option<&str>,
) -> Result<Vec<NodePod>, Error> {
    let everything = list_all::<Pod>(client, &ListParams::default()).await?;
    let mut here = ListParams::default().fields(&format!("spec.nodeName={node}"));
    if let Some(selector) = selector {
        here = here.labels(selector);
    }
    let chosen = list_all::<Pod>(client, &here).await?;
    let budgets = list_all::<PodDisruptionBudget>(client, &ListParams::default()).await?;
    let sets = list_all::<DaemonSet>(client, &ListParams::default()).await?;
    Ok(facts(node, nodes, &chosen, &everything, &budgets, &sets))
}

/// The pods of a node that a drain with these options evicts, as they are now; those that are ending already are not.
///
/// # Errors
/// They may not be read, or the API server does not answer.
pub async fn drainable(client: &kube::Client, node: &str, options: &DrainOptions) -> Result<Vec<NodePod>, Error> {
    let pods = read(client, node, &[], options.pod_selector.as_deref()).await?;
    Ok(pods.into_iter().filter(|pod| !pod.mirror && !pod.is_of_set() && pod.deleting_since.is_none()).collect())
}

fn facts(
    node: &str,
    nodes: &[Node],
    chosen: &[Pod],
    everything: &[Pod],
    budgets: &[PodDisruptionBudget],
    sets: &[DaemonSet],
) -> Vec<NodePod> {
    let moves = |pod: &&Pod| {
        let set = controller(&pod.metadata).is_some_and(|owner| owner.kind == "DaemonSet");
        !set && !is_mirror(pod) && !room::is_finished(pod) && pod.metadata.deletion_timestamp.is_none()
    };
    let leaving: Vec<&Pod> = chosen.iter().filter(moves).collect();
    let answers = room::misfits(&leaving, node, nodes, everything);
    let mut misfits: BTreeMap<Option<&str>, String> = BTreeMap::new();
    for (pod, answer) in leaving.iter().zip(answers) {
        if let Some(why) = answer {
            misfits.insert(pod.metadata.uid.as_deref(), why);
        }
    }
    let mut pods: Vec<NodePod> = chosen
        .iter()
        .filter_map(|pod| {
            Some(NodePod {
                misfit: misfits.remove(&pod.metadata.uid.as_deref()),
                others_ready: others_ready(pod, node, everything),
                budgets: budgets.iter().filter(|budget| covers(budget, pod)).map(|budget| fact(budget, pod)).collect(),
                set_exists: sets.iter().any(|set| {
                    let owner = controller(&pod.metadata);
                    set.metadata.uid.is_some() && owner.map(|owner| &owner.uid) == set.metadata.uid.as_ref()
                }),
                ..plain(pod)?
            })
        })
        .collect();
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    pods
}

/// What the pod says of itself; `None` without a UID, since such a one could not be held to anything.
fn plain(pod: &Pod) -> Option<NodePod> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    Some(NodePod {
        namespace: pod.metadata.namespace.clone()?,
        name: pod.metadata.name.clone()?,
        uid: pod.metadata.uid.clone().filter(|uid| !uid.is_empty())?,
        finished: room::is_finished(pod),
        pending: pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Pending"),
        deleting_since: pod.metadata.deletion_timestamp.as_ref().map(|time| time.0),
        mirror: is_mirror(pod),
        controller: controller(&pod.metadata).map(|owner| (owner.kind.clone(), owner.name.clone())),
        set_exists: false,
        runs_once: runs_once(pod),
        empty_dir: volumes.iter().any(|volume| volume.empty_dir.is_some()),
        ready: is_ready(pod),
        others_ready: 0,
        budgets: Vec::new(),
        misfit: None,
    })
}

fn is_mirror(pod: &Pod) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(MIRROR))
}

/// How many pods of the same controller serve on other nodes.
fn others_ready(pod: &Pod, node: &str, everything: &[Pod]) -> usize {
    let Some(owner) = controller(&pod.metadata) else { return 0 };
    let elsewhere = everything.iter().filter(|other| {
        other.metadata.namespace == pod.metadata.namespace
            && controller(&other.metadata).is_some_and(|theirs| theirs.uid == owner.uid)
            && other.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) != Some(node)
    });
    elsewhere.filter(|other| is_ready(other) && other.metadata.deletion_timestamp.is_none()).count()
}

/// A budget without a selector covers nothing, one with an empty selector everything in its namespace.
fn covers(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
    let labels = pod.metadata.labels.clone().unwrap_or_default();
    budget.metadata.namespace == pod.metadata.namespace
        && selector.and_then(|selector| Selector::try_from(selector).ok()).is_some_and(|s| s.matches(&labels))
}

fn fact(budget: &PodDisruptionBudget, pod: &Pod) -> BudgetFact {
    let status = budget.status.clone().unwrap_or_default();
    let always =
        budget.spec.as_ref().and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref()) == Some("AlwaysAllow");
    BudgetFact {
        name: budget.metadata.name.clone().unwrap_or_default(),
        allowed: status.disruptions_allowed,
        // An unready pod does not count for a budget that is met without it.
        spares: !is_ready(pod)
            && (always || status.current_healthy >= status.desired_healthy && status.desired_healthy > 0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, node: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": name, "namespace": "shop", "uid": name, "labels": { "app": "web" },
                "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": true }] },
            "spec": { "nodeName": node, "containers": [], "volumes": [{ "name": "v", "emptyDir": {} }] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    fn budget(name: &str, spec: &Value, allowed: i32) -> PodDisruptionBudget {
        serde_json::from_value(json!({ "metadata": { "name": name, "namespace": "shop" }, "spec": spec,
            "status": { "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1 } }))
        .unwrap()
    }

    #[test]
    fn every_budget_that_covers_a_pod_is_found() {
        let chosen = [pod("a", "n1", "True")];
        let selects = |app: &str| json!({ "selector": { "matchLabels": { "app": app } } });
        let budgets = [
            budget("mine", &selects("web"), 0),
            budget("all", &json!({ "selector": {} }), 1),
            budget("none", &json!({}), 0),
            budget("others", &selects("db"), 0),
        ];
        let seen = facts("n1", &[], &chosen, &chosen, &budgets, &[]);
        let names: Vec<_> = seen[0].budgets.iter().map(|budget| (budget.name.as_str(), budget.allowed)).collect();
        assert_eq!(names, [("mine", 0), ("all", 1)]);
        assert!(seen[0].empty_dir);
    }

    #[test]
    fn only_pods_that_serve_on_other_nodes_count_as_others() {
        let all = [pod("a", "n1", "True"), pod("b", "n1", "True"), pod("c", "n2", "True"), pod("d", "n3", "False")];
        assert_eq!(facts("n1", &[], &all[..1], &all, &[], &[])[0].others_ready, 1);
        assert_eq!(facts("n2", &[], &all[2..3], &all, &[], &[])[0].others_ready, 2);
    }
}
