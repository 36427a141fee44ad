//! The user's own list of pods: what `status` is joined with, so that no pod is forgotten and none is shown that the
//! user may not see.

use guard_model::pod;
use guard_model::sample::PodFacts;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;

use crate::cli::Selection;
use crate::connect::Connection;
use crate::error::{Error, Request};
use crate::sanitise;

/// As kubectl's `--chunk-size`.
const PAGE: u32 = 500;

/// The namespace that the selection is about; `None` for all of them.
pub fn scope<'a>(connection: &'a Connection, selection: &Selection) -> Option<&'a str> {
    (!selection.all_namespaces).then_some(connection.namespace.as_str())
}

/// Every pod that the flags select, page by page; foreign text is sanitised.
///
/// # Errors
/// If the user may not list pods there, or the API server does not answer.
pub async fn list(connection: &Connection, selection: &Selection) -> Result<Vec<PodFacts>, Error> {
    let namespace = scope(connection, selection);
    let client = connection.client.clone();
    let api: Api<Pod> =
        namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
    let request = Request { verb: "list", resource: "pods", group: "", namespace };
    let mut params = ListParams::default().limit(PAGE);
    params.label_selector.clone_from(&selection.selector);
    params.field_selector.clone_from(&selection.field_selector);
    let mut found = Vec::new();
    loop {
        let page = api.list(&params).await.map_err(|error| request.failed(&error))?;
        found.extend(page.items.iter().map(|pod| sanitised(pod::facts(pod))));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(found),
        }
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
