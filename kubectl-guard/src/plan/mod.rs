//! A plan: what would be written, to which object, on what evidence, by whom, and until when.
//!
//! Made by [`crate::propose`] alone, shown by [`render`], turned into an approved one by [`crate::approve`] and carried
//! out by [`crate::apply`]. Pure: nothing here looks at the clock or the cluster.

mod digest;
mod drain;
mod evidence;
mod file;
mod merge;
mod place;
mod render;
mod resources;
mod target;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;

pub(crate) use digest::{hex, id};
pub use drain::DrainOptions;
pub(crate) use evidence::is_of;
pub use evidence::{Evidence, PodEvidence, Source, target_of, worst};
pub use file::{BadPlanFile, MAX_BYTES as MAX_FILE_BYTES, PlanFile, PlanFileError, document};
pub(crate) use merge::{difference, merged, without_nulls};
pub use render::{Verdict, diff, render};
pub use resources::{Amounts, Resource, ResourceChange, amounts};
pub use target::{Kind, Latest, NotATarget, Target, TargetName, is_name};

/// Version of the plan's JSON; rises with a change that an old reader would misread.
pub const VERSION: u32 = 1;

/// How long a plan may be approved and carried out after it was made.
pub const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// The name under which guard writes, as managedFields and the audit log show it.
pub const FIELD_MANAGER: &str = "kubectl-guard";

/// The annotation of `kubectl rollout restart`, so that both tools tell the same story of a workload.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// The annotation of a node that guard cordoned: which plan, by whom, when. Only such a node is uncordoned without further
/// ado, from whatever machine.
pub const CORDONED: &str = "kubectl-guard/cordoned";

/// What a user can ask for with `--action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// Roll a workload's pods, or evict one pod.
    Restart,
    /// Roll a workload back to the pod template of an earlier revision.
    #[serde(rename = "rollout-undo")]
    RolloutUndo,
    /// Change the number of replicas.
    Scale,
    /// Change limits and requests of a container.
    Resources,
    /// Mark a node unschedulable.
    Cordon,
    /// Mark a node schedulable again.
    Uncordon,
    /// Cordon a node and evict its pods.
    Drain,
}

impl ActionKind {
    /// The word of the command line.
    pub fn name(self) -> &'static str {
        match self {
            ActionKind::Restart => "restart",
            ActionKind::RolloutUndo => "rollout-undo",
            ActionKind::Scale => "scale",
            ActionKind::Resources => "resources",
            ActionKind::Cordon => "cordon",
            ActionKind::Uncordon => "uncordon",
            ActionKind::Drain => "drain",
        }
    }
}

/// One typed action with its parameters: all that a step can ever be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Action {
    /// Rolls a workload as `kubectl rollout restart` does.
    RolloutRestart,
    /// Gives a workload the pod template of an earlier revision back, as `kubectl rollout undo` does.
    RolloutUndo {
        /// Which.
        revision: i64,
    },
    /// Evicts one pod, so that its controller replaces it; disruption budgets are heeded.
    EvictPod,
    /// Sets the number of replicas.
    Scale {
        /// How many there are to be.
        replicas: i32,
    },
    /// Sets limits and requests in a workload's pod template, which rolls its pods.
    SetResources {
        /// Of which container, to what.
        change: ResourceChange,
    },
    /// Sets limits and requests of one running pod, without a restart where the node can do it.
    ResizePod {
        /// Of which container, to what.
        change: ResourceChange,
    },
    /// Keeps new pods off a node.
    Cordon,
    /// Lets new pods onto a node again.
    Uncordon,
    /// Keeps new pods off a node; the steps behind it end the pods that are there.
    Drain {
        /// What it may do.
        options: DrainOptions,
    },
    /// Deletes one pod without asking its disruption budget; only as part of a drain.
    DeletePod,
}

