//! Facts, evidence and plans for the tests of the write side.

use guard_model::cause::{Cause, Reason};
use guard_model::report::State;
use jiff::Timestamp;

use super::{ActionKind, DrainOptions, Evidence, Kind, Place, Plan, PodEvidence, Resource, Source, Target};
use crate::approve::Person;
use crate::facts::{
    ContainerFact, Facts, NodePod, NodeTarget, Owner, OwnerRule, PodFact, PodTarget, Revision, Revisions, Rollout,
    StatefulFacts, TargetFacts, WorkloadFacts,
};
use crate::propose::{Proposal, Setting, propose};
use crate::wish::{ResourceWish, Wish};

pub(crate) fn now() -> Timestamp {
    "2026-11-22T13:20:05Z".parse().unwrap()
}

pub(crate) fn setting() -> Setting {
    Setting {
        place: Place { context: "prod".into(), cluster: "eu-1".into(), server: "https://10.0.0.1:6443".into() },
        identity: "alice".into(),
        now: now(),
    }
}

pub(crate) fn evidence(cause: Cause) -> Evidence {
    let reasons = vec![Reason { cause, score: 0.93, text: "sent 2.1 MiB/s, expected 40 to 180 kiB/s".into() }];
    let pod = |name: &str, score, state, reasons| PodEvidence {
        name: name.into(),
        uid: format!("uid-{name}"),
        score: Some(score),
        state,
        reasons,
    };
    Evidence {
        source: Source::Exporter,
        at: "2026-11-22T13:20:00Z".parse().unwrap(),
        interval_seconds: 15.0,
        threshold: 0.7,
        model_sha256: "abcdef0123456789".into(),
        score: Some(0.93),
        over: 1,
        reasons: reasons.clone(),
        side: None,
        began: None,
        pods: vec![pod("web-a", 0.93, State::Anomalous, reasons), pod("web-b", 0.1, State::Ok, vec![])],
    }
}

pub(crate) fn workload(kind: Kind) -> WorkloadFacts {
    WorkloadFacts {
        target: Target {
            kind,
            namespace: "shop".into(),
            name: "web".into(),
            uid: "uid-web".into(),
            resource_version: Some("4711".into()),
            generation: Some(2),
        },
        replicas: 2,
        paused: false,
        rollout: Rollout::Rolling { max_unavailable: 0, max_surge: 1, partition: 0 },
        restarted_at: None,
        containers: vec![container("web")],
        deployed_by: None,
        made_from: None,
        stateful: (kind == Kind::StatefulSet).then_some(StatefulFacts {
            ordered: true,
            first: 0,
            deletes_volumes: false,
        }),
    }
}

/// A container with limits for CPU and memory.
pub(crate) fn container(name: &str) -> ContainerFact {
    let given = |cpu: &str, memory: &str| {
        [(Resource::Cpu, cpu.parse().unwrap()), (Resource::Memory, memory.parse().unwrap())].into()
    };
    ContainerFact {
        name: name.into(),
        limits: given("200m", "96Mi"),
        requests: given("20m", "32Mi"),
        restarts: [].into(),
    }
}

pub(crate) fn facts(target: TargetFacts) -> Facts {
    let pod = |name: &str| PodFact {
        name: name.into(),
        uid: format!("uid-{name}"),
        ready: true,
        deleting: false,
        containers: vec![container("web")],
    };
    let owner = Owner { namespace: "shop".into(), rule: OwnerRule::Deployment("web".into()), selector: None };
    Facts { owner: Some(owner), pods: vec![pod("web-a"), pod("web-b")], ..Facts::of(target) }
}

/// Three revisions of Deployment `web`: the last one has another image and one setting more.
pub(crate) fn revisions() -> Revisions {
    let revision = |number: i64, replica_set: &str, image: &str, environment: &serde_json::Value| Revision {
        number,
        replica_set: replica_set.into(),
        created: Some(now() - jiff::SignedDuration::from_mins(5)),
        template: serde_json::json!({ "metadata": { "labels": { "app": "web" } },
            "spec": { "containers": [{ "name": "web", "image": image, "env": environment }] } }),
    };
    let fast = serde_json::json!([{ "name": "FAST", "value": "1" }]);
    let none = serde_json::json!([]);
    Revisions::Known {
        current: revision(3, "web-5d4", "web:3", &fast),
        earlier: vec![revision(2, "web-4c3", "web:2", &none), revision(1, "web-3b2", "web:1", &none)],
    }
}

/// The plan for this wish and these facts, on a user's word.
pub(crate) fn plan_of(wish: &Wish, facts: &Facts) -> Plan {
    match propose(wish, None, facts, setting()).unwrap() {
        Proposal::Plan(plan) => *plan,
        other => panic!("no plan: {other:?}"),
    }
}

