//! What must be known of a target before anything is proposed: read-only calls, and pure parsing of their answers.
//!
//! Reads the workload or pod, the pods beside it, the autoscalers that own its replicas, the cluster-wide pause, and the
//! user's rights. Its data goes to [`crate::propose`].

mod access;
mod containers;
mod drain;
mod growth;
mod keda;
mod list;
mod node;
mod owners;
mod parse;
mod quota;
mod read;
mod recent;
pub mod recorded;
mod requests;
mod revisions;
mod room;
mod usage;
mod vertical;

pub use access::ask as ask_access;
pub use containers::ContainerFact;
pub use drain::drainable;
pub use growth::Growth;
pub use node::{bears_cordon, common, sick};
pub(crate) use parse::is_ready as is_pod_ready;
pub use read::{pause, pods_of, read};
pub use recent::Recent;
pub use revisions::{Revision, Revisions};
pub(crate) use room::is_ready as is_node_ready;
pub use usage::Usage;
pub use vertical::read as ask_vertical;

use guard_model::workload::is_batch;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::audit::Tried;
use crate::error::Error;
use crate::node_cause::{NodeCause, many_sick};
use crate::plan::{Kind, ResourceChange, Target, TargetName};

/// Everything [`crate::propose`] looks at beside the scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// The object to act on.
    pub target: TargetFacts,
    /// What rules the pods: the target itself, or the target pod's controller; `None` for a node.
    pub owner: Option<Owner>,
    /// The pods of that owner.
    pub pods: Vec<PodFact>,
    /// Who else sets the number of replicas; for a wish to change resources, who else sets requests.
    pub autoscaling: Autoscaling,
    /// Who else sets requests, asked for where nothing was wished for and that may come to be proposed.
    pub vertical: Option<Autoscaling>,
    /// What it can be rolled back to.
    pub revisions: Revisions,
    /// Whether there is room for the pods that a scale would add, or for one that requests what was typed.
    pub growth: Growth,
    /// The cluster-wide pause.
    pub pause: Pause,
    /// What one of the target's pods uses, by the exporters.
    pub usage: Usage,
    /// The API server can resize a pod in place; asked only where that is wished for.
    pub can_resize: bool,
    /// What this machine's journal says was done to the target a short while ago.
    pub recent: Recent,
    /// What was tried before for the same object and did not help, by the same journal.
    pub tried: Vec<Tried>,
}

impl Facts {
    /// What is known of a target before anything else was asked about it.
    pub fn of(target: TargetFacts) -> Self {
        Self {
            target,
            owner: None,
            pods: Vec::new(),
            autoscaling: Autoscaling::Nobody,
            vertical: None,
            revisions: Revisions::NotAsked,
            growth: Growth::None,
            pause: Pause::Off,
            usage: Usage::default(),
            can_resize: false,
            recent: Recent::None,
            tried: Vec::new(),
        }
    }
}

impl Facts {
    /// How many pods are ready and not on their way out.
    pub fn ready(&self) -> usize {
        self.pods.iter().filter(|pod| pod.serves()).count()
    }
}

/// Whose pods they are, and how to find them.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// The namespace of all of them.
    pub namespace: String,
    /// How a pod tells that it belongs.
    pub rule: OwnerRule,
    /// The labels its pods carry, where they are known.
    pub selector: Option<LabelSelector>,
}

/// How a pod tells to whom it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerRule {
    /// Through a ReplicaSet whose name is this Deployment's and the pod's template hash.
    Deployment(String),
    /// By the UID of its controller.
    Controller(String),
}

impl Owner {
    /// The owner that a workload is to its pods.
    pub fn workload(target: &Target, selector: LabelSelector) -> Self {
        let rule = match target.kind {
            Kind::Deployment => OwnerRule::Deployment(target.name.clone()),
            _ => OwnerRule::Controller(target.uid.clone()),
        };
        Self { namespace: target.namespace.clone(), rule, selector: Some(selector) }
    }
}

/// The object to act on.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetFacts {
    /// A controller of pods.
    Workload(WorkloadFacts),
    /// A single pod.
    Pod(PodTarget),
    /// A node.
    Node(NodeTarget),
}

