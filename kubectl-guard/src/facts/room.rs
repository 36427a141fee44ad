//! Would a pod fit elsewhere, by requests, taints, node selector and required node affinity? Pure.
//!
//! What the scheduler knows beyond that (spread, pod affinity, volumes, host ports, extended resources) is not looked at:
//! "fits" here means that nothing known so far speaks against it.

use std::collections::BTreeMap;

use guard_model::quantity::Quantity as Exact;
use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::requests::{of_pod, requested};
use crate::nodes::is_cordoned;

/// More than a [`Quantity`](Exact) can say, which fits nowhere, and less than would overflow when many are summed.
const BEYOND: i128 = 1 << 100;

type Quantities = BTreeMap<String, Quantity>;

/// CPU in thousandths of a core, memory in bytes, pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Amount {
    memory: i128,
    cpu: i128,
    pods: i128,
}

impl Amount {
    fn of(quantities: Option<&Quantities>) -> Self {
        let read =
            |name: &str| quantities.and_then(|all| all.get(name)?.0.parse::<Exact>().ok()).unwrap_or(Exact::ZERO);
        Self { memory: read("memory").in_ones(), cpu: read("cpu").in_thousandths(), pods: read("pods").in_ones() }
    }

    fn minus(self, other: Self) -> Self {
        Self { memory: self.memory - other.memory, cpu: self.cpu - other.cpu, pods: self.pods - other.pods }
    }
}

/// Another node that takes pods, with what its pods leave free.
#[derive(Debug)]
struct Room<'a> {
    node: &'a Node,
    free: Amount,
}

/// For each of `leaving`, why it would fit on no node but `from`; `None` where it would. The largest are placed first, each
/// takes its room from the next.
pub(super) fn misfits(leaving: &[&Pod], from: &str, nodes: &[Node], pods: &[Pod]) -> Vec<Option<String>> {
    let others = nodes.iter().filter(|node| node.metadata.name.as_deref() != Some(from) && takes_pods(node));
    let mut rooms: Vec<Room<'_>> = others.map(|node| Room { node, free: free(node, pods) }).collect();
    let mut order: Vec<usize> = (0..leaving.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(requests(leaving[*index])));
    let mut answers = vec![None; leaving.len()];
    for index in order {
        answers[index] = place(leaving[index], &mut rooms, "other nodes").err();
    }
    answers
}

/// Of so many new pods like this one, how many would fit on no node, and why the first of them would not.
pub(super) fn unplaced(pod: &Pod, count: usize, nodes: &[Node], pods: &[Pod]) -> (usize, String) {
    let takers = nodes.iter().filter(|node| takes_pods(node));
    let mut rooms: Vec<Room<'_>> = takers.map(|node| Room { node, free: free(node, pods) }).collect();
    for placed in 0..count {
        // They are all alike: where one does not fit, no later one does.
        if let Err(why) = place(pod, &mut rooms, "nodes") {
            return (count - placed, why);
        }
    }
    (0, String::new())
}

fn free(node: &Node, pods: &[Pod]) -> Amount {
    let allocatable = Amount::of(node.status.as_ref().and_then(|status| status.allocatable.as_ref()));
    let here = pods.iter().filter(|pod| {
        pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == node.metadata.name.as_ref() && !is_finished(pod)
    });
    here.fold(allocatable, |free, pod| free.minus(requests(pod)))
}

pub(super) fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Puts the pod into the first room that takes it, or says why each does not.
fn place(pod: &Pod, rooms: &mut [Room<'_>], called: &str) -> Result<(), String> {
    let wanted = requests(pod);
    let mut reasons: BTreeMap<&'static str, usize> = BTreeMap::new();
    for room in rooms.iter_mut() {
        match obstacle(pod, wanted, room) {
            None => {
                room.free = room.free.minus(wanted);
                return Ok(());
            }
            Some(why) => *reasons.entry(why).or_default() += 1,
        }
    }
    if reasons.is_empty() {
        return Err(format!("none of the {called} takes pods"));
    }
    let reasons: Vec<String> = reasons.iter().map(|(why, count)| format!("{count} {why}")).collect();
    Err(format!("of {} {called} {}", rooms.len(), reasons.join(", ")))
}

fn obstacle(pod: &Pod, wanted: Amount, room: &Room<'_>) -> Option<&'static str> {
    let spec = pod.spec.as_ref()?;
    let labels = room.node.metadata.labels.clone().unwrap_or_default();
    let selector = spec.node_selector.iter().flatten();
    if !selector.clone().all(|(key, value)| labels.get(key) == Some(value)) {
        return Some("not matching its node selector");
    }
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    let name = room.node.metadata.name.as_deref().unwrap_or_default();
    if required.is_some_and(|required| !required.node_selector_terms.iter().any(|term| matches(term, &labels, name))) {
        return Some("not matching its node affinity");
    }
    let taints = room.node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let mut hard = taints.iter().filter(|taint| keeps_off(taint));
    if hard.any(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint))) {
        return Some("with a taint it does not tolerate");
    }
    let left = room.free.minus(wanted);
    (left.cpu < 0 || left.memory < 0 || left.pods < 0).then_some("without room for its requests")
}

/// It keeps pods off that do not tolerate it, and does not merely advise against them.
pub(super) fn keeps_off(taint: &Taint) -> bool {
    taint.effect == "NoSchedule" || taint.effect == "NoExecute"
}

