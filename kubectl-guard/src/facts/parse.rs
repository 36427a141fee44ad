//! Facts from objects, pure: what the API server answered, as [`super::Facts`] wants it.

use guard_model::pod::{MIRROR, may_end};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{
    Autoscaling, Owner, OwnerRule, Pause, PodFact, PodTarget, Rollout, StatefulFacts, WorkloadFacts, containers,
    owners, room,
};
use crate::plan::{Kind, RESTARTED_AT, Target};
use crate::sanitise;

/// A workload with what is needed to find its pods.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) workload: WorkloadFacts,
    pub(super) selector: LabelSelector,
    pub(super) template: Option<PodSpec>,
}

pub(super) fn deployment(object: Deployment) -> Option<Found> {
    let spec = object.spec?;
    let replicas = spec.replicas.unwrap_or(1);
    let strategy = spec.strategy.unwrap_or_default();
    let rollout = if strategy.type_.as_deref() == Some("Recreate") {
        Rollout::Recreate
    } else {
        let rolling = strategy.rolling_update.unwrap_or_default();
        let quarter = IntOrString::String("25%".into());
        let max_surge = pods(rolling.max_surge.as_ref().unwrap_or(&quarter), replicas, true);
        let max_unavailable = pods(rolling.max_unavailable.as_ref().unwrap_or(&quarter), replicas, false);
        // The controller never lets both be 0: it could not move.
        let max_unavailable = if max_surge == 0 && max_unavailable == 0 { 1 } else { max_unavailable };
        Rollout::Rolling { max_unavailable, max_surge, partition: 0 }
    };
    found(
        Kind::Deployment,
        &object.metadata,
        (spec.selector, spec.template),
        replicas,
        spec.paused.unwrap_or(false),
        rollout,
    )
}

pub(super) fn stateful_set(object: StatefulSet) -> Option<Found> {
    let spec = object.spec?;
    let replicas = spec.replicas.unwrap_or(1);
    let strategy = spec.update_strategy.unwrap_or_default();
    let rollout = if strategy.type_.as_deref() == Some("OnDelete") {
        Rollout::OnDelete
    } else {
        let rolling = strategy.rolling_update.unwrap_or_default();
        let max_unavailable = rolling.max_unavailable.as_ref().map_or(1, |value| pods(value, replicas, true).max(1));
        Rollout::Rolling { max_unavailable, max_surge: 0, partition: rolling.partition.unwrap_or(0) }
    };
    let stateful = StatefulFacts {
        ordered: spec.pod_management_policy.as_deref() != Some("Parallel"),
        first: spec.ordinals.and_then(|ordinals| ordinals.start).unwrap_or(0),
        deletes_volumes: spec.volume_claim_templates.is_some_and(|claims| !claims.is_empty())
            && spec
                .persistent_volume_claim_retention_policy
                .is_some_and(|policy| policy.when_scaled.as_deref() == Some("Delete")),
    };
    let of_pods = (spec.selector, spec.template);
    let mut found = found(Kind::StatefulSet, &object.metadata, of_pods, replicas, false, rollout)?;
    found.workload.stateful = Some(stateful);
    Some(found)
}

pub(super) fn daemon_set(object: DaemonSet) -> Option<Found> {
    let spec = object.spec?;
    let replicas = object.status.map_or(0, |status| status.desired_number_scheduled);
    let strategy = spec.update_strategy.unwrap_or_default();
    let rollout = if strategy.type_.as_deref() == Some("OnDelete") {
        Rollout::OnDelete
    } else {
        let rolling = strategy.rolling_update.unwrap_or_default();
        let max_surge = rolling.max_surge.as_ref().map_or(0, |value| pods(value, replicas, true));
        let max_unavailable = rolling.max_unavailable.as_ref().map_or(1, |value| pods(value, replicas, true));
        Rollout::Rolling { max_unavailable, max_surge, partition: 0 }
    };
    found(Kind::DaemonSet, &object.metadata, (spec.selector, spec.template), replicas, false, rollout)
}

/// What all of them have in common; `of_pods` is their selector and template.
fn found(
    kind: Kind,
    metadata: &ObjectMeta,
    of_pods: (LabelSelector, PodTemplateSpec),
    replicas: i32,
    paused: bool,
    rollout: Rollout,
) -> Option<Found> {
    let (selector, template) = of_pods;
    let workload = WorkloadFacts {
        target: target(kind, metadata)?,
        replicas,
        paused,
        rollout,
        restarted_at: restarted_at(&template),
        containers: containers::of_spec(template.spec.as_ref()),
        deployed_by: owners::deployed_by(metadata),
        made_from: owners::made_from(metadata),
        stateful: None,
    };
    Some(Found { workload, selector, template: template.spec })
}

