//! From a Pod object to [`PodFacts`]: the few facts of it that scoring needs.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerStatus, Pod, PodCondition, PodSpec, PodStatus, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::quantity;
use crate::sample::{ContainerLimits, OptOut, Phase, PodFacts, Termination};
use crate::workload::Workload;

/// What runs a static pod, in place of a controller's kind: a file on its node.
pub const STATIC_POD: &str = "StaticPod";
/// The annotation of a static pod's mirror in the API; its value is the UID that the kubelet knows the pod by.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod list or report that is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read: {source}")]
pub struct ParseError {
    /// What was being read.
    pub what: &'static str,
    /// Where and why it failed.
    pub source: serde_json::Error,
}

/// The facts of every pod in a `PodList` in JSON.
///
/// # Errors
/// If `body` is not a list of pods.
pub fn pods(body: &[u8]) -> Result<Vec<PodFacts>, ParseError> {
    #[derive(serde::Deserialize)]
    struct Items {
        items: Vec<Pod>,
    }
    let list: Items = serde_json::from_slice(body).map_err(|source| ParseError { what: "the list of pods", source })?;
    Ok(list.items.iter().map(facts).collect())
}

/// What scoring needs to know of a pod. Limits are those in force, which an in-place resize may ask to change in vain.
pub fn facts(pod: &Pod) -> PodFacts {
    let meta = &pod.metadata;
    let no_spec = PodSpec::default();
    let no_status = PodStatus::default();
    let (spec, status) = (pod.spec.as_ref().unwrap_or(&no_spec), pod.status.as_ref().unwrap_or(&no_status));
    let ready = condition(status, "Ready");
    let containers = lasting(spec);
    // Until then init containers run, which have limits of their own.
    let is_initialised = condition(status, "Initialized").is_none_or(|c| c.status != "False");
    let statuses: Vec<&ContainerStatus> = all_statuses(status).collect();
    let given: Vec<Given<'_>> = containers.iter().map(|container| given(container, &statuses)).collect();
    let measured = Some(&given[..]).filter(|_| is_initialised);
    let is_ready = |name: &str| statuses.iter().any(|s| s.name == name && s.ready);
    let restarts = statuses.iter().map(|s| (s.name.clone(), u32::try_from(s.restart_count).unwrap_or(0)));
    let restarts: Vec<(String, u32)> = restarts.filter(|(_, count)| *count > 0).collect();
    PodFacts {
        uid: meta.uid.clone().unwrap_or_default(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
        node: spec.node_name.clone(),
        workload: workload(meta),
        ends: may_end(spec),
        revision: label(meta, "pod-template-hash").or_else(|| label(meta, "controller-revision-hash")),
        mirror: annotation(meta, MIRROR).is_some(),
        phase: phase(status, ready),
        created: meta.creation_timestamp.as_ref().map(timestamp),
        started: status.start_time.as_ref().map(timestamp),
        host_network: spec.host_network == Some(true),
        deleting: meta.deletion_timestamp.is_some(),
        ready: ready.is_some_and(|c| c.status == "True"),
        ready_changed: ready.and_then(|c| c.last_transition_time.as_ref()).map(timestamp),
        starting: statuses.iter().any(|status| is_starting(status)),
        containers_ready: containers.iter().filter(|c| is_ready(&c.name)).count() as u32,
        containers_total: containers.len() as u32,
        restarts: restarts.iter().map(|(_, count)| *count).fold(0, u32::saturating_add),
        container_restarts: restarts,
        waiting: waiting(&statuses),
        terminated: terminated(&statuses),
        unschedulable: unschedulable(status),
        cpu_limit_cores: limit(spec, measured, "cpu"),
        memory_limit_bytes: limit(spec, measured, "memory"),
        container_limits: measured.map(|given| container_limits(&containers, given)).unwrap_or_default(),
        opt_out: opt_out(meta),
        muted: None,
    }
}

/// Its containers are not all started again when they end.
pub fn may_end(spec: &PodSpec) -> bool {
    spec.restart_policy.as_deref().is_some_and(|policy| policy != "Always")
}

fn timestamp(time: &Time) -> Timestamp {
    time.0
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> Option<&'a PodCondition> {
    status.conditions.as_deref().unwrap_or_default().iter().find(|c| c.type_ == kind)
}

/// Ordinary containers and those init containers that run beside them (`restartPolicy: Always`).
fn lasting(spec: &PodSpec) -> Vec<&Container> {
    let sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.as_deref().unwrap_or_default().iter().filter(sidecar);
    spec.containers.iter().chain(sidecars).collect()
}

fn all_statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let ordinary = status.container_statuses.as_deref().unwrap_or_default();
    ordinary.iter().chain(status.init_container_statuses.as_deref().unwrap_or_default())
}

