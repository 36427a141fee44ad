//! What lives in the exporter's namespace and would go with it, though no `install` has put it there.

use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, DynamicObject, ListParams, ObjectMeta};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};

use super::NAMESPACE;
use super::made::applied_by_install;
use super::manifests::{Choices, objects};
use crate::error::Error;
use crate::request::Request;
use crate::sanitise;

/// Where somebody's work or data lies: group, version and kind. What controllers make from these goes with them.
const KINDS: [(&str, &str, &str); 18] = [
    ("", "v1", "Pod"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Secret"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("", "v1", "ReplicationController"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "ReplicaSet"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("batch", "v1", "Job"),
    ("batch", "v1", "CronJob"),
    ("rbac.authorization.k8s.io", "v1", "Role"),
    ("networking.k8s.io", "v1", "Ingress"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
];

/// What Kubernetes and service meshes put into each namespace, and the pause, which binds guard alone.
const KNOWN: [(&str, &str); 4] = [
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "istio-ca-root-cert"),
    ("ConfigMap", "guard-pause"),
    ("ServiceAccount", "default"),
];

/// Marks the Secret of a ServiceAccount, which goes with that.
const TOKEN: &str = "kubernetes.io/service-account.name";

/// The strangers, such as `configmap/notes`. A namespace that holds one stays.
///
/// # Errors
/// If the user may not look, or if the API server does not answer.
pub async fn find(client: &Client) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for (group, version, kind) in KINDS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), NAMESPACE, &resource);
        let listed = api.list_metadata(&ListParams::default()).await;
        for object in listed.map_err(|error| request(&resource.plural, group).failed(&error))? {
            if is_stranger(kind, &object.metadata) {
                found.push(format!("{}/{}", kind.to_lowercase(), object.name_any()));
            }
        }
    }
    let bindings = Api::<RoleBinding>::namespaced(client.clone(), NAMESPACE).list(&ListParams::default()).await;
    let bindings = bindings.map_err(|error| request("rolebindings", "rbac.authorization.k8s.io").failed(&error))?;
    let foreign = bindings.iter().filter(|binding| is_foreign(binding));
    found.extend(foreign.map(|binding| format!("rolebinding/{}", binding.name_any())));
    Ok(found.iter().map(|name| sanitise::line(name)).collect())
}

fn request<'a>(resource: &'a str, group: &'a str) -> Request<'a> {
    Request { verb: "list", resource, group, namespace: Some(NAMESPACE) }
}

fn is_stranger(kind: &str, metadata: &ObjectMeta) -> bool {
    let name = metadata.name.as_deref().unwrap_or_default();
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let is_made = owner.is_some_and(|owner| KINDS.iter().any(|(_, _, kind)| *kind == owner.kind));
    let is_token = kind == "Secret" && metadata.annotations.as_ref().is_some_and(|all| all.contains_key(TOKEN));
    !(is_made || is_token || KNOWN.contains(&(kind, name)) || applied_by_install(metadata))
}

/// Who was given one of the roles of the installation has nothing left of it without that.
fn is_foreign(binding: &RoleBinding) -> bool {
    let role = &binding.role_ref;
    let is_ours =
        objects(&Choices::default()).iter().any(|object| object.resource.kind == role.kind && object.name == role.name);
    !is_ours && is_stranger("RoleBinding", &binding.metadata)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn metadata(name: &str, more: &Value) -> ObjectMeta {
        let mut metadata = json!({ "name": name });
        for (key, value) in more.as_object().unwrap() {
            metadata[key] = value.clone();
        }
        serde_json::from_value(metadata).unwrap()
    }

    #[test]
    fn what_install_or_kubernetes_put_there_is_no_stranger_and_all_else_is() {
        let none = json!({});
        let applied = json!({ "managedFields": [{ "manager": "kubectl-guard", "operation": "Apply" }] });
        let owned = |kind: &str| json!({ "ownerReferences": [{ "apiVersion": "v1", "kind": kind, "name": "o", "uid": "1", "controller": true }] });
        let token = json!({ "annotations": { TOKEN: "default" } });
        let cases = [
            ("ConfigMap", "notes", &none, true),
            ("PersistentVolumeClaim", "data", &none, true),
            ("Secret", "password", &none, true),
            ("Deployment", "web", &none, true),
            ("DaemonSet", "guard-exporter", &none, true),
            ("DaemonSet", "guard-exporter", &applied, false),
            ("ConfigMap", "guard-journal", &none, true),
            ("ConfigMap", "guard-pause", &none, false),
            ("ConfigMap", "kube-root-ca.crt", &none, false),
            ("ServiceAccount", "default", &none, false),
            ("Secret", "default", &none, true),
            ("Secret", "default-token-x", &token, false),
            ("Pod", "guard-exporter-x", &owned("DaemonSet"), false),
            ("Pod", "debug", &none, true),
            ("Pod", "of-an-operator", &owned("Kafka"), true),
        ];
        for (kind, name, more, stranger) in cases {
            assert_eq!(is_stranger(kind, &metadata(name, more)), stranger, "{kind} {name} {more}");
        }
    }

    #[test]
    fn a_right_to_the_exporters_goes_with_them_and_another_stays() {
        let binding = |kind: &str, role: &str| -> RoleBinding {
            let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role });
            serde_json::from_value(json!({ "metadata": { "name": "ann" }, "roleRef": role })).unwrap()
        };
        assert!(!is_foreign(&binding("Role", "guard-viewer")));
        assert!(is_foreign(&binding("ClusterRole", "view")));
    }
}
