//! The controller that a person would name when asked what a pod belongs to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether the pods of a controller of this kind are there to do one piece of work and end. Of a controller that nobody here
/// knows (Tekton's, Argo's, Spark's) it is so where they may end (`restartPolicy` is not `Always`): those of a Deployment,
/// ReplicaSet, StatefulSet or DaemonSet may not. A virtual machine of KubeVirt runs on in a pod that may.
pub fn is_batch(kind: &str, ends: bool) -> bool {
    match kind {
        "Job" | "CronJob" => true,
        "VirtualMachineInstance" => false,
        _ => ends,
    }
}

/// `Kind/name` of a pod's controller, such as `Deployment/cart`; never the ReplicaSet in between.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(into = "String", try_from = "String")]
pub struct Workload {
    /// The kind in Kubernetes' own spelling: `Deployment`, `StatefulSet`, `DaemonSet`, `Job`, `CronJob`, ...
    pub kind: String,
    /// Its name, in the pod's namespace.
    pub name: String,
}

impl Workload {
    /// A workload of this kind and name.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind: kind.into(), name: name.into() }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl From<Workload> for String {
    fn from(workload: Workload) -> Self {
        workload.to_string()
    }
}

/// A text that is not `Kind/name`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form Kind/name")]
pub struct NotAWorkload(String);

impl FromStr for Workload {
    type Err = NotAWorkload;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self::new(kind, name))
            }
            _ => Err(NotAWorkload(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Workload {
    type Error = NotAWorkload;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_shows() {
        let cart = Workload::new("Deployment", "cart");
        assert_eq!(cart.to_string().parse(), Ok(cart));
    }

    #[test]
    fn refuses_what_has_no_kind_or_name() {
        for text in ["", "cart", "/cart", "Deployment/", "a/b/c"] {
            assert!(text.parse::<Workload>().is_err(), "{text:?}");
        }
    }
}
