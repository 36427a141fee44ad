//! What guard can act on, and how users name it.

use std::fmt;
use std::str::FromStr;

use guard_model::workload::Workload;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kinds of object that guard can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// `apps/v1 Deployment`.
    Deployment,
    /// `apps/v1 StatefulSet`.
    StatefulSet,
    /// `apps/v1 DaemonSet`.
    DaemonSet,
    /// `v1 Pod`.
    Pod,
    /// `v1 Node`.
    Node,
}

impl Kind {
    /// The spelling of Kubernetes.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Deployment => "Deployment",
            Kind::StatefulSet => "StatefulSet",
            Kind::DaemonSet => "DaemonSet",
            Kind::Pod => "Pod",
            Kind::Node => "Node",
        }
    }

    /// The resource in plural, as paths and RBAC rules have it.
    pub fn resource(self) -> &'static str {
        match self {
            Kind::Deployment => "deployments",
            Kind::StatefulSet => "statefulsets",
            Kind::DaemonSet => "daemonsets",
            Kind::Pod => "pods",
            Kind::Node => "nodes",
        }
    }

    /// The API group; empty for the core group.
    pub fn group(self) -> &'static str {
        if self.is_core() { "" } else { "apps" }
    }

    /// The beginning of its path: `/api/v1` or `/apis/apps/v1`.
    pub fn api(self) -> &'static str {
        if self.is_core() { "/api/v1" } else { "/apis/apps/v1" }
    }

    fn is_core(self) -> bool {
        matches!(self, Kind::Pod | Kind::Node)
    }

    /// The kind of this controller, if guard can act on it.
    pub fn of(workload: &Workload) -> Option<Self> {
        [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet].into_iter().find(|kind| kind.name() == workload.kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `TYPE/NAME` as a user types it, with kubectl's short names: `deploy/cart`, `po/cart-0`, `statefulset.apps/db`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetName {
    /// What kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name().to_lowercase(), self.name)
    }
}

/// A text that names nothing guard can act on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATarget {
    /// No slash, or nothing on one side of it.
    #[error("{0:?} is not TYPE/NAME; write for example deployment/cart or pod/cart-0")]
    Form(String),
    /// Another type.
    #[error("guard cannot act on a {0:?}; it can on deployment, statefulset, daemonset, pod and node")]
    Type(String),
    /// No object can be called that.
    #[error("{0:?} cannot be a name in Kubernetes: lower-case letters, digits, '-' and '.' only")]
    Name(String),
    /// More than one.
    #[error("{0:?} and {1:?} are two targets; name one at a time, as each has a plan and an approval of its own")]
    Several(String, String),
}

impl TargetName {
    /// The target of a command line: `TYPE/NAME`, `TYPE NAME` as kubectl also takes it, or none.
    ///
    /// # Errors
    /// The words name nothing that guard can act on.
    pub fn typed(words: &[String]) -> Result<Option<Self>, NotATarget> {
        match words {
            [] => Ok(None),
            [one] => one.parse().map(Some),
            [first, second, ..] if first.contains('/') => Err(NotATarget::Several(first.clone(), second.clone())),
            [kind, name, ..] => format!("{kind}/{name}").parse().map(Some),
        }
    }
}

impl FromStr for TargetName {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((kind, name)) = text.split_once('/') else { return Err(NotATarget::Form(text.into())) };
        if kind.is_empty() || name.is_empty() {
            return Err(NotATarget::Form(text.into()));
        }
        let kind = match kind.to_ascii_lowercase().as_str() {
            "deployment" | "deployments" | "deploy" | "deployment.apps" | "deployments.apps" => Kind::Deployment,
            "statefulset" | "statefulsets" | "sts" | "statefulset.apps" | "statefulsets.apps" => Kind::StatefulSet,
            "daemonset" | "daemonsets" | "ds" | "daemonset.apps" | "daemonsets.apps" => Kind::DaemonSet,
            "pod" | "pods" | "po" => Kind::Pod,
            "node" | "nodes" | "no" => Kind::Node,
            other => return Err(NotATarget::Type(other.into())),
        };
        if !is_name(name) {
            return Err(NotATarget::Name(name.into()));
        }
        Ok(Self { kind, name: name.into() })
    }
}