pub(super) fn pod_target(pod: &Pod) -> Option<PodTarget> {
    let annotations = pod.metadata.annotations.as_ref();
    Some(PodTarget {
        target: Target { resource_version: None, generation: None, ..target(Kind::Pod, &pod.metadata)? },
        controller: controller(&pod.metadata).map(|owner| (owner.kind.clone(), owner.name.clone())),
        mirror: annotations.is_some_and(|annotations| annotations.contains_key(MIRROR)),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        ready: is_ready(pod),
        runs_once: runs_once(pod),
        outdated: Some(false),
    })
}

/// Pods of Deployments, StatefulSets and DaemonSets can only be run again always. Those of jobs and workflows are not.
pub(super) fn runs_once(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(may_end)
}

/// A pod of this StatefulSet, which replaces none by itself, that is not of its newest template.
pub(super) fn is_outdated_in_set(pod: &Pod, set: &StatefulSet) -> bool {
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref()?.type_.as_deref());
    let newest = set.status.as_ref().and_then(|status| status.update_revision.as_deref());
    strategy == Some("OnDelete") && newest.is_some_and(|newest| label(pod, "controller-revision-hash") != Some(newest))
}

/// The same of a DaemonSet, whose status names no revision: it counts its templates.
pub(super) fn is_outdated_in_daemon_set(pod: &Pod, set: &DaemonSet) -> bool {
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref()?.type_.as_deref());
    let counted = "deprecated.daemonset.template.generation";
    let newest = set.metadata.annotations.as_ref().and_then(|annotations| annotations.get(counted));
    strategy == Some("OnDelete") && newest.is_some_and(|newest| label(pod, "pod-template-generation") != Some(newest))
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// The pods of this owner. One that has ended, evicted by its kubelet for example, is left lying by its controller, which has
/// made another: it never becomes ready and never has a score again.
pub(super) fn pods_of<'a>(pods: impl IntoIterator<Item = &'a Pod>, rule: &OwnerRule) -> Vec<PodFact> {
    pods.into_iter().filter(|pod| belongs(pod, rule) && !room::is_finished(pod)).map(pod_fact).collect()
}

fn pod_fact(pod: &Pod) -> PodFact {
    PodFact {
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        ready: is_ready(pod),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        containers: containers::of_pod(pod),
    }
}

/// The owner that a pod's controller is to it; a bare pod is its own and has no siblings.
pub(super) fn owner_of(pod: &Pod, namespace: &str) -> Owner {
    let uid = controller(&pod.metadata).map(|owner| owner.uid.clone()).unwrap_or_default();
    Owner { namespace: namespace.into(), rule: OwnerRule::Controller(uid), selector: None }
}

/// The pod belongs to this owner.
fn belongs(pod: &Pod, rule: &OwnerRule) -> bool {
    let Some(owner) = controller(&pod.metadata) else { return false };
    match rule {
        OwnerRule::Controller(uid) => owner.uid == *uid,
        OwnerRule::Deployment(name) => {
            let hash = label(pod, "pod-template-hash");
            owner.kind == "ReplicaSet" && hash.is_some_and(|hash| owner.name == format!("{name}-{hash}"))
        }
    }
}

pub(super) fn autoscaling(target: &Target, autoscalers: Vec<HorizontalPodAutoscaler>) -> Autoscaling {
    for autoscaler in autoscalers {
        let Some(spec) = autoscaler.spec else { continue };
        let scaled = &spec.scale_target_ref;
        let group = scaled.api_version.as_deref().and_then(|version| version.split_once('/')).map_or("", |(g, _)| g);
        if scaled.kind == target.kind.name() && scaled.name == target.name && group == target.kind.group() {
            return Autoscaling::Owned {
                name: autoscaler.metadata.name.unwrap_or_default(),
                min: spec.min_replicas.unwrap_or(1),
                max: spec.max_replicas,
            };
        }
    }
    Autoscaling::Nobody
}

pub(super) fn pause(config_map: Option<ConfigMap>) -> Pause {
    match config_map {
        None => Pause::Off,
        Some(map) => {
            let reason = map.data.and_then(|mut data| data.remove("reason"));
            Pause::On { reason: reason.as_deref().map(sanitise::line) }
        }
    }
}

