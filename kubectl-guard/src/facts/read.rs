//! The read-only calls behind [`Facts`].

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, ListParams};
use kube::core::Selector;

use super::{
    Autoscaling, Facts, Growth, Owner, Pause, PodFact, Revisions, TargetFacts, containers, growth, incomplete, keda,
    node, parse, revisions, vertical,
};
use crate::error::Error;
use crate::facts::list::list;
use crate::plan::{ActionKind, Kind, TargetName};
use crate::request::Request;
use crate::wish::Wish;

/// Where the cluster-wide pause lives.
const GUARD_NAMESPACE: &str = "guard-system";
const PAUSE: &str = "guard-pause";

/// Reads everything about one target. Autoscalers are asked for only where the wish could be a scale, the pods
/// of a node only for a drain.
///
/// # Errors
/// The target is missing, may not be read, or the API server does not answer. A pause or an autoscaler that cannot be read
/// is no error but a fact of its own, which a guard rail then refuses.
pub async fn read(client: &kube::Client, namespace: &str, name: &TargetName, wish: &Wish) -> Result<Facts, Error> {
    let pause = pause(client).await;
    let found = match name.kind {
        Kind::Pod => return pod(client, namespace, name, pause).await,
        Kind::Node => {
            return node::read(client, name, wish, pause).await;
        }
        Kind::Deployment => parse::deployment(get::<Deployment>(client, namespace, name).await?),
        Kind::StatefulSet => parse::stateful_set(get::<StatefulSet>(client, namespace, name).await?),
        Kind::DaemonSet => parse::daemon_set(get::<DaemonSet>(client, namespace, name).await?),
    };
    let found = found.ok_or_else(|| incomplete(name))?;
    let target = &found.workload.target;
    let owner = Owner::workload(target, found.selector);
    let pods = pods_of(client, &owner).await?;
    let growth = match (wish.action, found.template) {
        (Some(ActionKind::Scale) | None, Some(template)) => {
            let wanted = wish.replicas.unwrap_or_else(|| found.workload.replicas.saturating_add(1));
            match usize::try_from(wanted.saturating_sub(found.workload.replicas)) {
                Ok(more @ 1..) => growth::read(client, namespace, template, more).await,
                Ok(0) | Err(_) => Growth::None,
            }
        }
        (Some(ActionKind::Resources), Some(template)) => match containers::raised(&template, &wish.resources) {
            Some(raised) => growth::on_an_empty_node(client, raised).await,
            None => Growth::None,
        },
        _ => Growth::None,
    };
    let revisions = match wish.action {
        // Of a StatefulSet or DaemonSet they are a right of their own, and nothing is suggested by them.
        Some(ActionKind::RolloutUndo) | None if target.kind == Kind::Deployment || wish.action.is_some() => {
            revisions::read(
                client,
                target,
                owner.selector.clone().and_then(|selector| Selector::try_from(selector).ok()),
            )
            .await
        }
        _ => Revisions::NotAsked,
    };
    let autoscaling = match wish.action {
        Some(
            ActionKind::Restart
            | ActionKind::RolloutUndo
            | ActionKind::Cordon
            | ActionKind::Uncordon
            | ActionKind::Drain,
        ) => Autoscaling::Nobody,
        Some(ActionKind::Resources) => vertical::read(client, target).await,
        Some(ActionKind::Scale) | None => {
            match list::<HorizontalPodAutoscaler>(client, namespace, &ListParams::default()).await {
                Ok(autoscalers) => {
                    let horizontal = parse::autoscaling(target, autoscalers);
                    keda::read(client, target, horizontal).await
                }
                Err(error) => Autoscaling::Unknown { why: error.to_string() },
            }
        }
    };
    Ok(Facts {
        pods,
        owner: Some(owner),
        autoscaling,
        revisions,
        growth,
        pause,
        can_resize: wish.resources.in_place && can_resize(client).await?,
        ..Facts::of(TargetFacts::Workload(found.workload))
    })
}

/// The API server knows the `resize` subresource of pods.
async fn can_resize(client: &kube::Client) -> Result<bool, Error> {
    let request = Request { verb: "get", resource: "api", group: "", namespace: None };
    let known = client.list_core_api_resources("v1").await.map_err(|error| request.failed(&error))?;
    Ok(known.resources.iter().any(|resource| resource.name == "pods/resize"))
}

async fn pod(client: &kube::Client, namespace: &str, name: &TargetName, pause: Pause) -> Result<Facts, Error> {
    let pod = get::<Pod>(client, namespace, name).await?;
    let mut target = parse::pod_target(&pod).ok_or_else(|| incomplete(name))?;
    target.outdated = outdated(client, namespace, &pod).await;
    let owner = parse::owner_of(&pod, namespace);
    let pods = pods_of(client, &owner).await?;
    Ok(Facts { pods, owner: Some(owner), pause, ..Facts::of(TargetFacts::Pod(target)) })
}

/// The pod's controller, which replaces no pod by itself, would make it again from a newer template; `None` where it cannot be
/// read. Only a StatefulSet or DaemonSet can be so.
async fn outdated(client: &kube::Client, namespace: &str, pod: &Pod) -> Option<bool> {
    let Some(owner) = parse::controller(&pod.metadata).filter(|owner| owner.api_version.starts_with("apps/")) else {
        return Some(false);
    };
    let named = |kind| TargetName { kind, name: owner.name.clone() };
    Some(match owner.kind.as_str() {
        "StatefulSet" => parse::is_outdated_in_set(pod, &get(client, namespace, &named(Kind::StatefulSet)).await.ok()?),
        "DaemonSet" => {
            parse::is_outdated_in_daemon_set(pod, &get(client, namespace, &named(Kind::DaemonSet)).await.ok()?)
        }
        _ => false,
    })
}

/// The pods of one owner as they are now, but for those that have ended.
///
/// # Errors
/// They may not be listed, or the API server does not answer.
pub async fn pods_of(client: &kube::Client, owner: &Owner) -> Result<Vec<PodFact>, Error> {
    // A selector that kube cannot read selects nothing safely: then all pods are read and told apart by their owner.
    let selector = owner.selector.clone().and_then(|selector| Selector::try_from(selector).ok());
    let params = match selector.filter(|selector| !selector.selects_all()) {
        Some(selector) => ListParams::default().labels_from(&selector),
        None => ListParams::default(),
    };
    let pods = list::<Pod>(client, &owner.namespace, &params).await?;
    Ok(parse::pods_of(&pods, &owner.rule))
}

/// Whether an administrator has stopped all changes by guard.
pub async fn pause(client: &kube::Client) -> Pause {
    let api = Api::<ConfigMap>::namespaced(client.clone(), GUARD_NAMESPACE);
    match api.get_opt(PAUSE).await {
        Ok(config_map) => parse::pause(config_map),
        Err(error) => {
            let request = Request { verb: "get", resource: "configmaps", group: "", namespace: Some(GUARD_NAMESPACE) };
            Pause::Unknown { why: request.failed(&error).to_string() }
        }
    }
}

async fn get<T>(client: &kube::Client, namespace: &str, name: &TargetName) -> Result<T, Error>
where
    T: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
{
    let request =
        Request { verb: "get", resource: name.kind.resource(), group: name.kind.group(), namespace: Some(namespace) };
    let api = Api::<T>::namespaced(client.clone(), namespace);
    match api.get_opt(&name.name).await {
        Ok(Some(object)) => Ok(object),
        Ok(None) => Err(Error::NotFound { what: format!("{name} in namespace {namespace}") }),
        Err(error) => Err(request.failed(&error)),
    }
}
