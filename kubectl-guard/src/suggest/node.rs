//! What the trouble of a node suggests: an action on the node, not on each of its workloads. Pure.

use super::Suggestion;
use crate::node_cause::NodeCause;
use crate::plan::ActionKind;

/// What `cause` suggests to do about a node that takes pods, or no longer does.
pub fn suggest_node(cause: NodeCause, cordoned: bool) -> Suggestion {
    use ActionKind::{Cordon, Drain};
    match (cause, cordoned) {
        (NodeCause::NotReady, false) => Suggestion::act(
            Cordon,
            "cordon",
            "after five minutes not ready Kubernetes makes its pods anew elsewhere, but not those of StatefulSets, which wait \
             for its kubelet, for the Node to be deleted, or, once the machine is off for certain, for the taint \
             node.kubernetes.io/out-of-service; a cordon keeps new ones off it when it comes back, until it is mended",
        ),
        (NodeCause::NotReady, true) => Suggestion::look(
            "mend the node",
            "it is cordoned already, and a drain would wait for a kubelet that does not answer: restart its kubelet or its \
             machine; after five minutes Kubernetes makes its pods anew elsewhere, but not those of StatefulSets, which wait for \
             its kubelet, for the Node to be deleted, or, once the machine is off for certain, for the taint \
             node.kubernetes.io/out-of-service",
        ),
        (NodeCause::Pressure, false) => Suggestion::act(
            Cordon,
            "cordon",
            "a cordon keeps new pods off it while its kubelet evicts; if the pressure stays, drain it and see what fills it",
        ),
        (NodeCause::ManySick, false) => Suggestion::act(
            Cordon,
            "cordon",
            "what many workloads of one node have in common is the node: a cordon keeps new pods off it; if they do not \
             calm down, drain it",
        ),
        (NodeCause::Pressure | NodeCause::ManySick, true) => Suggestion::act(
            Drain,
            "drain",
            "it is cordoned and no better: a drain moves its pods to other nodes, as their disruption budgets allow",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_of_a_node_has_its_suggestion() {
        let each = |cause, cordoned| {
            let suggestion = suggest_node(cause, cordoned);
            let state = if cordoned { "cordoned" } else { "taking pods" };
            format!("{cause:?}, {state} -> {:?} ({})", suggestion.action, suggestion.words)
        };
        let table: Vec<String> =
            NodeCause::ALL.into_iter().flat_map(|cause| [each(cause, false), each(cause, true)]).collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn a_node_is_never_proposed_what_it_has_already_nor_a_workloads_action() {
        for cause in NodeCause::ALL {
            assert_ne!(suggest_node(cause, true).action, Some(ActionKind::Cordon));
            let advised = |cordoned| suggest_node(cause, cordoned).advice.contains("not those of StatefulSets");
            assert_eq!([advised(false), advised(true)], [cause == NodeCause::NotReady; 2], "{cause:?}");
            for cordoned in [false, true] {
                let action = suggest_node(cause, cordoned).action;
                assert!(matches!(action, None | Some(ActionKind::Cordon | ActionKind::Drain)), "{cause:?}");
            }
        }
    }
}