/// An empty term matches nothing, as in the scheduler.
fn matches(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>, name: &str) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    expressions.iter().all(|wanted| holds(wanted, labels.get(&wanted.key).map(String::as_str)))
        && fields.iter().all(|wanted| wanted.key == "metadata.name" && holds(wanted, Some(name)))
}

fn holds(wanted: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = wanted.values.as_deref().unwrap_or_default();
    let among = value.is_some_and(|value| values.iter().any(|one| one == value));
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = values.first().and_then(|bound| number(bound));
    match wanted.operator.as_str() {
        "In" => among,
        "NotIn" => !among,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => value.and_then(number).zip(bound).is_some_and(|(value, bound)| value > bound),
        "Lt" => value.and_then(number).zip(bound).is_some_and(|(value, bound)| value < bound),
        _ => false,
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().filter(|effect| !effect.is_empty());
    let key = toleration.key.as_deref().filter(|key| !key.is_empty());
    if effect.is_some_and(|effect| effect != taint.effect) || key.is_some_and(|key| key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        _ => {
            key.is_some()
                && toleration.value.as_deref().unwrap_or_default() == taint.value.as_deref().unwrap_or_default()
        }
    }
}

/// What the scheduler reserves for a pod.
fn requests(pod: &Pod) -> Amount {
    let Some(spec) = &pod.spec else { return Amount::default() };
    let of = |what, read: fn(&Exact) -> i128| of_pod(spec, what, requested).map_or(BEYOND, |sum| read(&sum));
    Amount { cpu: of("cpu", |sum| sum.in_thousandths()), memory: of("memory", |sum| sum.in_ones()), pods: 1 }
}

/// Ready, and not cordoned.
pub(super) fn takes_pods(node: &Node) -> bool {
    !is_cordoned(node) && is_ready(node)
}

/// Its condition says so.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, change: &Value) -> Node {
        let mut node = json!({
            "metadata": { "name": name, "uid": name, "labels": { "zone": name } }, "spec": {},
            "status": { "allocatable": { "cpu": "2", "memory": "2Gi", "pods": "3" },
                "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        for (key, value) in change.as_object().unwrap() {
            node["spec"][key] = value.clone();
        }
        serde_json::from_value(node).unwrap()
    }

    fn pod(on: &str, cpu: &str, change: &Value) -> Pod {
        let mut spec =
            json!({ "nodeName": on, "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }] });
        for (key, value) in change.as_object().unwrap() {
            spec[key] = value.clone();
        }
        serde_json::from_value(json!({ "spec": spec, "status": { "phase": "Running" } })).unwrap()
    }

    fn why(pods: &[Pod], nodes: &[Node]) -> Vec<String> {
        let leaving: Vec<&Pod> =
            pods.iter().filter(|p| p.spec.as_ref().unwrap().node_name.as_deref() == Some("a")).collect();
        misfits(&leaving, "a", nodes, pods).into_iter().map(|why| why.unwrap_or_else(|| "fits".into())).collect()
    }

    #[test]
    fn each_thing_that_keeps_a_pod_from_another_node_is_named() {
        let nodes = [node("a", &json!({})), node("b", &json!({}))];
        let affinity = |operator: &str, values: &Value| {
            json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
                { "matchExpressions": [{ "key": "zone", "operator": operator, "values": values }] }] } } } })
        };
        let cases = [
            (json!({}), "fits"),
            (json!({ "nodeSelector": { "zone": "b" } }), "fits"),
            (json!({ "nodeSelector": { "zone": "a" } }), "of 1 other nodes 1 not matching its node selector"),
            (affinity("In", &json!(["b", "c"])), "fits"),
            (affinity("NotIn", &json!(["b"])), "of 1 other nodes 1 not matching its node affinity"),
        ];
        for (change, answer) in cases {
            assert_eq!(why(&[pod("a", "1", &change)], &nodes), [answer], "{change}");
        }
        let tainted = [
            node("a", &json!({})),
            node("b", &json!({ "taints": [{ "key": "gpu", "value": "x", "effect": "NoSchedule" }] })),
        ];
        assert_eq!(
            why(&[pod("a", "1", &json!({}))], &tainted),
            ["of 1 other nodes 1 with a taint it does not tolerate"]
        );
        for toleration in [
            json!({ "key": "gpu", "operator": "Exists" }),
            json!({ "key": "gpu", "value": "x" }),
            json!({ "operator": "Exists" }),
        ] {
            assert_eq!(why(&[pod("a", "1", &json!({ "tolerations": [toleration] }))], &tainted), ["fits"]);
        }
        let cordoned = [node("a", &json!({})), node("b", &json!({ "unschedulable": true }))];
        assert_eq!(why(&[pod("a", "1", &json!({}))], &cordoned), ["none of the other nodes takes pods"]);
    }

    #[test]
    fn pods_that_leave_take_room_from_each_other_and_from_nobody_twice() {
        let nodes = [node("a", &json!({})), node("b", &json!({}))];
        let none = json!({});
        let full = "of 1 other nodes 1 without room for its requests";
        assert_eq!(why(&[pod("a", "1", &none), pod("a", "1", &none)], &nodes), ["fits", "fits"]);
        assert_eq!(
            why(&[pod("a", "500m", &none), pod("a", "1.6", &none)], &nodes),
            [full, "fits"],
            "the largest first"
        );
        assert_eq!(why(&[pod("b", "1500m", &none), pod("a", "1", &none)], &nodes), [full]);
        let three = [pod("b", "0", &none), pod("b", "0", &none), pod("b", "0", &none), pod("a", "0", &none)];
        assert_eq!(why(&three, &nodes), [full], "the node's number of pods");
    }
}
