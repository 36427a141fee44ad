//! Facts from recorded objects: what [`super::read`] would have found when the recording was made.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;

use super::{Facts, Owner, TargetFacts, parse};

/// The facts of a recorded Deployment among the recorded `pods`. Autoscalers and the pause are not part of a recording:
/// a plan made from these facts is for showing only. `None` if the object is incomplete.
pub fn of_deployment(deployment: Deployment, pods: &[Pod]) -> Option<Facts> {
    let found = parse::deployment(deployment)?;
    let owner = Owner::workload(&found.workload.target, found.selector);
    let in_namespace = |pod: &&Pod| pod.metadata.namespace.as_deref() == Some(&owner.namespace);
    let pods = parse::pods_of(pods.iter().filter(in_namespace), &owner.rule);
    Some(Facts { pods, owner: Some(owner), ..Facts::of(TargetFacts::Workload(found.workload)) })
}
