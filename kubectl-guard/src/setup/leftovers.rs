//! What an earlier `install` has put into the cluster and this one does not: an object that this version has given up, or
//! a choice that is no longer made.

use std::collections::BTreeMap;

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, ObjectMeta};
use kube::core::ApiResource;
use serde_json::json;

use super::made::made_by_install;
use super::manifests::{self, Choices, Kubelet, Object};
use super::{NAMESPACE, certificates};
use crate::error::Error;
use crate::request::Request;

/// What all objects of the installation bear, and those of `manifests/monitoring`, which others apply.
const LABEL: &str = "app.kubernetes.io/part-of=kubectl-guard";

/// The objects in the cluster that an earlier install made and that are not among `wanted`.
///
/// # Errors
/// If the user may not look, or if the API server does not answer.
pub async fn find(client: &Client, wanted: &[Object]) -> Result<Vec<Object>, Error> {
    let mut found = Vec::new();
    for (resource, namespace) in kinds() {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let request = Request { verb: "list", resource: &resource.plural, group: &resource.group, namespace };
        let listed = api.list_metadata(&ListParams::default().labels(LABEL)).await;
        for object in listed.map_err(|error| request.failed(&error))? {
            found.extend(leftover(&object.metadata, &resource, namespace, wanted));
        }
    }
    Ok(found)
}

/// Each kind of object that an install can make, and where; Secrets are not listed: the only one is the certificate's.
fn kinds() -> Vec<(ApiResource, Option<&'static str>)> {
    let all = Choices { kubelet: Kubelet::Authority(String::new()), ..Choices::default() };
    let objects = manifests::objects(&all).into_iter().filter(|object| object.resource.kind != "Namespace");
    let kinds: BTreeMap<String, _> = objects
        .map(|object| (object.resource.plural.clone(), (object.resource, object.namespace.map(|_| NAMESPACE))))
        .collect();
    kinds.into_values().collect()
}

fn leftover(
    metadata: &ObjectMeta,
    resource: &ApiResource,
    namespace: Option<&str>,
    wanted: &[Object],
) -> Option<Object> {
    let name = metadata.name.as_deref()?;
    let is = |object: &Object| object.resource.kind == resource.kind && object.name == name;
    // The certificate is kept, whether it had to be applied this time or not.
    let stays = wanted.iter().any(is) || certificates::traces().iter().any(is);
    (made_by_install(metadata) && !stays).then(|| Object {
        resource: resource.clone(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
        value: json!({"metadata": {"uid": metadata.uid}}),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::made::CONTROLLERS;
    use super::*;
    use crate::plan::FIELD_MANAGER;

    fn metadata(name: &str, managers: &[(&str, &str)]) -> ObjectMeta {
        let fields: Vec<Value> =
            managers.iter().map(|(manager, how)| json!({"manager": manager, "operation": how})).collect();
        serde_json::from_value(json!({"name": name, "uid": "7", "managedFields": fields})).unwrap()
    }

    /// The ConfigMap of that name, if it is left over.
    fn judged(metadata: &ObjectMeta) -> Option<Object> {
        let wanted = manifests::objects(&Choices::default());
        let map = &wanted.iter().find(|object| object.name == "guard-mutes").unwrap().resource;
        leftover(metadata, map, Some(NAMESPACE), &wanted)
    }

    const OURS: (&str, &str) = (FIELD_MANAGER, "Apply");

    #[test]
    fn a_choice_that_is_no_longer_made_is_left_over() {
        let object = judged(&metadata("guard-kubelet-ca", &[OURS, (CONTROLLERS, "Update")])).unwrap();
        assert_eq!(object.title(), "configmap/guard-kubelet-ca");
        assert_eq!(object.namespace.as_deref(), Some(NAMESPACE));
        assert_eq!(object.value, json!({"metadata": {"uid": "7"}}), "nobody else's of that name is deleted for it");
    }

    #[test]
    fn what_this_install_makes_stays_and_the_certificate_too() {
        for name in ["guard-mutes", "guard-exporter-ca"] {
            assert_eq!(judged(&metadata(name, &[OURS])), None, "{name}");
        }
    }

    #[test]
    fn what_somebody_else_had_a_hand_in_is_theirs() {
        for others in [
            &[][..],
            &[(CONTROLLERS, "Update")],
            &[("helm", "Apply")],
            &[("kubectl", "Apply"), OURS],
            &[("kubectl-client-side-apply", "Update"), OURS],
            &[OURS, ("kubectl-edit", "Update")],
            &[(FIELD_MANAGER, "Update")],
            &[OURS, ("kubectl-guard-mute", "Update")],
        ] {
            assert_eq!(judged(&metadata("guard-old", others)), None, "{others:?}");
        }
    }

    #[test]
    fn what_writes_a_status_has_no_hand_in_it() {
        let mut metadata = metadata("guard-old", &[OURS, ("a-controller", "Update")]);
        metadata.managed_fields.as_mut().unwrap()[1].subresource = Some("status".to_owned());
        assert!(judged(&metadata).is_some());
    }

    #[test]
    fn every_kind_of_the_installation_is_looked_through_but_secrets() {
        let kinds = kinds();
        let shown: Vec<String> = kinds
            .iter()
            .map(|(resource, namespace)| format!("{} in {}", resource.plural, namespace.unwrap_or("the cluster")))
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        clusterrolebindings in the cluster
        clusterroles in the cluster
        configmaps in guard-system
        daemonsets in guard-system
        priorityclasses in the cluster
        rolebindings in guard-system
        roles in guard-system
        serviceaccounts in guard-system
        services in guard-system
        ");
    }
}
