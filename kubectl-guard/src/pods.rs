//! The user's own list of pods: what `status` is joined with, so that no pod is forgotten and none is shown that the
//! user may not see.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use guard_model::pod;
use guard_model::sample::PodFacts;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use crate::connect::Connection;
use crate::error::Error;
use crate::flags::Selection;
use crate::request::Request;
use crate::rows::Labels;
use crate::sanitise;

/// So many pods are read side by side.
const AT_ONCE: usize = 16;
/// What the API server says of a list whose next page it no longer has.
const EXPIRED: u16 = 410;

/// Pods as the user sees them. All text is sanitised.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    /// What scoring needs to know of each.
    pub facts: Vec<PodFacts>,
    /// The labels of each that has some, by UID.
    pub labels: BTreeMap<String, Labels>,
}

/// The namespace that the selection is about; `None` for all of them.
pub fn scope<'a>(connection: &'a Connection, selection: &Selection) -> Option<&'a str> {
    (!selection.all_namespaces).then_some(connection.namespace.as_str())
}

/// Every pod that the flags select, page by page.
///
/// # Errors
/// If the user may not list pods there, or the API server does not answer.
pub async fn list(connection: &Connection, selection: &Selection) -> Result<Pods, Error> {
    let namespace = scope(connection, selection);
    let client = connection.client.clone();
    let api: Api<Pod> =
        namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
    let request = Request { verb: "list", resource: "pods", group: "", namespace };
    let mut params = ListParams::default();
    params.label_selector.clone_from(&selection.selector);
    params.field_selector.clone_from(&selection.field_selector);
    let paged = ListParams { limit: Some(selection.chunk_size).filter(|size| *size > 0), ..params.clone() };
    match pages(&api, paged).await {
        // The pods changed too much between two pages. Asked for at once there is no second page to lose.
        Err(kube::Error::Api(status)) if status.code == EXPIRED => pages(&api, params).await,
        answer => answer,
    }
    .map_err(|error| request.failed(&error))
}

/// These pods, by namespace and name, each read by itself; those that are gone are left out.
///
/// # Errors
/// If the user may not read one of them, or the API server does not answer.
pub async fn named(connection: &Connection, names: &[(String, String)]) -> Result<Pods, Error> {
    let read = names.iter().map(async |(namespace, name)| {
        let api: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
        let request = Request { verb: "get", resource: "pods", group: "", namespace: Some(namespace) };
        api.get_opt(name).await.map_err(|error| request.failed(&error))
    });
    let read: Vec<Option<Pod>> = stream::iter(read).buffered(AT_ONCE).try_collect().await?;
    let mut found = Pods::default();
    read.iter().flatten().for_each(|pod| found.push(pod));
    Ok(found)
}

async fn pages(api: &Api<Pod>, mut params: ListParams) -> Result<Pods, kube::Error> {
    let mut found = Pods::default();
    loop {
        let page = api.list(&params).await?;
        page.items.iter().for_each(|pod| found.push(pod));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
    }
}

impl Pods {
    fn push(&mut self, pod: &Pod) {
        let facts = sanitised(pod::facts(pod));
        if let Some(labels) = &pod.metadata.labels {
            let clean = labels.iter().map(|(key, value)| (sanitise::line(key), sanitise::line(value)));
            self.labels.insert(facts.uid.clone(), clean.collect());
        }
        self.facts.push(facts);
    }
}

/// Cleans the free text among the facts.
pub fn sanitised(mut facts: PodFacts) -> PodFacts {
    let clean = |text: &mut String| *text = sanitise::line(text);
    clean(&mut facts.namespace);
    clean(&mut facts.name);
    facts.node.iter_mut().for_each(clean);
    facts.waiting.iter_mut().for_each(clean);
    facts.unschedulable.iter_mut().for_each(clean);
    facts.container_limits.iter_mut().for_each(|limits| clean(&mut limits.name));
    if let Some(workload) = &mut facts.workload {
        clean(&mut workload.kind);
        clean(&mut workload.name);
    }
    if let Some(end) = &mut facts.terminated {
        clean(&mut end.reason);
        clean(&mut end.container);
    }
    facts
}

#[cfg(test)]
mod tests;