/// It runs, and its startup probe has not succeeded yet. One that fails for good makes the kubelet restart the container, which is
/// told as any restart is.
fn is_starting(status: &ContainerStatus) -> bool {
    status.started == Some(false) && status.state.as_ref().is_some_and(|state| state.running.is_some())
}

/// The phase; of a pod that has ended, what its condition Ready says, which the kubelet writes a moment before the phase.
fn phase(status: &PodStatus, ready: Option<&PodCondition>) -> Phase {
    match (ready.and_then(|ready| ready.reason.as_deref()), status.phase.as_deref()) {
        (Some("PodCompleted"), _) | (_, Some("Succeeded")) => Phase::Succeeded,
        (Some("PodFailed"), _) | (_, Some("Failed")) => Phase::Failed,
        (_, Some("Pending")) => Phase::Pending,
        (_, Some("Running")) => Phase::Running,
        _ => Phase::Unknown,
    }
}

/// The controller that people know: a Deployment and not its ReplicaSet, whose name is the Deployment's, a dash and the
/// pod's label `pod-template-hash`; a CronJob and not its Job, whose name ends in the scheduled minute. A static pod's is the
/// node, which is not what its pods have in common: they are known by their own names, without the node's.
fn workload(meta: &ObjectMeta) -> Option<Workload> {
    let owner = meta.owner_references.as_deref()?.iter().find(|owner| owner.controller == Some(true))?;
    let parent = match owner.kind.as_str() {
        "ReplicaSet" => label(meta, "pod-template-hash")
            .and_then(|hash| Some(owner.name.strip_suffix(&hash)?.strip_suffix('-')?.to_owned()))
            .map(|name| ("Deployment", name)),
        "Job" => owner
            .name
            .rsplit_once('-')
            .filter(|(name, minute)| {
                !name.is_empty() && minute.len() >= 8 && minute.bytes().all(|b| b.is_ascii_digit())
            })
            .map(|(name, _)| ("CronJob", name.to_owned())),
        "Node" => {
            let name = meta.name.as_deref().unwrap_or_default();
            let own = name.strip_suffix(&owner.name).and_then(|name| name.strip_suffix('-'));
            Some((STATIC_POD, own.unwrap_or(name).to_owned()))
        }
        _ => None,
    };
    Some(match parent {
        Some((kind, name)) if !name.is_empty() => Workload::new(kind, name),
        _ => Workload::new(owner.kind.clone(), owner.name.clone()),
    })
}

fn label(meta: &ObjectMeta, key: &str) -> Option<String> {
    value(meta.labels.as_ref(), key).map(str::to_owned)
}

fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    value(meta.annotations.as_ref(), key)
}

fn value<'a>(map: Option<&'a BTreeMap<String, String>>, key: &str) -> Option<&'a str> {
    map?.get(key).map(String::as_str)
}