/// A number of pods from a number or a share of `total`; a share that cannot be read counts as none.
fn pods(value: &IntOrString, total: i32, round_up: bool) -> i32 {
    match value {
        IntOrString::Int(count) => (*count).max(0),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(0).max(0);
            let share = percent.saturating_mul(i64::from(total.max(0)));
            let count = if round_up { share.saturating_add(99) / 100 } else { share / 100 };
            i32::try_from(count).unwrap_or(i32::MAX)
        }
    }
}

fn restarted_at(template: &PodTemplateSpec) -> Option<String> {
    template.metadata.as_ref()?.annotations.as_ref()?.get(RESTARTED_AT).cloned()
}

/// `None` for an object without name, namespace, UID or version: such a one cannot be held to anything.
fn target(kind: Kind, metadata: &ObjectMeta) -> Option<Target> {
    Some(Target {
        kind,
        namespace: metadata.namespace.clone()?,
        name: metadata.name.clone()?,
        uid: metadata.uid.clone().filter(|uid| !uid.is_empty())?,
        resource_version: Some(metadata.resource_version.clone().filter(|version| !version.is_empty())?),
        generation: metadata.generation,
    })
}

pub(super) fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}

/// Its condition says so.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn meta(name: &str) -> Value {
        json!({ "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "7" })
    }

    fn rollout_of(replicas: i32, strategy: &Value) -> Rollout {
        let object = json!({ "metadata": meta("web"),
            "spec": { "replicas": replicas, "strategy": strategy, "selector": {}, "template": {} } });
        deployment(read(object)).unwrap().workload.rollout
    }

    #[test]
    fn surge_rounds_up_and_unavailable_rounds_down() {
        let quarter = rollout_of(1, &json!({}));
        assert_eq!(quarter, Rollout::Rolling { max_unavailable: 0, max_surge: 1, partition: 0 });
        let quarter = rollout_of(5, &json!({ "type": "RollingUpdate" }));
        assert_eq!(quarter, Rollout::Rolling { max_unavailable: 1, max_surge: 2, partition: 0 });
    }

    #[test]
    fn a_deployment_that_may_neither_surge_nor_miss_one_misses_one() {
        let strategy = json!({ "rollingUpdate": { "maxSurge": 0, "maxUnavailable": "10%" } });
        assert_eq!(rollout_of(4, &strategy), Rollout::Rolling { max_unavailable: 1, max_surge: 0, partition: 0 });
    }

    fn stateful_of(spec: &Value) -> StatefulFacts {
        let mut object =
            json!({ "metadata": meta("db"), "spec": { "selector": {}, "template": {}, "serviceName": "db" } });
        for (key, value) in spec.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        stateful_set(read(object)).unwrap().workload.stateful.unwrap()
    }

    #[test]
    fn a_stateful_set_waits_for_each_pod_unless_it_says_otherwise() {
        assert!(stateful_of(&json!({})).ordered);
        assert!(stateful_of(&json!({ "podManagementPolicy": "OrderedReady" })).ordered);
        assert!(!stateful_of(&json!({ "podManagementPolicy": "Parallel" })).ordered);
        assert_eq!(stateful_of(&json!({ "ordinals": { "start": 3 } })).first, 3);
    }

    #[test]
    fn volumes_go_with_a_pod_where_there_are_some_and_the_policy_says_so() {
        let with = |claims: &Value, when_scaled: &str| {
            let policy = json!({ "whenDeleted": "Retain", "whenScaled": when_scaled });
            let spec = json!({ "volumeClaimTemplates": claims, "persistentVolumeClaimRetentionPolicy": policy });
            stateful_of(&spec).deletes_volumes
        };
        let data = json!([{ "metadata": { "name": "data" } }]);
        assert!(with(&data, "Delete"));
        assert!(!with(&data, "Retain"));
        assert!(!with(&json!([]), "Delete"));
        assert!(!stateful_of(&json!({ "volumeClaimTemplates": data })).deletes_volumes, "Retain is the default");
    }

    #[test]
    fn an_object_without_uid_or_version_is_no_target() {
        let spec = json!({ "selector": {}, "template": {} });
        for missing in ["uid", "resourceVersion"] {
            let mut metadata = meta("web");
            metadata.as_object_mut().unwrap().remove(missing);
            assert!(deployment(read(json!({ "metadata": metadata, "spec": spec }))).is_none());
        }
    }

    #[test]
    fn a_pod_belongs_by_uid_or_by_the_replicasets_name() {
        let owner = |kind: &str, name: &str| json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u1", "controller": true }]);
        let pod = |owner: Value| {
            read::<Pod>(
                json!({ "metadata": { "name": "p", "labels": { "pod-template-hash": "5d4" }, "ownerReferences": owner } }),
            )
        };
        let web = OwnerRule::Deployment("web".into());
        assert!(belongs(&pod(owner("ReplicaSet", "web-5d4")), &web));
        assert!(!belongs(&pod(owner("ReplicaSet", "web-other-5d4")), &web));
        assert!(!belongs(&pod(owner("StatefulSet", "web-5d4")), &web));
        let db = pod(owner("StatefulSet", "db"));
        assert!(belongs(&db, &OwnerRule::Controller("u1".into())));
        assert!(!belongs(&db, &OwnerRule::Controller("u2".into())), "the same name, another UID");
    }

    #[test]
    fn the_words_of_a_pause_are_harmless() {
        let map = json!({ "metadata": { "name": "guard-pause" }, "data": { "reason": "a\u{1b}[2Jb\u{202e}c\nd" } });
        assert_eq!(pause(Some(read(map))), Pause::On { reason: Some("abc d".into()) });
    }

    #[test]
    fn a_pod_of_an_older_template_is_outdated_where_nothing_replaces_it() {
        let pod: Pod = read(json!({ "metadata": { "name": "p",
            "labels": { "controller-revision-hash": "db-1", "pod-template-generation": "1" } } }));
        let set = |strategy: &str, newest: &str| {
            read::<StatefulSet>(json!({ "metadata": meta("db"), "status": { "replicas": 1, "updateRevision": newest },
                "spec": { "selector": {}, "template": {}, "serviceName": "db", "updateStrategy": { "type": strategy } } }))
        };
        assert!(is_outdated_in_set(&pod, &set("OnDelete", "db-2")));
        assert!(!is_outdated_in_set(&pod, &set("OnDelete", "db-1")));
        assert!(!is_outdated_in_set(&pod, &set("RollingUpdate", "db-2")), "it is replaced anyway");
        let daemons = |strategy: &str, newest: &str| {
            let mut metadata = meta("log");
            metadata["annotations"] = json!({ "deprecated.daemonset.template.generation": newest });
            read::<DaemonSet>(json!({ "metadata": metadata,
                "spec": { "selector": {}, "template": {}, "updateStrategy": { "type": strategy } } }))
        };
        assert!(is_outdated_in_daemon_set(&pod, &daemons("OnDelete", "2")));
        assert!(!is_outdated_in_daemon_set(&pod, &daemons("OnDelete", "1")));
        assert!(!is_outdated_in_daemon_set(&pod, &daemons("RollingUpdate", "2")));
    }

    #[test]
    fn only_what_is_always_run_again_serves() {
        let once = |policy: Option<&str>| {
            runs_once(&read(json!({ "metadata": {}, "spec": { "containers": [], "restartPolicy": policy } })))
        };
        assert_eq!([None, Some("Always"), Some("OnFailure"), Some("Never")].map(once), [false, false, true, true]);
    }

    #[test]
    fn a_pod_that_has_ended_is_none_of_its_owners_any_more() {
        let pod = |name: &str, phase: &str| {
            let owner = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4", "uid": "u1", "controller": true }]);
            read::<Pod>(json!({ "metadata": { "name": name, "ownerReferences": owner }, "status": { "phase": phase } }))
        };
        let all = [pod("runs", "Running"), pod("evicted", "Failed"), pod("done", "Succeeded"), pod("waits", "Pending")];
        let names = pods_of(&all, &OwnerRule::Controller("u1".into()));
        assert_eq!(names.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), ["runs", "waits"]);
    }

    #[test]
    fn an_autoscaler_owns_only_what_it_names() {
        let hpa = |group: &str, name: &str| {
            read::<HorizontalPodAutoscaler>(json!({ "metadata": { "name": "h" }, "spec": { "maxReplicas": 5,
                "scaleTargetRef": { "apiVersion": format!("{group}/v1"), "kind": "Deployment", "name": name } } }))
        };
        let web = target(Kind::Deployment, &read(meta("web"))).unwrap();
        assert_eq!(autoscaling(&web, vec![hpa("apps", "other"), hpa("example.com", "web")]), Autoscaling::Nobody);
        let owned = Autoscaling::Owned { name: "h".into(), min: 1, max: 5 };
        assert_eq!(autoscaling(&web, vec![hpa("apps", "web")]), owned);
    }
}
