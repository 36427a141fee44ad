//! What a pod asks of a node, from its own spec or from a template. Pure.

use std::collections::BTreeMap;

use guard_model::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

type Texts = BTreeMap<String, Text>;

/// Containers and sidecars together, or the largest init container; `None` beyond all numbers.
pub(super) fn of_pod(template: &PodSpec, what: &str, of: fn(&Container, &str) -> Quantity) -> Option<Quantity> {
    let (mut sidecars, mut largest) = (Quantity::ZERO, Quantity::ZERO);
    for init in template.init_containers.iter().flatten() {
        let with = sidecars.plus(of(init, what))?;
        if init.restart_policy.as_deref() == Some("Always") {
            sidecars = with;
        }
        largest = largest.max(with);
    }
    let mut running = sidecars;
    for container in &template.containers {
        running = running.plus(of(container, what))?;
    }
    running.max(largest).plus(read(template.overhead.as_ref(), what).unwrap_or(Quantity::ZERO))
}

/// Without a request the limit counts as one: the API server writes it into the pods, not into their template.
pub(super) fn requested(container: &Container, what: &str) -> Quantity {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    read(requests, what).unwrap_or_else(|| limited(container, what))
}

/// What it may use at most.
pub(super) fn limited(container: &Container, what: &str) -> Quantity {
    let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    read(limits, what).unwrap_or(Quantity::ZERO)
}

pub(super) fn read(texts: Option<&Texts>, what: &str) -> Option<Quantity> {
    texts?.get(what)?.0.parse().ok()
}
