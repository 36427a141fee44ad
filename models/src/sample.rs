//! One pod at one tick: what was measured, and what Kubernetes says of it.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::silence::Silence;
use crate::workload::{Workload, is_batch};

/// A time as samples have it: seconds of Unix time.
pub fn seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// Where a pod is in its life, as its status says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Accepted, not all containers started.
    Pending,
    /// At least one container is running or restarting.
    Running,
    /// All containers ended with success: no longer scored.
    Succeeded,
    /// All containers ended, at least one of them badly.
    Failed,
    /// The node does not answer, or the phase is missing.
    #[default]
    Unknown,
}

/// How a container last ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// The container's name.
    pub container: String,
    /// `OOMKilled`, `Error`, `Completed`, ...; free text of the runtime.
    pub reason: String,
    /// The exit code, 0 to 255.
    pub exit_code: i32,
    /// When it ended, where known.
    pub finished_at: Option<Timestamp>,
}

/// The annotations `guard.kubectl.io/...` by which an owner tunes or silences a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OptOut {
    /// `guard.kubectl.io/ignore: "true"`: shown as muted, never anomalous.
    pub ignore: bool,
    /// `guard.kubectl.io/threshold`: a line of its own, above 0 and up to 1.
    pub threshold: Option<f64>,
    /// `guard.kubectl.io/expected-high-cpu: "true"`: CPU at its limit is no fact against it.
    pub expected_high_cpu: bool,
}

/// What one container of several may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerLimits {
    /// The container's name.
    pub name: String,
    /// CPU limit in cores, if it has one.
    pub cpu_cores: Option<f64>,
    /// Memory limit in bytes, if it has one.
    pub memory_bytes: Option<f64>,
}

/// What one container uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerUse {
    /// The container's name.
    pub name: String,
    /// CPU use in cores.
    pub cpu_cores: Option<f64>,
    /// Working set in bytes.
    pub memory_bytes: Option<f64>,
}

/// What the API server says of a pod; made by [`crate::pod`] from a Pod object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct PodFacts {
    /// `metadata.uid`: the identity that everything is keyed by.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name; may be used again by a later pod.
    pub name: String,
    /// The node it is bound to, if any.
    pub node: Option<String>,
    /// Its controller; `None` for a bare pod.
    pub workload: Option<Workload>,
    /// Its containers are not all started again when they end (`restartPolicy` is not `Always`): it may come to an end by itself.
    #[serde(default)]
    pub ends: bool,
    /// Hash of the pod template it was made from (`pod-template-hash` or `controller-revision-hash`).
    pub revision: Option<String>,
    /// Mirror of a static pod (annotation `kubernetes.io/config.mirror`).
    pub mirror: bool,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When its node took it: before that a scheduler, a volume or a full cluster may have kept it waiting.
    #[serde(default)]
    pub started: Option<Timestamp>,
    /// It shares its node's network: what is counted there is the node's traffic.
    #[serde(default)]
    pub host_network: bool,
    /// A deletion has begun.
    pub deleting: bool,
    /// Condition `Ready` is true.
    pub ready: bool,
    /// Since when condition `Ready` has its present value.
    pub ready_changed: Option<Timestamp>,
    /// A container runs that its startup probe has not let pass yet: how long that may take is its owner's to say.
    #[serde(default)]
    pub starting: bool,
    /// Ordinary containers (and restartable init containers) that are ready.
    pub containers_ready: u32,
    /// Ordinary containers (and restartable init containers) in all.
    pub containers_total: u32,
    /// Restarts of all containers together.
    pub restarts: u32,
    /// Restarts of each container that had any, by its name; a table does not tell them apart.
    #[serde(default)]
    pub container_restarts: Vec<(String, u32)>,
    /// The most telling reason for which a container waits: `CrashLoopBackOff`, `ImagePullBackOff`, ...
    pub waiting: Option<String>,
    /// The latest end of a container, from `state` or `lastState`.
    pub terminated: Option<Termination>,
    /// The scheduler's message if the pod cannot be placed; free text.
    pub unschedulable: Option<String>,
    /// CPU limit in cores, if every container has one; that of containers to come holds for no init container before them.
    pub cpu_limit_cores: Option<f64>,
    /// Memory limit in bytes, likewise.
    pub memory_limit_bytes: Option<f64>,
    /// Of a pod with several containers those that have a limit of their own: one may be at its limit while the pod, with another
    /// of large limits or of none, is far from the sum.
    #[serde(default)]
    pub container_limits: Vec<ContainerLimits>,
    /// What its owner asks of guard.
    pub opt_out: OptOut,
    /// Somebody muted it, its workload or its node.
    #[serde(default)]
    pub muted: Option<Silence>,
}

