//! The revisions of a Deployment: the template that it has, and those that its ReplicaSets keep.
//!
//! Read as plain JSON: a template is written back as it was, with fields that this program does not know.

use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::Selector;
use serde_json::Value;

use crate::error::{Error, Request};
use crate::plan::{Kind, Target, without_nulls};

const NUMBER: &str = "deployment.kubernetes.io/revision";
/// The label that a ReplicaSet adds to the template.
const HASH: &str = "pod-template-hash";

/// What can be rolled back to.
#[derive(Clone, Debug, PartialEq)]
pub enum Revisions {
    /// Nobody asked, or it is no Deployment.
    NotAsked,
    /// These.
    Known {
        /// The one it has.
        current: Revision,
        /// Those before it, the latest first.
        earlier: Vec<Revision>,
    },
    /// They cannot be told.
    Unknown {
        /// Why.
        why: String,
    },
}

/// A template that the Deployment has or had.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its number, as `kubectl rollout history` shows it.
    pub number: i64,
    /// The ReplicaSet that keeps it; empty if it has none yet.
    pub replica_set: String,
    /// When that was made.
    pub created: Option<Timestamp>,
    /// The pod template, without what the ReplicaSet added.
    pub template: Value,
}

/// Reads the revisions of this very Deployment.
pub(super) async fn read(client: &kube::Client, target: &Target, selector: Option<Selector>) -> Revisions {
    match objects(client, target, selector).await {
        Ok((deployment, sets)) => revisions(target, &deployment, &sets),
        Err(error) => Revisions::Unknown { why: error.to_string() },
    }
}

async fn objects(
    client: &kube::Client,
    target: &Target,
    selector: Option<Selector>,
) -> Result<(DynamicObject, Vec<DynamicObject>), Error> {
    let namespace = target.namespace.as_str();
    let api = |kind: &str, plural: &str| {
        let resource = ApiResource {
            group: "apps".into(),
            version: "v1".into(),
            api_version: "apps/v1".into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource)
    };
    let request = |verb, resource| Request { verb, resource, group: "apps", namespace: Some(namespace) };
    let params = selector.map_or_else(ListParams::default, |selector| ListParams::default().labels_from(&selector));
    let sets = api("ReplicaSet", "replicasets").list(&params).await;
    let sets = sets.map_err(|error| request("list", "replicasets").failed(&error))?;
    let deployment = api("Deployment", Kind::Deployment.resource()).get(&target.name).await;
    Ok((deployment.map_err(|error| request("get", "deployments").failed(&error))?, sets.items))
}

fn revisions(target: &Target, deployment: &DynamicObject, sets: &[DynamicObject]) -> Revisions {
    let unknown = |why: &str| Revisions::Unknown { why: why.into() };
    let metadata = &deployment.metadata;
    if metadata.uid.as_deref() != Some(&target.uid) || metadata.resource_version != target.resource_version {
        return unknown("it changes right now");
    }
    if metadata.generation != deployment.data["status"]["observedGeneration"].as_i64() {
        return unknown("its controller has not seen its latest change yet");
    }
    let Some(number) = number(deployment) else { return unknown("its controller has numbered no revision yet") };
    let own = sets.iter().filter(|set| {
        let owners = set.metadata.owner_references.iter().flatten();
        owners.into_iter().any(|owner| owner.controller == Some(true) && owner.uid == target.uid)
    });
    let (current, mut earlier): (Vec<_>, Vec<_>) = own.filter_map(revision).partition(|set| set.number == number);
    earlier.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    let kept = current.into_iter().next();
    let current = Revision {
        number,
        created: kept.as_ref().and_then(|revision| revision.created),
        replica_set: kept.map(|revision| revision.replica_set).unwrap_or_default(),
        template: without_nulls(&deployment.data["spec"]["template"]),
    };
    Revisions::Known { current, earlier }
}

fn number(object: &DynamicObject) -> Option<i64> {
    object.metadata.annotations.as_ref()?.get(NUMBER)?.parse().ok()
}

fn revision(set: &DynamicObject) -> Option<Revision> {
    let mut template = without_nulls(&set.data["spec"]["template"]);
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    Some(Revision {
        number: number(set)?,
        replica_set: set.metadata.name.clone()?,
        created: set.metadata.creation_timestamp.as_ref().map(|time| time.0),
        template: template.is_object().then_some(template)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::examples::workload;

    fn object(metadata: &Value, spec: &Value) -> DynamicObject {
        let object = json!({ "metadata": metadata, "spec": spec, "status": { "observedGeneration": 7 } });
        serde_json::from_value(object).unwrap()
    }

    fn template(image: &str) -> Value {
        json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "web", "image": image }] } })
    }

    fn set(name: &str, revision: &str, image: &str, owner: &str) -> DynamicObject {
        let mut template = template(image);
        template["metadata"]["labels"][HASH] = json!("5d4");
        template["metadata"]["creationTimestamp"] = Value::Null;
        let metadata = json!({ "name": name, "uid": format!("uid-{name}"), "annotations": { NUMBER: revision },
            "creationTimestamp": "2026-11-22T13:00:00Z", "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": owner, "controller": true }] });
        object(&metadata, &json!({ "template": template }))
    }

    fn deployment(version: &str, generation: i64) -> DynamicObject {
        let metadata = json!({ "name": "web", "uid": "uid-web", "resourceVersion": version, "generation": generation,
            "annotations": { NUMBER: "10" } });
        object(&metadata, &json!({ "template": template("web:3") }))
    }

    #[test]
    fn its_own_earlier_templates_come_latest_first_and_as_they_were_written() {
        let target = workload(Kind::Deployment).target;
        let sets = [
            set("web-1", "8", "web:1", "uid-web"),
            set("web-3", "10", "web:3", "uid-web"),
            set("web-2", "9", "web:2", "uid-web"),
            set("other", "9", "other", "uid-other"),
        ];
        let Revisions::Known { current, earlier } = revisions(&target, &deployment("4711", 7), &sets) else { panic!() };
        assert_eq!((current.number, current.replica_set.as_str()), (10, "web-3"));
        assert_eq!(current.template, template("web:3"));
        let earlier: Vec<_> = earlier.into_iter().map(|revision| (revision.number, revision.template)).collect();
        assert_eq!(earlier, [(9, template("web:2")), (8, template("web:1"))]);
    }

    #[test]
    fn what_changes_right_now_is_not_known() {
        let target = workload(Kind::Deployment).target;
        let why = |deployment| match revisions(&target, &deployment, &[]) {
            Revisions::Unknown { why } => why,
            known => panic!("{known:?}"),
        };
        assert_eq!(why(deployment("4712", 7)), "it changes right now");
        assert_eq!(why(deployment("4711", 8)), "its controller has not seen its latest change yet");
    }
}
