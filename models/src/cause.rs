//! Why a pod is thought to misbehave, as a closed list: what a table shows, a label carries and a plan is made from.

use serde::{Deserialize, Serialize};

/// A learnt probability under this is no reason for anything; load that brings the score there is unlike the pod.
pub(crate) const NAMED_PROBABILITY: f64 = 0.1;

/// What leads a score. Hard facts speak from the first tick; the measured ones need a learnt baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A container keeps ending and is restarted with a growing delay.
    CrashLoop,
    /// The kernel killed a container at its memory limit.
    OomKilled,
    /// An image cannot be pulled.
    ImagePull,
    /// No node can take the pod.
    Unschedulable,
    /// A container cannot be created or started, or none is for a quarter of an hour.
    StartFailed,
    /// The pod failed as a whole (evicted, deadline, exit code).
    Failed,
    /// The pod is running and not ready.
    NotReady,
    /// A container restarted a short while ago.
    Restarted,
    /// CPU use is at its limit.
    CpuAtLimit,
    /// Memory is close to its limit.
    MemoryNearLimit,
    /// Packets are dropped.
    Drops,
    /// CPU use is not what it has been.
    Cpu,
    /// Memory is not what it has been.
    Memory,
    /// Received traffic is not what it has been.
    Receive,
    /// Sent traffic is not what it has been.
    Transmit,
    /// Disk traffic is not what it has been.
    Disk,
    /// A metric of the user's own is not what it has been.
    Metric,
}

impl Cause {
    /// Every cause, in the order of the enum.
    pub const ALL: [Cause; 17] = [
        Cause::CrashLoop,
        Cause::OomKilled,
        Cause::ImagePull,
        Cause::Unschedulable,
        Cause::StartFailed,
        Cause::Failed,
        Cause::NotReady,
        Cause::Restarted,
        Cause::CpuAtLimit,
        Cause::MemoryNearLimit,
        Cause::Drops,
        Cause::Cpu,
        Cause::Memory,
        Cause::Receive,
        Cause::Transmit,
        Cause::Disk,
        Cause::Metric,
    ];

    /// The name used in JSON, CSV and labels.
    pub fn name(self) -> &'static str {
        match self {
            Cause::CrashLoop => "crash_loop",
            Cause::OomKilled => "oom_killed",
            Cause::ImagePull => "image_pull",
            Cause::Unschedulable => "unschedulable",
            Cause::StartFailed => "start_failed",
            Cause::Failed => "failed",
            Cause::NotReady => "not_ready",
            Cause::Restarted => "restarted",
            Cause::CpuAtLimit => "cpu_at_limit",
            Cause::MemoryNearLimit => "memory_near_limit",
            Cause::Drops => "drops",
            Cause::Cpu => "cpu",
            Cause::Memory => "memory",
            Cause::Receive => "receive",
            Cause::Transmit => "transmit",
            Cause::Disk => "disk",
            Cause::Metric => "metric",
        }
    }

    /// True if Kubernetes itself states it: no learning is needed to believe it.
    pub fn is_fact(self) -> bool {
        !matches!(self, Cause::Cpu | Cause::Memory | Cause::Receive | Cause::Transmit | Cause::Disk | Cause::Metric)
    }
}

/// One cause with its weight and the words for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reason {
    /// What it is.
    pub cause: Cause,
    /// How sure this cause alone makes us, 0 to 1.
    pub score: f64,
    /// A few words with the figures that matter, such as `sent 2.1 MiB/s, expected 40 to 180 kiB/s`.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        for cause in Cause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.name());
        }
    }
}