impl TargetFacts {
    /// Identity and version of the object.
    pub fn target(&self) -> &Target {
        match self {
            TargetFacts::Workload(workload) => &workload.target,
            TargetFacts::Pod(pod) => &pod.target,
            TargetFacts::Node(node) => &node.target,
        }
    }
}

/// A Deployment, StatefulSet or DaemonSet.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadFacts {
    /// Which, as seen.
    pub target: Target,
    /// How many pods it wants.
    pub replicas: i32,
    /// A Deployment whose rollouts are paused.
    pub paused: bool,
    /// How it replaces its pods.
    pub rollout: Rollout,
    /// The value of kubectl's restart annotation on its pod template.
    pub restarted_at: Option<String>,
    /// The containers of its pod template.
    pub containers: Vec<ContainerFact>,
    /// What deploys it: Argo CD, Flux or Helm, and under which name.
    pub deployed_by: Option<String>,
    /// The object that an operator makes it from, as kind and name: no kind of Kubernetes' own makes such a workload.
    pub made_from: Option<String>,
    /// What only a StatefulSet has; `None` for the others.
    pub stateful: Option<StatefulFacts>,
}

impl WorkloadFacts {
    /// By what setting a new template reaches none of its pods by itself; `None` if it reaches some.
    pub fn never_rolls(&self) -> Option<String> {
        match self.rollout {
            Rollout::OnDelete => Some("update strategy OnDelete".into()),
            Rollout::Rolling { partition, .. } if partition > 0 && partition >= self.replicas => {
                Some(format!("partition {partition} of {} replicas", self.replicas))
            }
            Rollout::Rolling { .. } | Rollout::Recreate => None,
        }
    }
}

/// What a StatefulSet says of its pods, which have an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatefulFacts {
    /// It goes on to another pod only when all are ready: `podManagementPolicy: OrderedReady`, which is the default.
    pub ordered: bool,
    /// The number of its first pod.
    pub first: i32,
    /// The volumes of a pod are deleted with it when it is scaled away: `whenScaled: Delete`.
    pub deletes_volumes: bool,
}

/// How a workload replaces its pods when its template changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// Step by step.
    Rolling {
        /// How many may be missing meanwhile, in pods.
        max_unavailable: i32,
        /// How many may be too many meanwhile, in pods.
        max_surge: i32,
        /// A StatefulSet replaces only ordinals from this one on.
        partition: i32,
    },
    /// All at once, the old ones first.
    Recreate,
    /// Never by itself.
    OnDelete,
}

/// A pod to act on.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question that a guard rail asks")]
pub struct PodTarget {
    /// Which, as seen.
    pub target: Target,
    /// Its controller as `Kind/name`; `None` for a bare pod.
    pub controller: Option<(String, String)>,
    /// It mirrors a static pod: the kubelet's file rules it.
    pub mirror: bool,
    /// Already on its way out.
    pub deleting: bool,
    /// Ready by its condition.
    pub ready: bool,
    /// Its work ends, and it is not run again then: its controller need not make another.
    pub runs_once: bool,
    /// Its controller, which replaces no pod by itself, would make it again from a newer template; `None` if that could not
    /// be found out.
    pub outdated: Option<bool>,
}

/// A node to act on, among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTarget {
    /// Which, as seen.
    pub target: Target,
    /// New pods are kept off it.
    pub unschedulable: bool,
    /// The annotation with which guard signs its cordons.
    pub cordoned: Option<String>,
    /// It carries the control plane.
    pub control_plane: bool,
    /// How many nodes there are for pods like its own: those that are tainted for others do not count.
    pub nodes: usize,
    /// How many others of them are ready and take pods.
    pub others: usize,
    /// Its pods, for a drain: those that its selector takes.
    pub pods: Vec<NodePod>,
    /// What is wrong with it by its own conditions, with the words for it.
    pub problem: Option<(NodeCause, String)>,
    /// How many of the workloads on it are over their line, and of how many, by the exporters.
    pub workloads: (usize, usize),
}

impl NodeTarget {
    /// What is wrong with it: what it says of itself, else what its workloads have in common.
    pub fn cause(&self) -> Option<(NodeCause, String)> {
        let (over, of) = self.workloads;
        let sick = || (NodeCause::ManySick, format!("{over} of the {of} workloads on it are over their line"));
        self.problem.clone().or_else(|| many_sick(over, of).then(sick))
    }
}