/// A plan for Deployment `web`, made at [`now`].
pub(crate) fn plan(action: ActionKind) -> Plan {
    let wish = Wish { action: Some(action), ..Wish::default() };
    let facts = Facts { revisions: revisions(), ..facts(TargetFacts::Workload(workload(Kind::Deployment))) };
    match propose(&wish, Some(evidence(Cause::Transmit)), &facts, setting()).unwrap() {
        Proposal::Plan(plan) => *plan,
        other => panic!("no plan: {other:?}"),
    }
}

/// A plan to raise the memory limit of Deployment `web`, of its two pods first where `in_place`.
pub(crate) fn resources_plan(in_place: bool) -> Plan {
    let limits = super::amounts("memory=128Mi").ok();
    let resources = ResourceWish { limits, in_place, ..ResourceWish::default() };
    let wish = Wish { action: Some(ActionKind::Resources), resources, ..Wish::default() };
    let facts = Facts { can_resize: true, ..facts(TargetFacts::Workload(workload(Kind::Deployment))) };
    match propose(&wish, Some(evidence(Cause::MemoryNearLimit)), &facts, setting()).unwrap() {
        Proposal::Plan(plan) => *plan,
        other => panic!("no plan: {other:?}"),
    }
}

pub(crate) fn pod_target() -> PodTarget {
    PodTarget {
        target: Target {
            kind: Kind::Pod,
            namespace: "shop".into(),
            name: "web-a".into(),
            uid: "uid-web-a".into(),
            resource_version: None,
            generation: None,
        },
        controller: Some(("ReplicaSet".into(), "web-5d4".into())),
        mirror: false,
        deleting: false,
        ready: true,
        runs_once: false,
        outdated: Some(false),
    }
}

/// A plan to evict pod `web-a`.
pub(crate) fn pod_plan() -> Plan {
    let wish = Wish { action: Some(ActionKind::Restart), ..Wish::default() };
    match propose(&wish, Some(evidence(Cause::Transmit)), &facts(TargetFacts::Pod(pod_target())), setting()).unwrap() {
        Proposal::Plan(plan) => *plan,
        other => panic!("no plan: {other:?}"),
    }
}

pub(crate) fn node_target() -> NodeTarget {
    NodeTarget {
        target: Target {
            kind: Kind::Node,
            namespace: String::new(),
            name: "n1".into(),
            uid: "uid-n1".into(),
            resource_version: Some("4711".into()),
            generation: None,
        },
        unschedulable: false,
        cordoned: None,
        control_plane: false,
        nodes: 4,
        others: 3,
        pods: Vec::new(),
        problem: None,
        workloads: (0, 0),
    }
}

/// A plan for node `n1`, cordoned by guard where that is to be undone.
pub(crate) fn node_plan(action: ActionKind) -> Plan {
    let mut node = node_target();
    if action == ActionKind::Drain {
        node.pods = vec![node_pod("web-a"), node_pod("web-b")];
    }
    if action == ActionKind::Uncordon {
        node.unschedulable = true;
        node.cordoned = Some(r#"{"at":"2026-11-22T13:00:00Z","by":"alice","plan":"0123456789ab"}"#.into());
    }
    let facts = Facts { owner: None, pods: Vec::new(), ..facts(TargetFacts::Node(node)) };
    match propose(&Wish { action: Some(action), ..Wish::default() }, None, &facts, setting()).unwrap() {
        Proposal::Plan(plan) => *plan,
        other => panic!("no plan: {other:?}"),
    }
}

/// A ready pod of a ReplicaSet with another one elsewhere: a drain takes it. Its DaemonSet is there if it is given one.
pub(crate) fn node_pod(name: &str) -> NodePod {
    NodePod {
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        finished: false,
        pending: false,
        deleting_since: None,
        mirror: false,
        controller: Some(("ReplicaSet".into(), "web-5d4".into())),
        set_exists: true,
        runs_once: false,
        empty_dir: false,
        ready: true,
        others_ready: 1,
        budgets: Vec::new(),
        misfit: None,
    }
}

/// A plan to drain node `n1` of two pods.
pub(crate) fn drain_plan(options: DrainOptions) -> Plan {
    let node = NodeTarget { pods: vec![node_pod("web-a"), node_pod("web-b")], ..node_target() };
    let facts = Facts { owner: None, pods: Vec::new(), ..facts(TargetFacts::Node(node)) };
    let wish = Wish { action: Some(ActionKind::Drain), drain: options, ..Wish::default() };
    match propose(&wish, None, &facts, setting()).unwrap() {
        Proposal::Plan(plan) => *plan,
        other => panic!("no plan: {other:?}"),
    }
}

/// Somebody at a terminal who types this.
pub(crate) struct Typist(pub(crate) &'static str);

impl Person for Typist {
    fn is_there(&self) -> bool {
        true
    }

    fn ask(&self, _: &str) -> Option<String> {
        Some(self.0.into())
    }
}
