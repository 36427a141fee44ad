//! Applying and deleting the objects of an installation, as the user.

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::Status;
use serde_json::{Value, json};

use super::made::{applied_by_install, made_by_install};
use super::manifests::Object;
use crate::error::Error;
use crate::plan::FIELD_MANAGER;
use crate::request::Request;
use crate::sanitise;
use crate::write_point::WritePoint;

/// How to apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// The API server judges and stores nothing.
    pub dry_run: bool,
    /// Take over fields that somebody else manages.
    pub force: bool,
}

/// What became of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is as it should be (or would be, in a dry run).
    Done,
    /// A dry run could not try it: its namespace would only come to be.
    NotTried,
}

/// Applies one object, server side.
///
/// # Errors
/// If the user may not, if somebody else manages one of its fields, or if the API server does not answer.
pub async fn apply(client: &Client, object: &Object, manner: Manner) -> Result<Applied, Error> {
    let mut params = PatchParams::apply(FIELD_MANAGER);
    params.force = manner.force;
    params.dry_run = manner.dry_run;
    let api = api(client, object);
    match WritePoint::Object.send(api.patch(&object.name, &params, &Patch::Apply(&object.value))).await {
        Ok(_) => Ok(Applied::Done),
        Err(kube::Error::Api(status)) if manner.dry_run && lacks_its_namespace(&status) => Ok(Applied::NotTried),
        Err(error) => Err(refused(object, "patch", &error)),
    }
}

/// Deletes one object; false if it was not there. One that bears a UID is deleted only if it is still that one.
///
/// # Errors
/// If the user may not, or if the API server does not answer.
pub async fn delete(client: &Client, object: &Object, dry_run: bool) -> Result<bool, Error> {
    let uid = object.value.pointer("/metadata/uid").and_then(Value::as_str);
    let params = DeleteParams {
        dry_run,
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    let api = api(client, object);
    match WritePoint::Object.send(api.delete(&object.name, &params)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 || (status.code == 409 && uid.is_some()) => Ok(false),
        Err(error) => Err(refused(object, "delete", &error)),
    }
}

/// What of an object is in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Nothing.
    Missing,
    /// One of its name that `install` has applied, with the UID by which it can be deleted and no other.
    Ours(Box<Object>),
    /// One of its name that came by another way.
    Foreign,
}

/// Looks up an object by its name.
///
/// # Errors
/// If the user may not, or if the API server does not answer.
pub async fn standing(client: &Client, object: &Object) -> Result<Standing, Error> {
    let found = api(client, object).get_metadata_opt(&object.name).await;
    let found = found.map_err(|error| refused(object, "get", &error))?;
    Ok(found.map_or(Standing::Missing, |found| stands(object, &found.metadata)))
}

/// A namespace that was there before, or that others have labelled since, is theirs: all that is in it would go with it.
fn stands(object: &Object, metadata: &ObjectMeta) -> Standing {
    let ours = if object.resource.kind == "Namespace" { made_by_install } else { applied_by_install };
    if !ours(metadata) {
        return Standing::Foreign;
    }
    Standing::Ours(Box::new(Object { value: json!({"metadata": {"uid": metadata.uid}}), ..object.clone() }))
}

fn api(client: &Client, object: &Object) -> Api<DynamicObject> {
    match &object.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &object.resource),
        None => Api::all_with(client.clone(), &object.resource),
    }
}

fn lacks_its_namespace(status: &Status) -> bool {
    let kind = status.details.as_ref().map(|details| details.kind.as_str());
    status.code == 404 && kind == Some("namespaces")
}