/// A pod on a node that is to be drained.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question that a filter asks")]
pub struct NodePod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// It has succeeded or failed.
    pub finished: bool,
    /// It has not started yet.
    pub pending: bool,
    /// Since when it is on its way out.
    pub deleting_since: Option<Timestamp>,
    /// It mirrors a static pod.
    pub mirror: bool,
    /// Its controller as kind and name; `None` for a bare pod.
    pub controller: Option<(String, String)>,
    /// It belongs to a DaemonSet that is still there.
    pub set_exists: bool,
    /// Its work ends, and it is not run again then.
    pub runs_once: bool,
    /// It keeps data in an emptyDir.
    pub empty_dir: bool,
    /// Ready by its condition.
    pub ready: bool,
    /// How many pods of its controller serve on other nodes.
    pub others_ready: usize,
    /// The disruption budgets that cover it.
    pub budgets: Vec<BudgetFact>,
    /// Why it would fit on no other node; `None` where nothing known speaks against one.
    pub misfit: Option<String>,
}

impl NodePod {
    /// `namespace/name`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Without it nothing of its controller serves on another node.
    pub fn is_last(&self) -> bool {
        self.ready && !self.finished && !self.works() && self.deleting_since.is_none() && self.others_ready == 0
    }

    /// A controller has made it for a work that ends: it serves nobody.
    pub fn works(&self) -> bool {
        self.controller.as_ref().is_some_and(|(kind, _)| is_batch(kind, self.runs_once))
    }

    /// A job has made it, and begins it anew.
    pub fn is_of_job(&self) -> bool {
        self.controller.as_ref().is_some_and(|(kind, _)| kind == "Job")
    }

    /// A DaemonSet has made it, which may be gone.
    pub fn is_of_set(&self) -> bool {
        self.controller.as_ref().is_some_and(|(kind, _)| kind == "DaemonSet")
    }

    /// The budgets that the API server will ask: none for a pod that does not run.
    pub fn asked_budgets(&self) -> &[BudgetFact] {
        if self.finished || self.pending || self.deleting_since.is_some() { &[] } else { &self.budgets }
    }
}

/// A disruption budget that covers a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetFact {
    /// Its name.
    pub name: String,
    /// How many disruptions it allows now.
    pub allowed: i32,
    /// The pod is unready, and may go without being counted.
    pub spares: bool,
}

/// One pod of the target's controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFact {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Ready by its condition.
    pub ready: bool,
    /// On its way out.
    pub deleting: bool,
    /// Its containers while it runs; none before and after.
    pub containers: Vec<ContainerFact>,
}

impl PodFact {
    /// The container that is to be changed, while it runs.
    pub fn named(&self, change: &ResourceChange) -> Option<&ContainerFact> {
        self.containers.iter().find(|container| container.name == change.container)
    }

    /// It takes part in serving: ready and not on its way out.
    pub fn serves(&self) -> bool {
        self.ready && !self.deleting
    }
}

/// Who else sets what is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Autoscaling {
    /// Nobody, as far as autoscalers go.
    Nobody,
    /// This HorizontalPodAutoscaler.
    Owned {
        /// Its name.
        name: String,
        /// Its lower bound.
        min: i32,
        /// Its upper bound.
        max: i32,
    },
    /// This ScaledObject of KEDA, through a HorizontalPodAutoscaler that it makes.
    Keda {
        /// Its name.
        name: String,
        /// Its lower bound.
        min: i32,
        /// Its upper bound.
        max: i32,
    },
    /// This VerticalPodAutoscaler sets the requests.
    Vertical {
        /// Its name.
        name: String,
    },
    /// It could not be found out.
    Unknown {
        /// Why.
        why: String,
    },
}

/// The cluster-wide pause: ConfigMap `guard-pause` in `guard-system`. It binds guard only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pause {
    /// There is no such ConfigMap.
    Off,
    /// There is: its `reason`, if it gives one.
    On {
        /// What `data.reason` says.
        reason: Option<String>,
    },
    /// It could not be found out, which counts as paused.
    Unknown {
        /// Why.
        why: String,
    },
}

/// Without UID, resourceVersion or spec an object cannot be acted on safely.
fn incomplete(name: &TargetName) -> Error {
    Error::Api {
        doing: format!("read {name}"),
        code: 0,
        message: "it came without UID, resourceVersion or spec".into(),
    }
}