/// True if the API server would take `text` as a name (DNS-1123): only such a text may become part of a path.
pub fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 253
        && text.chars().all(|c| inner(c) || c == '-' || c == '.')
        && text.starts_with(inner)
        && text.ends_with(inner)
        && !text.contains("..")
}

/// An object as it was seen when a plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What kind.
    pub kind: Kind,
    /// Its namespace; empty for a node, which has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its resourceVersion; `None` for a pod, whose status changes all the time and whose UID says enough.
    pub resource_version: Option<String>,
    /// Its generation, which rises with each change of its spec and with no change of its status; `None` for a pod or node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
}

impl Target {
    /// Its resourceVersion moves by itself: a node's with its heartbeats, a workload's with each pod of it that turns ready or
    /// unready. Such a version is read again right before the write, and held only then.
    pub fn version_moves(&self) -> bool {
        self.kind == Kind::Node || self.generation.is_some()
    }

    /// It is this object, and nothing of it has changed that a plan rests on.
    pub fn is_as_seen(&self, then: &Self) -> bool {
        let version = |target: &Self| target.resource_version.clone().filter(|_| !then.version_moves());
        self.path() == then.path()
            && (&self.uid, self.generation) == (&then.uid, then.generation)
            && version(self) == version(then)
    }

    /// The same target as `object`, as the API server gives it, shows it now; `None` if it shows no metadata.
    pub fn now_in(&self, object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().map(str::to_owned);
        Some(Self {
            uid: text("uid")?,
            resource_version: text("resourceVersion"),
            generation: metadata["generation"].as_i64(),
            ..self.clone()
        })
    }

    /// The path of the object in the API.
    pub fn path(&self) -> String {
        let (api, resource) = (self.kind.api(), self.kind.resource());
        match self.kind {
            Kind::Node => format!("{api}/{resource}/{}", self.name),
            _ => format!("{api}/namespaces/{}/{resource}/{}", self.namespace, self.name),
        }
    }

    /// ` in namespace shop` behind its name, or nothing for a node.
    pub fn place(&self) -> String {
        if self.namespace.is_empty() { String::new() } else { format!(" in namespace {}", self.namespace) }
    }
}

/// The object of a step, looked at once more right before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// As it is now.
    pub target: Target,
    /// The fields that the step is about are as they were, where no generation tells of it.
    pub untouched: bool,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.name().to_lowercase(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_short_names_of_kubectl() {
        for text in ["deploy/cart", "Deployment/cart", "deployments.apps/cart"] {
            assert_eq!(text.parse::<TargetName>().unwrap().to_string(), "deployment/cart");
        }
        assert_eq!("po/cart-0".parse::<TargetName>().unwrap().kind, Kind::Pod);
        assert_eq!("no/n1".parse::<TargetName>().unwrap().to_string(), "node/n1");
    }

    #[test]
    fn a_status_that_changes_is_no_change_of_a_workload_and_a_spec_is() {
        let metadata = |uid: &str, version: &str, generation: i64| serde_json::json!({ "metadata": { "uid": uid, "resourceVersion": version, "generation": generation } });
        let target = crate::plan::examples::workload(Kind::Deployment).target;
        let now = |object: &Value| target.now_in(object).unwrap();
        assert!(now(&metadata("uid-web", "4712", 2)).is_as_seen(&target), "a pod turned ready");
        assert!(!now(&metadata("uid-web", "4712", 3)).is_as_seen(&target), "somebody scaled it");
        assert!(!now(&metadata("another", "4711", 2)).is_as_seen(&target));
        let old = Target { generation: None, ..target.clone() };
        let later = Target { resource_version: Some("4712".into()), ..old.clone() };
        assert!(old.is_as_seen(&old) && !later.is_as_seen(&old), "without a generation the version is all there is");
    }

    #[test]
    fn refuses_what_could_leave_its_place_in_a_path() {
        for name in ["", "..", "a/b", "a?b", "a%2fb", "A", "a..b", "-a", "a\u{1b}"] {
            assert!(format!("pod/{name}").parse::<TargetName>().is_err(), "{name:?}");
        }
        assert!("secret/s1".parse::<TargetName>().is_err());
        let two = ["deploy/web".to_owned(), "deploy/cart".to_owned()];
        assert!(matches!(TargetName::typed(&two), Err(NotATarget::Several(..))));
    }
}
