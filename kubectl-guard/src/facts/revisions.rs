//! The revisions of a workload: the template that it has, and those that are kept, a Deployment's by its ReplicaSets, those
//! of a StatefulSet or DaemonSet by ControllerRevisions.
//!
//! Read as plain JSON: a template is written back as it was, with fields that this program does not know.

use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::Selector;
use serde_json::Value;

use crate::error::Error;
use crate::plan::{Kind, Target, without_nulls};
use crate::request::Request;

const NUMBER: &str = "deployment.kubernetes.io/revision";
/// What a ControllerRevision adds to the template, for its patch to replace the whole.
const REPLACE: &str = "$patch";
/// The label that a ReplicaSet adds to the template.
const HASH: &str = "pod-template-hash";

/// What can be rolled back to.
#[derive(Clone, Debug, PartialEq)]
pub enum Revisions {
    /// Nobody asked, or it is no workload.
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

/// A template that the workload has or had.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its number, as `kubectl rollout history` shows it.
    pub number: i64,
    /// The ReplicaSet that keeps it; empty if it has none yet, or is no Deployment's.
    pub replica_set: String,
    /// When what keeps it was made.
    pub created: Option<Timestamp>,
    /// The pod template, without what the ReplicaSet added.
    pub template: Value,
}

/// Reads the revisions of this very workload.
pub(super) async fn read(client: &kube::Client, target: &Target, selector: Option<Selector>) -> Revisions {
    match objects(client, target, selector).await {
        Ok((deployment, sets)) if target.kind == Kind::Deployment => revisions(target, &deployment, &sets),
        Ok((set, kept)) => of_set(target, &set, &kept),
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
    let (kind, plural) = match target.kind {
        Kind::Deployment => ("ReplicaSet", "replicasets"),
        _ => ("ControllerRevision", "controllerrevisions"),
    };
    let kept = api(kind, plural).list(&params).await.map_err(|error| request("list", plural).failed(&error))?;
    let workload = api(target.kind.name(), target.kind.resource()).get(&target.name).await;
    Ok((workload.map_err(|error| request("get", target.kind.resource()).failed(&error))?, kept.items))
}

/// It is the object that was seen, and its controller has seen it as it is.
fn settled(target: &Target, workload: &DynamicObject) -> Result<(), Revisions> {
    let unknown = |why: &str| Err(Revisions::Unknown { why: why.into() });
    let metadata = &workload.metadata;
    let now = Target {
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone(),
        generation: metadata.generation,
        ..target.clone()
    };
    if !now.is_as_seen(target) {
        return unknown("it changes right now");
    }
    if metadata.generation != workload.data["status"]["observedGeneration"].as_i64() {
        return unknown("its controller has not seen its latest change yet");
    }
    Ok(())
}

/// This object keeps a revision of the target.
fn keeps(target: &Target, object: &DynamicObject) -> bool {
    let mut owners = object.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true) && owner.uid == target.uid)
}

/// Those of a StatefulSet, whose status names the one it has, or of a DaemonSet, whose controller numbers that one highest.
fn of_set(target: &Target, set: &DynamicObject, kept: &[DynamicObject]) -> Revisions {
    if let Err(unknown) = settled(target, set) {
        return unknown;
    }
    let own: Vec<&DynamicObject> = kept.iter().filter(|object| keeps(target, object)).collect();
    let latest = set.data["status"]["updateRevision"].as_str();
    let is_current = |object: &&&DynamicObject| latest.is_none_or(|name| object.metadata.name.as_deref() == Some(name));
    let number = own.iter().filter(is_current).filter_map(|object| object.data["revision"].as_i64()).max();
    let Some(number) = number else {
        return Revisions::Unknown { why: "its controller has numbered no revision yet".into() };
    };
    let (current, mut earlier): (Vec<_>, Vec<_>) =
        own.into_iter().filter_map(controller_revision).partition(|revision| revision.number == number);
    earlier.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    let created = current.into_iter().next().and_then(|revision| revision.created);
    let template = without_nulls(&set.data["spec"]["template"]);
    let current = Revision { number, created, replica_set: String::new(), template };
    Revisions::Known { current, earlier }
}

