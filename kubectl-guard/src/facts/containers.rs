//! Limits and requests of containers, as a pod or a pod template has them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use guard_model::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::requests;
use crate::plan::{Amounts, Resource, ResourceChange};
use crate::wish::ResourceWish;

/// A container with its limits and requests for CPU and memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerFact {
    /// Its name.
    pub name: String,
    /// Its limits, where it has them.
    pub limits: BTreeMap<Resource, Quantity>,
    /// Its requests, where it has them.
    pub requests: BTreeMap<Resource, Quantity>,
    /// What cannot be resized without a restart of it: `resizePolicy` with `RestartContainer`.
    pub restarts: BTreeSet<Resource>,
}

impl ContainerFact {
    /// What it has now of all that `change` names: the change that takes it back.
    pub fn before(&self, change: &ResourceChange) -> ResourceChange {
        let now = |named: &Amounts, have: &BTreeMap<Resource, Quantity>| {
            named.keys().map(|resource| (*resource, have.get(resource).copied())).collect()
        };
        ResourceChange {
            container: self.name.clone(),
            limits: now(&change.limits, &self.limits),
            requests: now(&change.requests, &self.requests),
        }
    }

    /// What of `change` it would be restarted for, were it resized in place.
    pub fn restarted_by(&self, change: &ResourceChange) -> Option<Resource> {
        let before = self.before(change);
        let changes = |resource: &&Resource| {
            change.limits.get(resource) != before.limits.get(resource)
                || change.requests.get(resource) != before.requests.get(resource)
        };
        self.restarts.iter().find(changes).copied()
    }

    /// It has all that `change` names.
    pub fn holds(&self, change: &ResourceChange) -> bool {
        self.before(change) == *change
    }
}

/// The containers of a pod's spec; init containers are left out.
pub(super) fn of_spec(spec: Option<&PodSpec>) -> Vec<ContainerFact> {
    spec.map(|spec| spec.containers.iter().map(fact).collect()).unwrap_or_default()
}

/// The containers of a pod that runs; none before and after.
pub(super) fn of_pod(pod: &Pod) -> Vec<ContainerFact> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if phase == Some("Running") { of_spec(pod.spec.as_ref()) } else { Vec::new() }
}

/// The template with what was typed, if its pods request more with that; `None` too where nothing was typed, or it is not clear
/// for which container.
pub(super) fn raised(template: &PodSpec, wish: &ResourceWish) -> Option<PodSpec> {
    let mut raised = template.clone();
    let container = match (raised.containers.as_mut_slice(), wish.container.as_deref()) {
        ([one], None) => one,
        (several, Some(name)) => several.iter_mut().find(|container| container.name == name)?,
        (_, None) => return None,
    };
    let resources = container.resources.get_or_insert_default();
    set(&mut resources.limits, wish.limits.as_ref());
    set(&mut resources.requests, wish.requests.as_ref());
    // Beyond all numbers is more than any.
    let asks_more = |resource: Resource| match requests::of_pod(&raised, resource.name(), requests::requested) {
        Some(after) => requests::of_pod(template, resource.name(), requests::requested).is_some_and(|now| after > now),
        None => true,
    };
    Resource::ALL.into_iter().any(asks_more).then_some(raised)
}

fn set(texts: &mut Option<BTreeMap<String, Text>>, amounts: Option<&Amounts>) {
    let texts = texts.get_or_insert_default();
    for (resource, amount) in amounts.into_iter().flatten() {
        match amount {
            Some(amount) => drop(texts.insert(resource.name().to_owned(), Text(amount.to_string()))),
            None => drop(texts.remove(resource.name())),
        }
    }
}

fn fact(container: &Container) -> ContainerFact {
    let resources = container.resources.as_ref();
    let read = |amounts: Option<&BTreeMap<String, Text>>| {
        let one = |resource: Resource| Some((resource, amounts?.get(resource.name())?.0.parse().ok()?));
        Resource::ALL.into_iter().filter_map(one).collect()
    };
    ContainerFact {
        name: container.name.clone(),
        limits: read(resources.and_then(|resources| resources.limits.as_ref())),
        requests: read(resources.and_then(|resources| resources.requests.as_ref())),
        restarts: Resource::ALL.into_iter().filter(|resource| restarts(container, *resource)).collect(),
    }
}

fn restarts(container: &Container, resource: Resource) -> bool {
    let mut policies = container.resize_policy.iter().flatten();
    policies.any(|policy| policy.resource_name == resource.name() && policy.restart_policy == "RestartContainer")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::amounts;

    #[test]
    fn limits_and_requests_are_read_and_what_is_not_there_is_none() {
        let spec = json!({ "containers": [
            { "name": "web", "resources": { "limits": { "memory": "1.5Gi", "nvidia.com/gpu": "1" }, "requests": { "cpu": "100m" } } },
            { "name": "log" }] });
        let found = of_spec(serde_json::from_value::<PodSpec>(spec).ok().as_ref());
        assert_eq!(found[1], ContainerFact { name: "log".into(), ..ContainerFact::default() });
        let change = ResourceChange {
            container: "web".into(),
            limits: amounts("cpu=1,memory=2Gi").unwrap(),
            requests: amounts("cpu=0.1").unwrap(),
        };
        let before = found[0].before(&change);
        assert_eq!(before.words(), "limits cpu=none,memory=1536Mi and requests cpu=100m of container web");
        assert!(found[0].holds(&before) && !found[0].holds(&change));
    }

    #[test]
    fn only_what_requests_more_is_raised() {
        let spec = json!({ "containers": [
            { "name": "web", "resources": { "limits": { "memory": "1Gi" } } },
            { "name": "log", "resources": { "limits": { "memory": "1Gi" }, "requests": { "memory": "8Mi" } } }] });
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let raised = |container: Option<&str>, limits: &str| {
            let wish = ResourceWish {
                container: container.map(str::to_owned),
                limits: amounts(limits).ok(),
                ..ResourceWish::default()
            };
            raised(&spec, &wish).map(|raised| requests::of_pod(&raised, "memory", requests::requested))
        };
        let both = raised(Some("web"), "memory=2Gi");
        assert_eq!(both, Some("2056Mi".parse().ok()), "a limit is its request too");
        assert_eq!(raised(Some("log"), "memory=2Gi"), None, "it has a request of its own");
        assert_eq!(raised(Some("web"), "memory=512Mi"), None);
        assert_eq!(raised(None, "memory=2Gi"), None);
    }

    #[test]
    fn what_a_resize_would_restart_a_container_for_is_told() {
        let spec = json!({ "containers": [{ "name": "web", "resources": { "limits": { "cpu": "1", "memory": "1Gi" } },
            "resizePolicy": [{ "resourceName": "cpu", "restartPolicy": "NotRequired" },
                { "resourceName": "memory", "restartPolicy": "RestartContainer" }] }] });
        let found = of_spec(serde_json::from_value::<PodSpec>(spec).ok().as_ref()).remove(0);
        let limits = |text: &str| {
            found.restarted_by(&ResourceChange {
                container: "web".into(),
                limits: amounts(text).unwrap(),
                ..ResourceChange::default()
            })
        };
        assert_eq!(limits("cpu=2,memory=2Gi"), Some(Resource::Memory));
        assert_eq!(limits("cpu=2"), None);
        assert_eq!(limits("cpu=2,memory=1Gi"), None, "it has that already");
    }
}
