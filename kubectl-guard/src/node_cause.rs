//! What is wrong with a node: what it says of itself, or what its workloads have in common. Pure.

use crate::scores::DEFAULT_THRESHOLD;

/// Fewer workloads over the line than this are their own trouble, not their node's.
const ENOUGH_WORKLOADS: usize = 3;

/// What is wrong with a node, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeCause {
    /// Its kubelet does not report, or reports that it cannot run pods.
    NotReady,
    /// It is short of memory, disk or process numbers.
    Pressure,
    /// So many of its workloads are over their line that they have it in common.
    ManySick,
}

impl NodeCause {
    /// Each of them.
    pub const ALL: [Self; 3] = [NodeCause::NotReady, NodeCause::Pressure, NodeCause::ManySick];
}

/// So many of the workloads on one node are over their line that the node is what they have in common.
pub fn many_sick(over: usize, of: usize) -> bool {
    speaking_share(over, of) >= DEFAULT_THRESHOLD
}

/// The share of a node's workloads that is over its line; 0 where there are too few of them to speak for the node.
pub fn speaking_share(over: usize, of: usize) -> f64 {
    if of < ENOUGH_WORKLOADS { 0.0 } else { over as f64 / of as f64 }
}