fn controller_revision(object: &DynamicObject) -> Option<Revision> {
    let mut template = without_nulls(&object.data["data"]["spec"]["template"]);
    template.as_object_mut()?.remove(REPLACE);
    Some(Revision {
        number: object.data["revision"].as_i64()?,
        replica_set: String::new(),
        created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
        template,
    })
}

fn revisions(target: &Target, deployment: &DynamicObject, sets: &[DynamicObject]) -> Revisions {
    if let Err(unknown) = settled(target, deployment) {
        return unknown;
    }
    let Some(number) = number(deployment) else {
        return Revisions::Unknown { why: "its controller has numbered no revision yet".into() };
    };
    let own = sets.iter().filter(|set| keeps(target, set));
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
        let object = json!({ "metadata": metadata, "spec": spec, "status": { "observedGeneration": 2 } });
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

    fn deployment(generation: i64) -> DynamicObject {
        let metadata = json!({ "name": "web", "uid": "uid-web", "resourceVersion": "4712", "generation": generation,
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
        let Revisions::Known { current, earlier } = revisions(&target, &deployment(2), &sets) else { panic!() };
        assert_eq!((current.number, current.replica_set.as_str()), (10, "web-3"));
        assert_eq!(current.template, template("web:3"));
        let earlier: Vec<_> = earlier.into_iter().map(|revision| (revision.number, revision.template)).collect();
        assert_eq!(earlier, [(9, template("web:2")), (8, template("web:1"))]);
    }

    fn kept(name: &str, revision: i64, image: &str, owner: &str) -> DynamicObject {
        let mut template = template(image);
        template["$patch"] = json!("replace");
        template["metadata"]["creationTimestamp"] = Value::Null;
        let object = json!({ "metadata": { "name": name, "creationTimestamp": "2026-11-22T13:00:00Z", "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": owner, "controller": true }] },
            "revision": revision, "data": { "spec": { "template": template } } });
        serde_json::from_value(object).unwrap()
    }

    fn stateful_or_daemon_set(update_revision: Option<&str>, observed: i64) -> DynamicObject {
        let object = json!({ "metadata": { "name": "web", "uid": "uid-web", "resourceVersion": "4711", "generation": 2 },
            "spec": { "template": template("web:3") },
            "status": { "observedGeneration": observed, "updateRevision": update_revision } });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_set_has_the_revision_that_its_status_names_or_the_highest() {
        let target = workload(Kind::StatefulSet).target;
        let all = [
            kept("web-a", 1, "web:1", "uid-web"),
            kept("web-c", 3, "web:3", "uid-web"),
            kept("web-b", 2, "web:2", "uid-web"),
            kept("other", 9, "other", "uid-other"),
        ];
        for update_revision in [Some("web-c"), None] {
            let Revisions::Known { current, earlier } =
                of_set(&target, &stateful_or_daemon_set(update_revision, 2), &all)
            else {
                panic!()
            };
            assert_eq!((current.number, current.template), (3, template("web:3")));
            let earlier: Vec<_> = earlier.into_iter().map(|revision| (revision.number, revision.template)).collect();
            assert_eq!(earlier, [(2, template("web:2")), (1, template("web:1"))]);
        }
        for (set, kept) in [
            (stateful_or_daemon_set(Some("web-c"), 1), &all[..]),
            (stateful_or_daemon_set(Some("web-d"), 2), &all[..]),
            (stateful_or_daemon_set(None, 2), &[][..]),
        ] {
            assert!(matches!(of_set(&target, &set, kept), Revisions::Unknown { .. }));
        }
    }

    #[test]
    fn what_changes_right_now_is_not_known() {
        let target = workload(Kind::Deployment).target;
        let why = |target: &Target, deployment| match revisions(target, &deployment, &[]) {
            Revisions::Unknown { why } => why,
            known => panic!("{known:?}"),
        };
        assert_eq!(why(&target, deployment(3)), "it changes right now");
        let later = Target { generation: Some(3), ..target };
        assert_eq!(why(&later, deployment(3)), "its controller has not seen its latest change yet");
    }
}