impl Action {
    /// Which action of the command line this is.
    pub fn kind(&self) -> ActionKind {
        match self {
            Action::RolloutRestart | Action::EvictPod => ActionKind::Restart,
            Action::RolloutUndo { .. } => ActionKind::RolloutUndo,
            Action::Scale { .. } => ActionKind::Scale,
            Action::SetResources { .. } | Action::ResizePod { .. } => ActionKind::Resources,
            Action::Cordon => ActionKind::Cordon,
            Action::Uncordon => ActionKind::Uncordon,
            Action::Drain { .. } | Action::DeletePod => ActionKind::Drain,
        }
    }

    /// What is done to what, for people: `scale deployment/web to 3`.
    pub fn on(&self, target: &Target) -> String {
        match self {
            Action::RolloutRestart => format!("restart {target}"),
            Action::RolloutUndo { revision } => format!("roll {target} back to revision {revision}"),
            Action::EvictPod => format!("evict {target}"),
            Action::Scale { replicas } => format!("scale {target} to {replicas}"),
            Action::SetResources { .. } | Action::ResizePod { .. } => format!("{} of {target}", self.phrase()),
            Action::Cordon | Action::Uncordon | Action::Drain { .. } | Action::DeletePod => {
                format!("{} {target}", self.phrase())
            }
        }
    }

    /// It ends a pod, rather than changing an object.
    pub fn ends_pod(&self) -> bool {
        matches!(self, Action::EvictPod | Action::DeletePod)
    }

    /// A phrase for people: `restart`, `evict`, `scale to 3`.
    pub fn phrase(&self) -> String {
        match self {
            Action::RolloutRestart => "restart".into(),
            Action::RolloutUndo { revision } => format!("roll back to revision {revision}"),
            Action::EvictPod => "evict".into(),
            Action::Scale { replicas } => format!("scale to {replicas}"),
            Action::SetResources { change } => format!("set {}", change.words()),
            Action::ResizePod { change } => format!("resize in place {}", change.words()),
            Action::Cordon => "cordon".into(),
            Action::Uncordon => "uncordon".into(),
            Action::Drain { .. } => "drain".into(),
            Action::DeletePod => "delete".into(),
        }
    }
}

/// The cluster that a plan is for, as the user's kubeconfig names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The kubeconfig context.
    pub context: String,
    /// The kubeconfig cluster.
    pub cluster: String,
    /// The URL of its API server.
    pub server: String,
}

/// The right that a write needs, in the words of RBAC.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Need {
    /// `patch`, `create`, ...
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in plural, such as `deployments`.
    pub resource: String,
    /// Its subresource, or empty.
    pub subresource: String,
    /// The namespace; empty for the whole cluster.
    pub namespace: String,
    /// The object's name; empty for all of that kind.
    pub name: String,
}

impl Need {
    /// To patch the target, or its `subresource`; empty for the object itself.
    pub fn patch(target: &Target, subresource: &str) -> Self {
        Self {
            verb: "patch".into(),
            group: target.kind.group().into(),
            resource: target.kind.resource().into(),
            subresource: subresource.into(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
        }
    }

    /// The error that this right is missing; `message` is what the API server said.
    pub fn denied(&self, message: &str) -> Error {
        let slash = if self.subresource.is_empty() { "" } else { "/" };
        let dot = if self.group.is_empty() { "" } else { "." };
        Error::Forbidden {
            verb: self.verb.clone(),
            resource: format!("{}{slash}{}{dot}{}", self.resource, self.subresource, self.group),
            namespace: Some(self.namespace.clone()).filter(|namespace| !namespace.is_empty()),
            message: message.to_owned(),
        }
    }
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.namespace.is_empty() {
            write!(f, " in namespace {}", self.namespace)?;
        }
        Ok(())
    }
}

/// How a step could be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Undo {
    /// It can't: the reason.
    Irreversible {
        /// Why not.
        why: String,
    },
    /// By this action on the same object, as long as the field still holds what the step wrote.
    Inverse {
        /// The action that restores what was.
        action: Action,
    },
}

