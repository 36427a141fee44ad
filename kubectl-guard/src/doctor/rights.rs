//! Which rights each command needs, and which of them the user lacks.

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use super::Check;
use crate::connect::Connection;
use crate::error::Error;
use crate::request::Request;

/// Questions asked at the same time.
const AT_ONCE: usize = 8;

/// One right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// `get`, `list`, `create`, `patch`, ...
    pub verb: &'static str,
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, with its subresource: `pods/portforward`.
    pub resource: &'static str,
    /// Where; `None` for the whole cluster.
    pub namespace: Option<String>,
}

impl Right {
    fn shown(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        let place = self.namespace.as_deref().map_or("in the whole cluster".to_owned(), |n| format!("in {n}"));
        format!("{} {}{dot}{} {place}", self.verb, self.resource, self.group)
    }
}

/// What it takes to read scores: a port-forward needs two verbs.
pub fn to_read_scores(guard_namespace: &str) -> Vec<Right> {
    let right = |verb, resource| Right { verb, group: "", resource, namespace: Some(guard_namespace.to_owned()) };
    vec![right("list", "pods"), right("get", "pods/portforward"), right("create", "pods/portforward")]
}

/// What it takes to see all pods.
pub fn to_see() -> Vec<Right> {
    let right = |group, resource| Right { verb: "list", group, resource, namespace: None };
    vec![right("", "pods"), right("", "nodes"), right("", "events"), right("apps", "deployments")]
}

/// What it takes to fix something in a namespace.
pub fn to_fix(namespace: &str) -> Vec<Right> {
    let right = |verb, group, resource| Right { verb, group, resource, namespace: Some(namespace.to_owned()) };
    vec![
        right("patch", "apps", "deployments"),
        right("patch", "apps", "statefulsets"),
        right("patch", "apps", "daemonsets"),
        right("patch", "apps", "deployments/scale"),
        right("patch", "apps", "statefulsets/scale"),
        right("patch", "", "pods/resize"),
        right("create", "", "pods/eviction"),
        right("list", "autoscaling", "horizontalpodautoscalers"),
        right("list", "autoscaling.k8s.io", "verticalpodautoscalers"),
        right("list", "keda.sh", "scaledobjects"),
        right("list", "", "resourcequotas"),
    ]
}

/// Asks the API server for each right; those that the user lacks. The questions store nothing.
///
/// # Errors
/// If the API server does not answer.
pub async fn missing(connection: &Connection, rights: Vec<Right>) -> Result<Vec<Right>, Error> {
    let api = Api::<SelfSubjectAccessReview>::all(connection.client.clone());
    let asked = rights.into_iter().map(|right| {
        let api = api.clone();
        async move { Ok::<_, Error>((allowed(&api, &right).await?, right)) }
    });
    let answers: Vec<(bool, Right)> = futures::stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    Ok(answers.into_iter().filter(|(allowed, _)| !allowed).map(|(_, right)| right).collect())
}

async fn allowed(api: &Api<SelfSubjectAccessReview>, right: &Right) -> Result<bool, Error> {
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let attributes = ResourceAttributes {
        verb: some(right.verb),
        group: some(right.group),
        resource: some(resource),
        subresource: some(subresource),
        namespace: right.namespace.clone(),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let request = Request {
        verb: "create",
        resource: "selfsubjectaccessreviews",
        group: "authorization.k8s.io",
        namespace: None,
    };
    let answer = api.create(&PostParams::default(), &review).await.map_err(|error| request.failed(&error))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The check for one group of rights: `needed` or not, and the role that would give them.
pub fn check(name: &'static str, missing: &[Right], needed: bool, role: &str) -> Check {
    if missing.is_empty() {
        return Check::ok(name, "you have them all");
    }
    let found = format!("you may not {}", missing.iter().map(Right::shown).collect::<Vec<_>>().join(", "));
    let fix = format!("ask to be bound to {role}");
    if needed { Check::fail(name, found, fix) } else { Check::warn(name, found, fix) }
}