impl PodFacts {
    /// When it began to start: when its node took it, or when it was created where nobody tells that.
    pub fn begun(&self) -> Option<Timestamp> {
        self.started.or(self.created)
    }

    /// It is there to do one piece of work and end. A bare pod may be anything.
    pub fn is_batch(&self) -> bool {
        self.workload.as_ref().is_some_and(|owner| is_batch(&owner.kind, self.ends))
    }
}

/// What was measured over one tick. Missing is `None`, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// CPU use in cores, over the time between two readings of the kubelet.
    pub cpu_cores: Option<f64>,
    /// CPU use as a share of the limit, the pod's or that of the container nearest to its own; can exceed 1 for a moment.
    pub cpu_limit_share: Option<f64>,
    /// Whose it is: the place in [`PodFacts::container_limits`]; `None` is the pod.
    #[serde(default)]
    pub cpu_limit_of: Option<usize>,
    /// Working set in bytes.
    pub memory_bytes: Option<f64>,
    /// Working set as a share of the limit, likewise.
    pub memory_limit_share: Option<f64>,
    /// Whose it is, likewise.
    #[serde(default)]
    pub memory_limit_of: Option<usize>,
    /// Bytes received per second.
    pub receive_bytes_per_second: Option<f64>,
    /// Bytes sent per second.
    pub transmit_bytes_per_second: Option<f64>,
    /// Packets dropped per second, both directions (cadvisor, once a minute).
    pub drops_per_second: Option<f64>,
    /// Network errors per second, both directions.
    pub network_errors_per_second: Option<f64>,
    /// Share of CFS periods in which the pod was throttled, 0 to 1 (cadvisor; only with a CPU limit).
    pub throttled_share: Option<f64>,
    /// OOM kills since the reading before (cadvisor).
    pub oom_events: Option<f64>,
    /// Processes.
    pub processes: Option<f64>,
    /// Bytes read from and written to disk per second (cadvisor).
    pub disk_bytes_per_second: Option<f64>,
}

impl Measures {
    /// The same with the shares of the limits, the pod's and its containers', of which these are measured.
    #[must_use]
    pub fn limited<'a>(self, facts: &PodFacts, containers: &(impl Iterator<Item = &'a ContainerUse> + Clone)) -> Self {
        let limits = &facts.container_limits;
        let shares = |of: fn(&ContainerUse, &ContainerLimits) -> Option<f64>| {
            containers.clone().filter_map(move |used| {
                let place = limits.iter().position(|limits| limits.name == used.name)?;
                Some((place, of(used, &limits[place])?))
            })
        };
        let cpu = shares(|used, limits| share(used.cpu_cores, limits.cpu_cores));
        let memory = shares(|used, limits| share(used.memory_bytes, limits.memory_bytes));
        let (cpu_limit_share, cpu_limit_of) = nearest(share(self.cpu_cores, facts.cpu_limit_cores), cpu);
        let (memory_limit_share, memory_limit_of) = nearest(share(self.memory_bytes, facts.memory_limit_bytes), memory);
        Self { cpu_limit_share, cpu_limit_of, memory_limit_share, memory_limit_of, ..self }
    }
}

/// What is used as a share of what may be.
fn share(used: Option<f64>, limit: Option<f64>) -> Option<f64> {
    Some(used? / limit.filter(|limit| *limit > 0.0)?)
}

/// The pod's share, or the largest of its containers' and whose that is, if that is more.
fn nearest(pod: Option<f64>, containers: impl Iterator<Item = (usize, f64)>) -> (Option<f64>, Option<usize>) {
    containers.fold((pod, None), |(most, of), (place, share)| {
        if most.is_none_or(|most| share > most) { (Some(share), Some(place)) } else { (most, of) }
    })
}

/// One pod at one tick, made by the [`crate::sampler`].
#[derive(Clone, Debug, PartialEq)]
pub struct PodSample {
    /// When it was measured, in seconds of Unix time: the kubelet's own `time`, not the reader's clock.
    pub at: f64,
    /// False if the kubelet still showed the reading of the tick before: nothing to learn from.
    pub fresh: bool,
    /// True if a container restarted, a counter began again or time ran backwards since the last fresh sample:
    /// rates are then unknown for one sample.
    pub reset: bool,
    /// What Kubernetes says of it.
    pub facts: PodFacts,
    /// What was measured.
    pub measures: Measures,
    /// Metrics of the user's own, by name; always finite.
    pub metrics: Vec<(Arc<str>, f64)>,
}