/// One write: exactly what is sent, and what must still be so when it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// To which object, with the UID and resourceVersion it was seen with.
    pub target: Target,
    /// The body of the request: a patch, or an eviction.
    pub patch: Value,
    /// What the API server itself checks before it writes.
    pub preconditions: Vec<String>,
    /// The touched fields before.
    pub before: Value,
    /// The touched fields after.
    pub after: Value,
    /// The right it needs.
    pub need: Need,
    /// How it could be taken back.
    pub undo: Undo,
}

/// What a guard rail said when the plan was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RailState {
    /// Nothing speaks against the plan.
    Held,
    /// It would refuse, and the user overrode it by name.
    Overridden,
    /// It refuses: the plan can be shown and never approved.
    Refused,
}

/// One guard rail with its finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardRail {
    /// Its name, such as `pause` or `last ready replica`.
    pub name: String,
    /// What it said.
    pub state: RailState,
    /// The finding in a few words.
    pub detail: String,
}

/// Everything a person is asked to approve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// Twelve hex digits; the journal and the User-Agent of each write carry it.
    pub id: String,
    /// When it was made.
    pub created: Timestamp,
    /// After this it is refused.
    pub expires: Timestamp,
    /// For which cluster.
    #[serde(flatten)]
    pub place: Place,
    /// The user, as the API server names them.
    pub identity: String,
    /// The score it rests on; `None` if the user named target and action and no score could be read.
    pub evidence: Option<Evidence>,
    /// The writes, in order.
    pub steps: Vec<Step>,
    /// The guard rails that were asked.
    pub guard_rails: Vec<GuardRail>,
    /// What should be known before approving.
    pub advice: Vec<String>,
}

impl Plan {
    /// A plan made at `created`, with its id and expiry.
    pub fn new(
        created: Timestamp,
        place: Place,
        identity: String,
        evidence: Option<Evidence>,
        steps: Vec<Step>,
        guard_rails: Vec<GuardRail>,
        advice: Vec<String>,
    ) -> Self {
        let mut plan = Self {
            version: VERSION,
            id: String::new(),
            created,
            expires: created.saturating_add(LIFETIME).unwrap_or(Timestamp::MAX),
            place,
            identity,
            evidence,
            steps,
            guard_rails,
            advice,
        };
        plan.id = plan.target().map(|target| id(plan.created, &plan.place, &plan.identity, target)).unwrap_or_default();
        plan
    }

    /// `sha256:` and the hex digest of what an approval covers: cluster, identity, steps with UIDs and resourceVersions,
    /// guard rails, and the minute it was made in.
    ///
    /// The score is not in it: it moves with every tick, and is checked anew before the write.
    pub fn digest(&self) -> String {
        digest::of(self, digest::minute(self.created))
    }

    /// True if `approved` is the digest of this very plan, made at most [`LIFETIME`] before it: how an approval that was
    /// given for a dry run is recognised when the plan is made again from fresh facts.
    pub fn answers_to(&self, approved: &str) -> bool {
        let minute = digest::minute(self.created);
        (0..LIFETIME.as_mins()).any(|age| digest::of(self, minute - age) == approved)
    }

    /// The guard rail that refuses, if any.
    pub fn refused_by(&self) -> Option<&GuardRail> {
        self.guard_rails.iter().find(|rail| rail.state == RailState::Refused)
    }

    /// It drains a node.
    pub fn is_drain(&self) -> bool {
        self.steps.first().is_some_and(|step| matches!(step.action, Action::Drain { .. }))
    }

    /// The step that the plan is about: the first one but for pods that are resized in place before their template.
    pub fn lead(&self) -> Option<&Step> {
        let resizes = |step: &&Step| matches!(step.action, Action::ResizePod { .. });
        self.steps.iter().find(|step| !resizes(step)).or(self.steps.first())
    }

    /// The object that the plan is about.
    pub fn target(&self) -> Option<&Target> {
        self.lead().map(|step| &step.target)
    }
}

#[cfg(test)]
pub(crate) mod examples;
#[cfg(test)]
mod tests;
