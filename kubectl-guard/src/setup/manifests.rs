//! The objects of `manifests/`, embedded, with the choices of the person who installs laid over them. Pure.

use kube::core::{ApiResource, GroupVersionKind};
use serde::Deserialize as _;
use serde_json::{Value, json};

/// The files of `manifests/`, in the order in which they are applied.
const FILES: [&str; 15] = [
    include_str!("../../../manifests/namespace.yaml"),
    include_str!("../../../manifests/serviceaccount.yaml"),
    include_str!("../../../manifests/clusterrole.yaml"),
    include_str!("../../../manifests/clusterrolebinding.yaml"),
    include_str!("../../../manifests/role.yaml"),
    include_str!("../../../manifests/rolebinding.yaml"),
    include_str!("../../../manifests/mutes.yaml"),
    include_str!("../../../manifests/priorityclass.yaml"),
    include_str!("../../../manifests/viewer-clusterrole.yaml"),
    include_str!("../../../manifests/viewer-role.yaml"),
    include_str!("../../../manifests/operator-clusterrole.yaml"),
    include_str!("../../../manifests/operator-role.yaml"),
    include_str!("../../../manifests/node-operator-clusterrole.yaml"),
    include_str!("../../../manifests/service.yaml"),
    include_str!("../../../manifests/daemonset.yaml"),
];

/// The ConfigMap with the authority of the kubelets, made by `--kubelet-ca`.
pub const KUBELET_CA: &str = "guard-kubelet-ca";
/// Where the exporter finds it.
const KUBELET_CA_FOLDER: &str = "/etc/guard/kubelet";

/// What the person who installs may choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// The exporter's image, instead of the published one of this version.
    pub image: Option<String>,
    /// Name of a Secret in `guard-system` to pull the image with.
    pub pull_secret: Option<String>,
    /// When to pull the image: `Always`, `IfNotPresent`, `Never`.
    pub pull_policy: Option<&'static str>,
    /// Time between two samples, such as `15s`.
    pub interval: Option<String>,
    /// Whom to trust about the kubelets.
    pub kubelet: Kubelet,
}

/// How the exporters judge the certificate of their kubelet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Kubelet {
    /// It is signed by the cluster's own authority.
    #[default]
    Cluster,
    /// It is signed by an authority in this PEM text.
    Authority(String),
    /// They don't look at it.
    Insecure,
}

/// One object to apply or delete.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its type.
    pub resource: ApiResource,
    /// Its namespace; `None` for an object of the whole cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// All of it.
    pub value: Value,
}

impl Object {
    /// An object from its JSON; `None` if that names no kind, version or name.
    pub(super) fn new(value: Value) -> Option<Self> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let version = text("/apiVersion")?;
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &text("/kind")?));
        Some(Self { resource, namespace: text("/metadata/namespace"), name: text("/metadata/name")?, value })
    }

    /// The object as kubectl names it: `daemonset.apps/guard-exporter`.
    pub fn title(&self) -> String {
        let kind = self.resource.kind.to_lowercase();
        let dot = if self.resource.group.is_empty() { "" } else { "." };
        format!("{kind}{dot}{}/{}", self.resource.group, self.name)
    }
}

/// Every object that makes up an installation, in the order to apply them.
pub fn objects(choices: &Choices) -> Vec<Object> {
    let mut values: Vec<Value> = FILES.iter().map(|file| parse(file)).collect();
    let Some(mut daemon_set) = values.pop() else { return Vec::new() };
    if let Kubelet::Authority(pem) = &choices.kubelet {
        values.push(authority(pem));
    }
    lay(choices, &mut daemon_set);
    values.push(daemon_set);
    values.into_iter().filter_map(Object::new).collect()
}

/// The objects as a YAML stream that kubectl takes.
pub fn yaml(objects: &[Object]) -> String {
    let documents = objects.iter().map(|object| serde_norway::to_string(&object.value).unwrap_or_default());
    documents.collect::<Vec<_>>().join("---\n")
}

fn parse(file: &str) -> Value {
    let document = serde_norway::Deserializer::from_str(file);
    Value::deserialize(document).expect("the embedded manifests are YAML: a test reads each of them")
}

fn authority(pem: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": KUBELET_CA,
            "namespace": super::NAMESPACE,
            "labels": {"app.kubernetes.io/name": super::EXPORTER, "app.kubernetes.io/part-of": "kubectl-guard"},
        },
        "data": {"ca.crt": pem},
    })
}

/// Lays the choices over the DaemonSet.
fn lay(choices: &Choices, daemon_set: &mut Value) {
    let pod = &mut daemon_set["spec"]["template"]["spec"];
    if let Some(secret) = &choices.pull_secret {
        pod["imagePullSecrets"] = json!([{"name": secret}]);
    }
    if matches!(choices.kubelet, Kubelet::Authority(_)) {
        push(&mut pod["volumes"], json!({"name": "kubelet-ca", "configMap": {"name": KUBELET_CA}}));
    }
    let container = &mut pod["containers"][0];
    if let Some(image) = &choices.image {
        container["image"] = json!(image);
    }
    if let Some(policy) = choices.pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
    if let Some(interval) = &choices.interval {
        push(&mut container["env"], variable("GUARD_INTERVAL", interval));
    }
    match &choices.kubelet {
        Kubelet::Cluster => {}
        Kubelet::Insecure => push(&mut container["env"], variable("GUARD_KUBELET_INSECURE_TLS", "true")),
        Kubelet::Authority(_) => {
            push(&mut container["env"], variable("GUARD_KUBELET_CA", &format!("{KUBELET_CA_FOLDER}/ca.crt")));
            let mount = json!({"name": "kubelet-ca", "mountPath": KUBELET_CA_FOLDER, "readOnly": true});
            push(&mut container["volumeMounts"], mount);
        }
    }
}

fn variable(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

fn push(list: &mut Value, item: Value) {
    if let Some(list) = list.as_array_mut() {
        list.push(item);
    }
}

#[cfg(test)]
mod tests;