/// The most telling reason for which any container waits, an init container's included; starting up is none.
fn waiting(statuses: &[&ContainerStatus]) -> Option<String> {
    let reasons = statuses.iter().filter_map(|s| s.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    let telling = |reason: &&str| match *reason {
        "" | "ContainerCreating" | "PodInitializing" => None,
        "CrashLoopBackOff" => Some(3),
        "ImagePullBackOff"
        | "ErrImagePull"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable" => Some(2),
        _ => Some(1),
    };
    reasons.filter(|r| telling(r).is_some()).max_by_key(telling).map(str::to_owned)
}

/// The latest end of a container. One that ended well and stays so (a finished init container) is no news; one that
/// ended well and was started again is, for it may be what a crash loop consists of.
fn terminated(statuses: &[&ContainerStatus]) -> Option<Termination> {
    let ends = statuses.iter().flat_map(|status| {
        let present = status.state.as_ref().and_then(|s| s.terminated.as_ref()).filter(|end| end.exit_code != 0);
        let last = status.last_state.as_ref().and_then(|s| s.terminated.as_ref());
        present.into_iter().chain(last).map(|end| Termination {
            container: status.name.clone(),
            reason: end.reason.clone().unwrap_or_else(|| "Error".to_owned()),
            exit_code: end.exit_code,
            finished_at: end.finished_at.as_ref().map(timestamp),
        })
    });
    ends.max_by_key(|end| end.finished_at)
}

fn unschedulable(status: &PodStatus) -> Option<String> {
    let scheduled = condition(status, "PodScheduled")?;
    let refused = scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable");
    refused.then(|| scheduled.message.clone().unwrap_or_else(|| "no node fits".to_owned()))
}

/// What a container may use, if anybody says.
type Given<'a> = Option<&'a ResourceRequirements>;

/// What its node has given a container: as long as that puts a resize off, or cannot carry it out, not what the spec asks for. Where
/// the status does not tell, as that of a container which has not run and that of older kubelets, the spec does.
fn given<'a>(container: &'a Container, statuses: &[&'a ContainerStatus]) -> Given<'a> {
    let status = statuses.iter().find(|status| status.name == container.name);
    let told = status.and_then(|status| status.resources.as_ref()).filter(|told| told.limits.is_some());
    told.or(container.resources.as_ref())
}

/// The limit of the pod itself, where it has one, else the sum of the containers' that are measured; a container without one may
/// use all of the node.
fn limit(spec: &PodSpec, measured: Option<&[Given<'_>]>, resource: &str) -> Option<f64> {
    let sum = || measured?.iter().map(|given| limit_of(*given, resource)).sum::<Option<f64>>();
    limit_of(spec.resources.as_ref(), resource).or_else(sum).filter(|limit| *limit > 0.0)
}

fn limit_of(given: Given<'_>, resource: &str) -> Option<f64> {
    quantity::value(&given?.limits.as_ref()?.get(resource)?.0).filter(|limit| *limit > 0.0)
}

/// Those of each container, if there are several: the limit of one alone is the pod's.
fn container_limits(containers: &[&Container], given: &[Given<'_>]) -> Vec<ContainerLimits> {
    let of = |(container, given): (&&Container, &Given<'_>)| ContainerLimits {
        name: container.name.clone(),
        cpu_cores: limit_of(*given, "cpu"),
        memory_bytes: limit_of(*given, "memory"),
    };
    let each = containers.iter().zip(given).filter(|_| containers.len() > 1).map(of);
    each.filter(|limits| limits.cpu_cores.is_some() || limits.memory_bytes.is_some()).collect()
}

fn opt_out(meta: &ObjectMeta) -> OptOut {
    let is_true = |key| annotation(meta, key) == Some("true");
    OptOut {
        ignore: is_true("guard.kubectl.io/ignore"),
        threshold: annotation(meta, "guard.kubectl.io/threshold")
            .and_then(|text| text.parse().ok())
            .filter(|line: &f64| *line > 0.0 && *line <= 1.0),
        expected_high_cpu: is_true("guard.kubectl.io/expected-high-cpu"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A real pod of the recording, with parts of it replaced.
    fn cart(change: impl FnOnce(&mut Value)) -> PodFacts {
        let mut pod: Value = serde_json::from_str(include_str!("../tests/fixtures/pod.json")).unwrap();
        change(&mut pod);
        facts(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn a_recorded_pod_gives_its_facts() {
        let facts = cart(|_| ());
        assert_eq!((facts.namespace.as_str(), facts.name.as_str()), ("shop", "cart-59f948d975-tr5v2"));
        assert_eq!(facts.workload, Some(Workload::new("Deployment", "cart")));
        assert_eq!(facts.revision.as_deref(), Some("59f948d975"));
        assert_eq!((facts.phase, facts.ready), (Phase::Running, true));
        assert_eq!((facts.containers_ready, facts.containers_total, facts.restarts), (1, 1, 0));
        assert_eq!((facts.cpu_limit_cores, facts.memory_limit_bytes), (Some(0.3), Some(160.0 * 1_048_576.0)));
        assert_eq!((facts.waiting, facts.terminated, facts.unschedulable), (None, None, None));
        assert_eq!((facts.started, facts.host_network), (facts.created, false));
        assert!(cart(|pod| pod["spec"]["hostNetwork"] = json!(true)).host_network);
    }

    #[test]
    fn owners_are_named_as_people_know_them() {
        let owner = |kind: &str, name: &str, hash: Option<&str>| {
            let facts = cart(|pod| {
                pod["metadata"]["ownerReferences"] =
                    json!([{"apiVersion": "x/v1", "kind": kind, "name": name, "uid": "u", "controller": true}]);
                pod["metadata"]["labels"] = hash.map_or(json!({}), |hash| json!({"pod-template-hash": hash}));
            });
            facts.workload.map(|w| w.to_string())
        };
        assert_eq!(owner("Node", "tr5v2", None).unwrap(), "StaticPod/cart-59f948d975");
        assert_eq!(owner("Node", "node1", None).unwrap(), "StaticPod/cart-59f948d975-tr5v2");
        assert_eq!(owner("ReplicaSet", "cart-5f6b", Some("5f6b")).unwrap(), "Deployment/cart");
        assert_eq!(owner("ReplicaSet", "alone", None).unwrap(), "ReplicaSet/alone");
        assert_eq!(owner("ReplicaSet", "alone", Some("5f6b")).unwrap(), "ReplicaSet/alone");
        assert_eq!(owner("StatefulSet", "db", None).unwrap(), "StatefulSet/db");
        assert_eq!(owner("Job", "backup-29384012", None).unwrap(), "CronJob/backup");
        assert_eq!(owner("Job", "backup-once", None).unwrap(), "Job/backup-once");
    }

    #[test]
    fn a_pod_that_may_end_and_has_a_controller_is_batch_work() {
        let is_batch = |kind: &str, policy: &str| {
            let facts = cart(|pod| {
                pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "x/v1", "kind": kind, "name": "a", "uid": "u", "controller": kind != "none"}]);
                pod["spec"]["restartPolicy"] = json!(policy);
            });
            facts.is_batch()
        };
        for (kind, policy) in [("TaskRun", "Never"), ("Workflow", "OnFailure"), ("Pod", "Never"), ("Job", "OnFailure")]
        {
            assert!(is_batch(kind, policy), "{kind} {policy}");
        }
        let lasting = [("none", "Never"), ("VirtualMachineInstance", "Never"), ("StrimziPodSet", "Always")];
        for (kind, policy) in lasting {
            assert!(!is_batch(kind, policy), "{kind} {policy}");
        }
    }

    #[test]
    fn the_most_telling_reason_to_wait_is_kept() {
        let waiting = |reasons: &[&str]| {
            cart(|pod| {
                let one = |r| {
                    json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 1,
                    "state": {"waiting": {"reason": r}}})
                };
                pod["status"]["containerStatuses"] = reasons.iter().map(one).collect();
            })
            .waiting
        };
        assert_eq!(waiting(&["ContainerCreating"]), None);
        assert_eq!(waiting(&["CreateContainerConfigError", "CrashLoopBackOff"]).unwrap(), "CrashLoopBackOff");
        assert_eq!(waiting(&["ErrImagePull", "ContainerCreating"]).unwrap(), "ErrImagePull");
    }

    #[test]
    fn a_container_that_runs_starts_until_its_startup_probe_succeeds() {
        let starting = |started: Value, state: Value| {
            cart(|pod| {
                let status = &mut pod["status"]["containerStatuses"][0];
                (status["started"], status["state"]) = (started, state);
            })
            .starting
        };
        let running = json!({"running": {"startedAt": "2026-11-22T13:10:21Z"}});
        assert!(starting(json!(false), running.clone()));
        assert!(!starting(json!(true), running.clone()));
        assert!(!starting(Value::Null, running), "nobody says");
        assert!(!starting(json!(false), json!({"waiting": {"reason": "CrashLoopBackOff"}})));
    }

    #[test]
    fn the_latest_bad_end_of_a_container_is_kept() {
        let facts = cart(|pod| {
            pod["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": {"exitCode": 137,
                "reason": "OOMKilled", "finishedAt": "2026-11-22T13:50:00Z"}});
            pod["status"]["initContainerStatuses"] = json!([{"name": "init", "image": "", "imageID": "",
                "ready": true, "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed",
                "finishedAt": "2026-11-22T13:51:00Z"}}}]);
        });
        let end = facts.terminated.unwrap();
        assert_eq!((end.reason.as_str(), end.exit_code, end.container.as_str()), ("OOMKilled", 137, "main"));
    }

    #[test]
    fn a_pod_has_ended_as_soon_as_its_readiness_says_so() {
        let phase = |reason: &str| {
            cart(|pod| {
                let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
                let ready = conditions.iter_mut().find(|condition| condition["type"] == "Ready").unwrap();
                (ready["status"], ready["reason"]) = (json!("False"), json!(reason));
            })
            .phase
        };
        assert_eq!(phase("ContainersNotReady"), Phase::Running);
        assert_eq!(phase("PodCompleted"), Phase::Succeeded);
        assert_eq!(phase("PodFailed"), Phase::Failed);
    }

    #[test]
    fn a_container_that_ended_well_and_was_started_again_did_end() {
        let facts = cart(|pod| {
            pod["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": {"exitCode": 0,
                "reason": "Completed", "finishedAt": "2026-11-22T13:50:00Z"}});
        });
        assert_eq!(facts.terminated.map(|end| (end.reason, end.exit_code)), Some(("Completed".to_owned(), 0)));
    }

    #[test]
    fn a_container_without_a_limit_leaves_the_pod_without_one() {
        let facts = cart(|pod| {
            let mut second = pod["spec"]["containers"][0].clone();
            second["name"] = json!("second");
            second["resources"] = json!({"limits": {"cpu": "200m"}});
            pod["spec"]["containers"].as_array_mut().unwrap().push(second);
        });
        assert_eq!((facts.cpu_limit_cores, facts.memory_limit_bytes), (Some(0.5), None));
        assert_eq!((facts.containers_ready, facts.containers_total), (1, 2));
    }

    #[test]
    fn the_limits_of_each_container_are_kept_where_there_are_several() {
        let with = |others: Value| {
            let facts = cart(|pod| {
                let containers = pod["spec"]["containers"].as_array_mut().unwrap();
                containers.extend(others.as_array().unwrap().iter().cloned());
            });
            let limits = facts.container_limits.into_iter();
            limits.map(|limits| (limits.name, limits.cpu_cores, limits.memory_bytes)).collect::<Vec<_>>()
        };
        let main = || ("main".to_owned(), Some(0.3), Some(160.0 * 1_048_576.0));
        assert_eq!(with(json!([])), [], "those of the only one are the pod's");
        assert_eq!(with(json!([{"name": "proxy"}])), [main()]);
        let proxy = json!([{"name": "proxy", "resources": {"limits": {"cpu": "2"}}}]);
        assert_eq!(with(proxy), [main(), ("proxy".to_owned(), Some(2.0), None)]);
    }

    #[test]
    fn a_limit_of_the_pod_itself_stands_for_all_containers() {
        let facts = cart(|pod| pod["spec"]["resources"] = json!({"limits": {"cpu": "2"}}));
        assert_eq!((facts.cpu_limit_cores, facts.memory_limit_bytes), (Some(2.0), Some(160.0 * 1_048_576.0)));
    }

    #[test]
    fn an_init_container_that_stays_is_a_container_and_one_that_fails_is_why_the_pod_waits() {
        let facts = cart(|pod| {
            pod["spec"]["initContainers"] = json!([{"name": "migrate"},
                {"name": "proxy", "restartPolicy": "Always", "resources": {"limits": {"cpu": "100m"}}}]);
            let status = |name: &str, ready: bool, state: Value| json!({"name": name, "image": "", "imageID": "", "ready": ready, "restartCount": 2, "state": state});
            pod["status"]["initContainerStatuses"] = json!([
                status("migrate", false, json!({"waiting": {"reason": "CrashLoopBackOff"}})),
                status("proxy", true, json!({"running": {}})),
            ]);
            pod["status"]["containerStatuses"] =
                json!([status("main", false, json!({"waiting": {"reason": "PodInitializing"}}))]);
        });
        assert_eq!((facts.containers_ready, facts.containers_total, facts.restarts), (1, 2, 6));
        assert_eq!(facts.waiting.as_deref(), Some("CrashLoopBackOff"));
        assert_eq!(facts.cpu_limit_cores, Some(0.4), "without the init container that ends");
        assert_eq!(facts.memory_limit_bytes, None);
    }

    #[test]
    fn a_limit_that_the_node_has_not_put_in_force_is_none_yet() {
        let limits = |told: Value| {
            let facts = cart(|pod| {
                pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "64", "memory": "1Gi"}});
                pod["status"]["containerStatuses"][0]["resources"] = told;
            });
            (facts.cpu_limit_cores, facts.memory_limit_bytes)
        };
        let of_spec = (Some(64.0), Some(1_073_741_824.0));
        let old = json!({"limits": {"cpu": "300m", "memory": "160Mi"}});
        assert_eq!(limits(old), (Some(0.3), Some(160.0 * 1_048_576.0)));
        assert_eq!(limits(json!({"limits": {"cpu": "300m"}})), (Some(0.3), None), "it has got no limit of memory yet");
        assert_eq!(limits(json!({"requests": {"cpu": "300m"}})), of_spec);
        assert_eq!(limits(Value::Null), of_spec, "nobody tells");
    }

    #[test]
    fn an_init_container_is_not_held_to_the_limits_of_those_to_come() {
        let limits = |initialised: &str, of_pod: Value| {
            let facts = cart(|pod| {
                pod["spec"]["resources"] = of_pod;
                let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
                let one = conditions.iter_mut().find(|condition| condition["type"] == "Initialized").unwrap();
                one["status"] = json!(initialised);
            });
            (facts.cpu_limit_cores, facts.memory_limit_bytes)
        };
        assert_eq!(limits("False", Value::Null), (None, None));
        assert_eq!(limits("True", Value::Null), (Some(0.3), Some(160.0 * 1_048_576.0)));
        let of_pod = json!({"limits": {"cpu": "2"}});
        assert_eq!(limits("False", of_pod), (Some(2.0), None), "that of the pod holds for all");
    }

    #[test]
    fn a_recorded_crash_loop_gives_its_facts() {
        let list = pods(include_bytes!("../tests/fixtures/crash_loop.pods.json")).unwrap();
        let [report] = &list[..] else { unreachable!("the fixture holds one pod") };
        assert_eq!(report.workload, Some(Workload::new("Deployment", "report")));
        assert_eq!((report.waiting.as_deref(), report.restarts, report.ready), (Some("CrashLoopBackOff"), 4, false));
        let end = report.terminated.as_ref().unwrap();
        assert_eq!((end.container.as_str(), end.reason.as_str(), end.exit_code), ("main", "Error", 137));
    }

    #[test]
    fn what_the_scheduler_says_is_kept() {
        let facts = cart(|pod| {
            pod["spec"]["nodeName"] = Value::Null;
            pod["status"] = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/2 nodes are available: 2 Insufficient cpu."}]});
        });
        assert_eq!((facts.phase, facts.node), (Phase::Pending, None));
        assert_eq!(facts.unschedulable.unwrap(), "0/2 nodes are available: 2 Insufficient cpu.");
    }

    #[test]
    fn owners_tune_and_silence_by_annotation() {
        let facts = cart(|pod| {
            pod["metadata"]["annotations"] = json!({"guard.kubectl.io/ignore": "true",
                "guard.kubectl.io/threshold": "0.9", "guard.kubectl.io/expected-high-cpu": "yes"});
        });
        assert_eq!(facts.opt_out, OptOut { ignore: true, threshold: Some(0.9), expected_high_cpu: false });
        let wrong = cart(|pod| pod["metadata"]["annotations"] = json!({"guard.kubectl.io/threshold": "7"}));
        assert_eq!(wrong.opt_out, OptOut::default());
    }

    #[test]
    fn an_empty_object_is_a_pod_of_which_nothing_is_known() {
        assert_eq!(facts(&Pod::default()).phase, Phase::Unknown);
        assert!(pods(b"{\"items\": [{}]}").is_ok_and(|pods| pods.len() == 1));
        assert!(pods(b"[").is_err());
    }
}