fn refused(object: &Object, verb: &str, error: &kube::Error) -> Error {
    match error {
        kube::Error::Api(status) if status.code == 409 => {
            Error::ManagedByAnother { what: object.title(), message: sanitise::line(&status.message) }
        }
        kube::Error::Api(status) if status.message.contains("attempting to grant RBAC permissions") => {
            Error::MayNotGrant { what: object.title() }
        }
        other => Request {
            verb,
            resource: &object.resource.plural,
            group: &object.resource.group,
            namespace: object.namespace.as_deref(),
        }
        .failed(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifests::{Choices, objects};
    use super::*;
    use crate::exit::Exit;

    fn role() -> Object {
        objects(&Choices::default()).into_iter().find(|object| object.resource.kind == "ClusterRole").unwrap()
    }

    fn answer(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure(message, "").with_code(code)))
    }

    #[test]
    fn rights_that_the_user_lacks_cannot_be_granted_and_the_error_says_so() {
        let message = r#"clusterroles "guard-exporter" is forbidden: user "ann" is attempting to grant RBAC permissions not currently held: ..."#;
        let error = refused(&role(), "patch", &answer(403, message));
        assert_eq!(error.process_exit_code(), Exit::NotPermitted);
        insta::assert_snapshot!(error.shown(), @r"
        error: you may not grant the rights of clusterrole.rbac.authorization.k8s.io/guard-exporter: you do not hold all of them yourself
        hint: let an administrator of the cluster install; `kubectl guard install -o yaml` shows what it needs
        ");
    }

    #[test]
    fn a_conflict_names_the_other_manager_and_the_way_out() {
        let message = r#"Apply failed with 1 conflict: conflict with "helm": .spec.template"#;
        insta::assert_snapshot!(refused(&role(), "patch", &answer(409, message)).shown(), @r#"
        error: clusterrole.rbac.authorization.k8s.io/guard-exporter is managed by somebody else too: Apply failed with 1 conflict: conflict with "helm": .spec.template
        hint: --force-conflicts takes these fields over
        "#);
    }

    #[test]
    fn a_refusal_names_the_rule_that_is_missing() {
        let message = r#"x is forbidden: User "ann" cannot create resource "clusterroles" in API group"#;
        insta::assert_snapshot!(refused(&role(), "patch", &answer(403, message)).shown(), @r#"
        error: you may not create clusterroles.rbac.authorization.k8s.io in the whole cluster
        hint: ask for this rule: a ClusterRole with apiGroups: ["rbac.authorization.k8s.io"], resources: ["clusterroles"], verbs: ["create"]
        "#);
    }

    #[test]
    fn an_object_is_ours_if_install_applied_it_and_the_namespace_if_nobody_else_did() {
        let managed = |managers: &[(&str, &str)]| -> ObjectMeta {
            let fields: Vec<Value> =
                managers.iter().map(|(manager, how)| json!({"manager": manager, "operation": how})).collect();
            serde_json::from_value(json!({"name": "x", "uid": "7", "managedFields": fields})).unwrap()
        };
        let namespace = objects(&Choices::default()).remove(0);
        let (ours, edited) = ((FIELD_MANAGER, "Apply"), ("kubectl-edit", "Update"));
        let is_ours = |object: &Object, managers: &[(&str, &str)]| match stands(object, &managed(managers)) {
            Standing::Ours(found) => {
                assert_eq!(
                    found.value,
                    json!({"metadata": {"uid": "7"}}),
                    "nobody else's of that name is deleted for it"
                );
                true
            }
            _ => false,
        };
        assert!(is_ours(&role(), &[ours]) && is_ours(&namespace, &[ours]));
        assert!(is_ours(&role(), &[ours, edited]), "somebody changed it since");
        assert!(!is_ours(&namespace, &[ours, edited]), "somebody keeps things of their own in it, or made it before");
        for others in [&[][..], &[("helm", "Apply")], &[edited], &[(FIELD_MANAGER, "Update")]] {
            assert!(!is_ours(&role(), others) && !is_ours(&namespace, others), "{others:?}");
        }
    }

    #[test]
    fn only_a_missing_namespace_excuses_a_dry_run() {
        let missing = |kind: &str| -> Status {
            let json = serde_json::json!({"status": "Failure", "code": 404, "details": {"kind": kind}});
            serde_json::from_value(json).unwrap()
        };
        assert!(lacks_its_namespace(&missing("namespaces")));
        assert!(!lacks_its_namespace(&missing("daemonsets")));
    }
}
